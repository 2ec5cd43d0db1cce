"""The module ``select``: what waits there lets other green threads run.

Each function and class returns all descriptors that are ready. One that somebody else waits for may
be waited for here too.
"""

from __future__ import annotations

import select as _original
import sys as _sys
from collections.abc import Callable
from time import monotonic as _monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from eventlet._core import can_wait as _can_wait
from eventlet._core import notify_closing as _notify_closing
from eventlet._core import poll as _poll
from eventlet._core import select as select
from eventlet._core import sleep as _sleep
from eventlet._core import wait_readable as _wait_readable

# Everything that the running Python has, whichever version it is; what is green comes afterwards.
globals().update(
    {
        name: value
        for name, value in vars(_original).items()
        if not name.startswith("__") and name != "select"
    }
)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


_T = TypeVar("_T")

error = OSError

#: What monkey patching puts into the standard module.
__patched__ = [name for name in ("epoll", "kqueue", "poll", "select") if hasattr(_original, name)]


def get_fileno(obj: Any) -> int:
    """Return the descriptor of an object: the number itself, or what its ``fileno()`` returns.

    :raises TypeError: if it has none, or one that is no integer.
    :raises ValueError: if it is negative.
    """
    fileno = getattr(obj, "fileno", None)
    found = obj if fileno is None else fileno()
    if not isinstance(found, int):
        raise TypeError(f"Expected int or long, got {type(found)}")
    if found < 0:
        raise ValueError(f"file descriptor cannot be a negative integer ({found})")
    return found


if hasattr(_original, "poll"):
    poll = _poll


class _Queue:
    """A queue of events of the kernel's, which has a descriptor that can be polled itself."""

    __slots__ = ("_owes", "_real")

    _real: Any
    #: Whether the last call has returned without letting others run.
    _owes: bool

    @classmethod
    def _of(cls, real: Any) -> Any:
        """Make one of the system's object for a queue."""
        made = cls.__new__(cls)
        made._real = real
        made._owes = False
        return made

    def close(self) -> None:
        """Close it; green threads that wait for it get `IOClosed`."""
        if not self._real.closed:
            _notify_closing(self._real.fileno())
        self._real.close()

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return bool(self._real.closed)

    def fileno(self) -> int:
        """Return its descriptor."""
        return int(self._real.fileno())

    def _wait(self, look: Callable[[], list[_T]], timeout: float | None) -> list[_T]:
        """Return what `look` finds; wait for that until `timeout` seconds are over."""
        if self._owes and _can_wait():
            # Whoever always finds something must not keep the others from running.
            self._owes = False
            _away_from_asyncio(_sleep, 0)
        found = look()
        if found or timeout == 0:
            self._owes = True
            return found
        fileno = self._real.fileno()
        end = None if timeout is None else _monotonic() + timeout
        while not found:
            left = None if end is None else max(0.0, end - _monotonic())
            if not _away_from_asyncio(_wait_readable, fileno, left):
                return look()
            found = look()
        return found


def _away_from_asyncio(function: Callable[..., _T], *args: Any) -> _T:
    """Call a function during which other green threads run, which are not in an asyncio loop.

    What loop an OS thread is in is noted once for all its green threads.
    """
    asyncio = _sys.modules.get("asyncio.events")
    loop = asyncio and asyncio._get_running_loop()
    if asyncio is None or loop is None:
        return function(*args)
    hooks = _sys.get_asyncgen_hooks()
    asyncio._set_running_loop(None)
    _sys.set_asyncgen_hooks(None, None)
    try:
        return function(*args)
    finally:
        asyncio._set_running_loop(loop)
        _sys.set_asyncgen_hooks(*hooks)


if hasattr(_original, "epoll"):
    _epoll = _original.epoll

    class epoll(_Queue):
        """As ``select.epoll``; it waits without blocking other green threads."""

        __slots__ = ()

        def __init__(self, sizehint: int = -1, flags: int = 0) -> None:
            self._real = _epoll(sizehint, flags)
            self._owes = False

        @classmethod
        def fromfd(cls, fd: int) -> epoll:
            """Make an object for a descriptor of ``epoll``."""
            made: epoll = cls._of(_epoll.fromfd(fd))
            return made

        def __enter__(self) -> epoll:
            self._real.__enter__()
            return self

        def __exit__(self, *_exc: object) -> None:
            self.close()

        def register(self, fd: Any, *eventmask: int, **keywords: int) -> None:
            """Watch a descriptor, for what `eventmask` says."""
            self._real.register(fd, *eventmask, **keywords)

        def modify(self, fd: Any, eventmask: int) -> None:
            """Change what a descriptor is watched for."""
            self._real.modify(fd, eventmask)

        def unregister(self, fd: Any) -> None:
            """Watch a descriptor no longer."""
            self._real.unregister(fd)

        def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
            """Wait until a descriptor is ready; return all that are, each with its events.

            :param timeout: seconds to wait at most; None or less than 0 waits for ever.
            :param maxevents: how many to return at most; -1 for no limit.
            """
            if timeout is not None and timeout < 0:
                timeout = None
            return self._wait(lambda: self._real.poll(0, maxevents), timeout)


def _green(found: Any) -> Any:
    """Return what stands for an object of the standard ``epoll`` or ``kqueue``, made before.

    Anything else, such as what is green already, is returned as it is.
    """
    for name in ("epoll", "kqueue"):
        real = globals().get(f"_{name}")
        if real is not None and type(found) is real:
            return globals()[name]._of(found)
    return found


if hasattr(_original, "kqueue"):
    _kqueue = _original.kqueue

    class kqueue(_Queue):
        """As ``select.kqueue``; it waits without blocking other green threads."""

        __slots__ = ()

        def __init__(self) -> None:
            self._real = _kqueue()
            self._owes = False

        @classmethod
        def fromfd(cls, fd: int) -> kqueue:
            """Make an object for a descriptor of ``kqueue``."""
            made: kqueue = cls._of(_kqueue.fromfd(fd))
            return made

        def control(
            self, changelist: Any, max_events: int, timeout: float | None = None, /
        ) -> list[Any]:
            """Apply changes, then wait for events; return them.

            :param max_events: how many to return at most; 0 does not wait.
            :param timeout: seconds to wait at most; None waits for ever.
            """
            if timeout is not None and timeout < 0:
                raise ValueError("timeout must be positive or None")
            found = self._real.control(changelist, max_events, 0)
            if found or max_events == 0:
                return list(found)
            return self._wait(lambda: list(self._real.control(None, max_events, 0)), timeout)
