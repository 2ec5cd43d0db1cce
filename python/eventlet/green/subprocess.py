"""The module ``subprocess`` for green threads.

Its functions are those of the standard library, executed once more over what is green. `Popen` is a
``subprocess.Popen``, and the exceptions are the standard ones.
"""

from __future__ import annotations

import importlib.util as _util
import io as _io
import subprocess as _original
from time import monotonic as _monotonic
from types import ModuleType as _ModuleType
from typing import TYPE_CHECKING, Any

from eventlet import _children
from eventlet import patcher as _patcher
from eventlet._core import can_wait as _can_wait
from eventlet._core import sleep as _sleep
from eventlet.green import os as _green_os
from eventlet.green import selectors as _green_selectors
from eventlet.greenio.pipe import GreenPipe as _GreenPipe

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


__all__ = [name for name in _original.__all__ if hasattr(_original, name)]

#: What monkey patching puts into the standard module: what `Popen` makes its pipes with. Its class
#: stays what it is.
__patched__ = ["io"]

_blocking_wait: Any = _original.Popen._wait  # type: ignore[attr-defined]


def __also_patched__() -> list[tuple[Any, str, Any]]:
    """How ``subprocess.Popen`` waits, whoever has imported it before: for the child, for pipes."""
    triples: list[tuple[Any, str, Any]] = [(_original.Popen, "_wait", _wait)]
    if not _patcher.is_monkey_patched("selectors"):
        triples += _green_selectors.__also_patched__()
    return triples


class _GreenIO(_ModuleType):
    """The module ``io``, but for how it opens descriptors."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_io, name)

    def open(self, file: Any, *args: Any, **kwargs: Any) -> Any:
        """Make a file object; that of a descriptor, as of a pipe, is green."""
        make = _GreenPipe if isinstance(file, int) else _io.open
        return make(file, *args, **kwargs)


io = _GreenIO("io")


def _wait(self: Any, timeout: float | None) -> int:
    """Wait for the child; return its exit status. Raise `TimeoutExpired` when the time is up."""
    if not _children.can_wait_for(_children.P_PID, _children.WEXITED) or not _can_wait():
        code: int = _blocking_wait(self, timeout)
        return code
    end = None if timeout is None else _monotonic() + timeout
    while self.poll() is None:
        left = None if end is None else end - _monotonic()
        if left is not None and left <= 0:
            raise _original.TimeoutExpired(self.args, timeout)  # type: ignore[arg-type]
        ended = _children.wait_for_child(_children.P_PID, self.pid, _children.WEXITED, left)
        if ended and self.poll() is None:
            # Somebody else has taken the status, and is about to tell it.
            _sleep(0)
    return int(self.returncode)


def _copy() -> _ModuleType:
    """Execute the module once more, and let it find what is green."""
    spec = _util.find_spec("subprocess")
    if spec is None or spec.loader is None:
        raise ImportError("the source of the module subprocess is needed", name="subprocess")
    copy = _util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    green: dict[str, Any] = {
        "_PopenSelector": _green_selectors.PollSelector
        if hasattr(_green_selectors, "PollSelector")
        else _green_selectors.SelectSelector,
        "io": io,
        "os": _green_os,
    }
    for name in ("CalledProcessError", "CompletedProcess", "SubprocessError", "TimeoutExpired"):
        green[name] = getattr(_original, name)
    vars(copy).update(green)
    return copy


_functions = _copy()

globals().update(
    {
        name: value
        for name, value in vars(_functions).items()
        if not name.startswith("__") and name != "Popen"
    }
)


class Popen(_functions.Popen, _original.Popen):  # type: ignore[misc, name-defined, type-arg]
    """As ``subprocess.Popen``; it waits without blocking other green threads."""

    _wait = _wait


_functions.Popen = Popen  # type: ignore[attr-defined]
