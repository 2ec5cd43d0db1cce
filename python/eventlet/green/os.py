"""The module ``os`` for green threads: pipes, terminals and child processes.

Regular files are left as they are: an operation on one takes as long as the disk takes, and nothing
tells when it would not. `eventlet.tpool` is for those that take long.

What is replaced works everywhere that the original does. Where nothing can wait, in the hub and in
the signal handlers that run there, it blocks as the original does.
"""

from __future__ import annotations

import io as _io
import os as _original
import stat as _stat
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from eventlet import _children
from eventlet._core import can_wait as _can_wait
from eventlet._core import notify_opened as _notify_opened
from eventlet._core import os_read as read
from eventlet._core import os_read_into as _read_into
from eventlet._core import os_write as write
from eventlet.greenio.pipe import GreenPipe as _GreenPipe

# Everything that the running Python has, whichever version it is; what is green comes afterwards.
globals().update(
    {
        name: value
        for name, value in vars(_original).items()
        if not name.startswith("__") and name not in {"read", "write"}
    }
)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


_T = TypeVar("_T")

__all__ = [name for name in _original.__all__ if hasattr(_original, name)]

#: What monkey patching puts into the standard module.
__patched__ = [
    name
    for name in (
        "fdopen",
        "open",
        "read",
        "readinto",
        "system",
        "wait",
        "wait3",
        "wait4",
        "waitid",
        "waitpid",
        "write",
    )
    if hasattr(_original, name)
]

if hasattr(_original, "readinto"):
    readinto = _read_into

# Taken now: the names in the module may be replaced by monkey patching.
_open = _original.open
_WNOHANG = _original.WNOHANG


def __also_patched__() -> list[tuple[Any, str, Any]]:
    """What has kept `read` and `write` for itself, or waits in its own way."""
    try:
        from eventlet.green import _multiprocessing
    except ImportError:
        # This Python was built without.
        return []
    return _multiprocessing.patches()


def open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    """Open a file; return its descriptor. As ``os.open``, and the hub is told of it."""
    fd = _open(path, flags, mode, dir_fd=dir_fd)
    # Whoever still waits for an earlier owner of the number learns that it is gone.
    _notify_opened(fd)
    return fd


def fdopen(
    fd: int,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    """Make a file object of a descriptor; as ``os.fdopen``.

    That of a pipe, a terminal or a socket lets other green threads run while it waits.
    """
    if not isinstance(fd, int):
        raise TypeError(f"invalid fd type ({type(fd)}, expected integer)")
    if "b" not in mode:
        encoding = _io.text_encoding(encoding)
    kind = _original.fstat(fd).st_mode
    waits = _stat.S_ISFIFO(kind) or _stat.S_ISCHR(kind) or _stat.S_ISSOCK(kind)
    make = _GreenPipe if waits else _io.open
    return make(fd, mode, buffering, encoding, errors, newline, closefd, opener)


def _try_until_found(
    attempt: Callable[[int], _T | None],
    idtype: int,
    ident: int,
    options: int,
) -> _T:
    """Return what `attempt` finds, which is given what to add to its options, once it does."""
    while True:
        found = attempt(_WNOHANG)
        if found is not None:
            return found
        _children.wait_for_child(idtype, ident, options)


def _blocks(options: int, idtype: int, changes: int) -> bool:
    """Whether the original is called: it does not wait, or nobody else could."""
    if options & _WNOHANG or not _children.can_wait_for(idtype, changes):
        return True
    return not _can_wait()


if hasattr(_original, "waitpid"):
    _waitpid = _original.waitpid

    def _which(pid: int, options: int) -> tuple[int, int, int]:
        """Return for ``waitid`` what `pid` and `options` mean for ``waitpid``."""
        # Its flags for stopped and continued children are the same.
        changes = options | _children.WEXITED
        if pid > 0:
            return _children.P_PID, pid, changes
        if pid == -1:
            return _children.P_ALL, 0, changes
        return _children.P_PGID, -pid or _original.getpgrp(), changes

    def waitpid(pid: int, options: int, /) -> tuple[int, int]:
        """Wait for a child process; return its number and its status. As ``os.waitpid``."""
        idtype, ident, changes = _which(pid, options)
        if _blocks(options, idtype, changes):
            return _waitpid(pid, options)

        def attempt(extra: int) -> tuple[int, int] | None:
            found = _waitpid(pid, options | extra)
            return found if found[0] else None

        return _try_until_found(attempt, idtype, ident, changes)

    def wait() -> tuple[int, int]:
        """Wait for any child process; return its number and its status. As ``os.wait``."""
        return waitpid(-1, 0)


if hasattr(_original, "wait4"):
    _wait4 = _original.wait4

    def wait4(pid: int, options: int) -> tuple[int, int, Any]:
        """As `waitpid`, and also return the resources that the child has used."""
        idtype, ident, changes = _which(pid, options)
        if _blocks(options, idtype, changes):
            return _wait4(pid, options)

        def attempt(extra: int) -> tuple[int, int, Any] | None:
            found = _wait4(pid, options | extra)
            return found if found[0] else None

        return _try_until_found(attempt, idtype, ident, changes)

    def wait3(options: int) -> tuple[int, int, Any]:
        """As `wait`, and also return the resources that the child has used."""
        return wait4(-1, options)


if hasattr(_original, "waitid"):
    _waitid = _original.waitid

    def waitid(idtype: int, ident: int, options: int, /) -> Any:
        """Wait for a change of a child process; return what it was. As ``os.waitid``."""
        changes = options & (_original.WEXITED | _original.WSTOPPED | _original.WCONTINUED)
        if _blocks(options, idtype, changes):
            return _waitid(idtype, ident, options)

        def attempt(extra: int) -> Any:
            return _waitid(idtype, ident, options | extra)

        return _try_until_found(attempt, idtype, ident, changes)


def system(command: Any) -> int:
    """Run a command in a shell; return its status as `waitpid` does. As ``os.system``."""
    from eventlet.green import subprocess

    # What `system` gives to the shell: all that may be inherited.
    process = subprocess.Popen(["/bin/sh", "-c", command], close_fds=False, restore_signals=False)
    code = int(process.wait())
    return -code if code < 0 else code << 8


def popen(cmd: str, mode: str = "r", buffering: int = -1) -> Any:
    """Run a command in a shell; return a file object for its input or output. As ``os.popen``."""
    from eventlet.green import subprocess

    if not isinstance(cmd, str):
        raise TypeError(f"invalid cmd type ({type(cmd)}, expected string)")
    if mode not in ("r", "w"):
        raise ValueError(f"invalid mode {mode!r}")
    if buffering == 0 or buffering is None:
        raise ValueError("popen() does not support unbuffered streams")
    pipe: dict[str, Any] = {"stdout" if mode == "r" else "stdin": subprocess.PIPE}
    process = subprocess.Popen(cmd, shell=True, text=True, bufsize=buffering, **pipe)
    stream = process.stdout if mode == "r" else process.stdin
    wrap: Any = _original._wrap_close
    return wrap(stream, process)
