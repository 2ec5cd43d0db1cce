"""The module ``_thread``: its threads are green threads, and its locks are for them."""

from __future__ import annotations

import _thread as _original
import itertools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from greenlet import GreenletExit, getcurrent, greenlet

from eventlet._core import Lock, spawn_n
from eventlet.corolocal import local as _local

globals().update(
    {name: value for name, value in vars(_original).items() if not name.startswith("__")}
)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


#: What monkey patching puts into the standard module.
__patched__ = [
    "LockType",
    "_count",
    "_get_main_thread_ident",
    "_local",
    "allocate",
    "allocate_lock",
    "exit",
    "exit_thread",
    "get_ident",
    "start_new",
    "start_new_thread",
]

error = RuntimeError
LockType = Lock

_real_ident = _original.get_ident
_main_ident = _real_ident()
_numbers = itertools.count(1)


def get_ident(green: greenlet | None = None) -> int:
    """Return a number that no other thread has or will have, green or not.

    :param green: a greenlet, if not the current one.
    """
    if green is None:
        green = getcurrent()
        if green.parent is None:
            return _real_ident()
    own: dict[str, Any] = green.__dict__
    if "_ident" not in own:
        own["_ident"] = next(_numbers)
    return own["_ident"]  # type: ignore[no-any-return]


def allocate_lock() -> Lock:
    """Return a new lock."""
    return Lock()


allocate = allocate_lock


def start_new_thread(
    function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any] | None = None, /
) -> int:
    """Run a function in a new green thread; return the green thread's number."""
    if not callable(function):
        raise TypeError("first arg must be callable")
    return get_ident(spawn_n(_run, function, args, kwargs or {}))


start_new = start_new_thread

#: How many green threads were started here and have not ended.
_running: dict[int, list[Lock]] = {}


def _run(function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    ident = get_ident()
    sentinels: list[Lock] = []
    _running[ident] = sentinels
    try:
        function(*args, **kwargs)
    except (SystemExit, GreenletExit):
        pass
    finally:
        del _running[ident]
        for lock in sentinels:
            lock.release()


def exit() -> None:
    """End the thread, quietly."""
    raise SystemExit if get_ident() in _running else GreenletExit


exit_thread = exit


def _count() -> int:
    return len(_running)


if hasattr(_original, "_get_main_thread_ident"):

    def _get_main_thread_ident() -> int:
        return _main_ident


if hasattr(_original, "_set_sentinel"):
    __patched__.append("_set_sentinel")

    def _set_sentinel() -> Lock:
        """Return a lock that is released when the green thread ends."""
        lock = Lock()
        sentinels = _running.get(get_ident())
        if sentinels is not None:
            sentinels.append(lock)
        return lock


if hasattr(_original, "_ThreadHandle"):
    __patched__ += [
        "_ThreadHandle",
        "_make_thread_handle",
        "_shutdown",
        "lock",
        "start_joinable_thread",
    ]
    from eventlet.event import Event as _Event

    lock = Lock

    class _ThreadHandle:
        """A thread, to be waited for."""

        def __init__(self) -> None:
            self._ended = _Event()
            self._ident = 0
            self._daemon = True

        @property
        def ident(self) -> int:
            return self._ident

        def is_done(self) -> bool:
            return self._ended.ready()

        def join(self, timeout: float | None = None) -> None:
            if self._ident == get_ident():
                raise RuntimeError("Cannot join current thread")
            if timeout is not None and timeout < 0:
                timeout = None
            self._ended.wait(timeout)

        def _set_done(self) -> None:
            if not self._ended.ready():
                self._ended.send()

    def _make_thread_handle(ident: int) -> _ThreadHandle:
        handle = _ThreadHandle()
        handle._ident = ident
        return handle

    _joined_at_exit: set[_ThreadHandle] = set()
    _real_shutdown: Callable[[], None] = vars(_original)["_shutdown"]

    def start_joinable_thread(
        function: Callable[[], object],
        handle: _ThreadHandle | None = None,
        daemon: bool = True,
    ) -> _ThreadHandle:
        if handle is None:
            handle = _ThreadHandle()
        handle._ident = get_ident(spawn_n(_run_joinable, function, handle))
        if not daemon:
            _joined_at_exit.add(handle)
        return handle

    def _run_joinable(function: Callable[[], object], handle: _ThreadHandle) -> None:
        try:
            _run(function, (), {})
        finally:
            _joined_at_exit.discard(handle)
            handle._set_done()

    def _shutdown() -> None:
        while _joined_at_exit:
            next(iter(_joined_at_exit)).join()
        _real_shutdown()
