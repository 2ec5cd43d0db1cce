"""The module ``_thread``: its threads are green threads, and its locks are for them."""

from __future__ import annotations

import _thread as _original
import errno as _errno
import os as _os
import signal as _signal
import sys as _sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from greenlet import GreenletExit, getcurrent

from eventlet import _existing_locks, _os_threads
from eventlet._core import get_ident as _get_ident
from eventlet._core import spawn_n
from eventlet.corolocal import local as _green_local
from eventlet.event import Event as _Event
from eventlet.green._tracing import traced as _traced
from eventlet.lock import Lock
from eventlet.lock import RLock as _RLock

globals().update(
    {name: value for name, value in vars(_original).items() if not name.startswith("__")}
)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


def __also_patched__() -> list[tuple[Any, str, Any]]:
    """Return what takes the identity of a thread for an address."""
    return [(_signal, "pthread_kill", _pthread_kill)] if hasattr(_signal, "pthread_kill") else []


def __switch_patched__(on: bool) -> None:
    """Make what there is already green, or undo it."""
    _existing_locks.patch(on)
    if getcurrent().parent is not None:
        # This may be a module that is being imported: with the numbers, those who import change.
        old, new = (_os_ident(), _get_ident()) if on else (_get_ident(), _os_ident())
        for found in [*getattr(_importing, "_module_locks", {}).values()]:
            lock = found()
            if lock is not None and lock.owner == old:
                lock.owner = new


#: What monkey patching puts into the standard module.
__patched__ = [
    "LockType",
    "RLock",
    "_count",
    "_local",
    "allocate",
    "allocate_lock",
    "exit",
    "exit_thread",
    "get_ident",
    "start_new",
    "start_new_thread",
]

#: Locks become green with their types, and where nobody waits nothing blocks.
__fixed__ = [
    "LockType",
    "RLock",
    "_count",
    "allocate",
    "allocate_lock",
    "exit",
    "exit_thread",
    "lock",
]

error = RuntimeError
get_ident = _get_ident
LockType = Lock
RLock = _RLock
_local = _green_local

_importing: Any = _sys.modules["importlib._bootstrap"]
_os_ident: Callable[[], int] = _os_threads.get_ident
_main_ident: int = vars(_original).get("_get_main_thread_ident", _os_ident)()


def allocate_lock() -> Lock:
    """Return a new lock."""
    return Lock()


allocate = allocate_lock


class _Sentinel:
    """A lock that is held until a green thread ends, and is free for all from then on.

    Many may wait for the end, and each of them takes the lock and releases it, as if nobody else
    could hold it any more. A lock that goes from one who waits to the next would be held all along.
    """

    __slots__ = ("_ended", "_lock")

    def __init__(self) -> None:
        self._ended = False
        self._lock = Lock()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._ended:
            return True
        if not self._lock.acquire(blocking, timeout):
            return False
        if not self.locked():
            self._lock.release()  # It has ended: for the next one.
        return True

    def release(self) -> None:
        if not self._ended:
            self._lock.release()

    def locked(self) -> bool:
        return not self._ended and self._lock.locked()

    def end(self) -> None:
        """Be free for ever."""
        if self.locked():
            self._ended = True
            self._lock.release()
        self._ended = True

    def _at_fork_reinit(self) -> None:
        self._lock._at_fork_reinit()


class _Running:
    """A green thread that was started here and has not ended."""

    __slots__ = ("interrupt", "os_thread", "sentinels")

    def __init__(self) -> None:
        #: A KeyboardInterrupt that was raised in it, and is the main thread's.
        self.interrupt: BaseException | None = None
        #: The OS thread it runs in.
        self.os_thread = _os_ident()
        #: Locks that are released when it ends.
        self.sentinels: list[_Sentinel] = []


#: The green threads that were started here and have not ended, by their numbers.
_running: dict[int, _Running] = {}


def start_new_thread(
    function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any] | None = None, /
) -> int:
    """Run a function in a new green thread; return the green thread's number."""
    if not callable(function):
        raise TypeError("first arg must be callable")
    if not isinstance(args, tuple):
        raise TypeError("2nd arg must be a tuple")
    if kwargs is not None and not isinstance(kwargs, dict):
        raise TypeError("optional 3rd arg must be a dictionary")
    return _start(_run, function, args, kwargs or {})


start_new = start_new_thread


def _start(*call: Any) -> int:
    green = spawn_n(*call)
    # A thread does not inherit context variables, or does so by its own means.
    green.gr_context = None
    return get_ident(green)


def _run(function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Be a green thread."""
    ident = get_ident()
    running = _running[ident] = _Running()
    try:
        if _is_traced(function):
            with _traced():
                function(*args, **kwargs)
        else:
            function(*args, **kwargs)
    except (SystemExit, GreenletExit):
        pass
    finally:
        _running.pop(ident, None)
        for sentinel in running.sentinels:
            sentinel.end()
    if running.interrupt is not None:
        raise running.interrupt


def _is_traced(function: Callable[..., object]) -> bool:
    """Return whether a function of ``threading`` is about to set a trace or profile function."""
    names = getattr(getattr(function, "__func__", None), "__globals__", {})
    return bool(names.get("_trace_hook") or names.get("_profile_hook"))


_os_pthread_kill: Callable[[int, int], None] = vars(_signal).get("pthread_kill", int)


def _pthread_kill(thread_id: int, signalnum: int, /) -> None:
    """As ``signal.pthread_kill``; a green thread gets it by its OS thread."""
    running = _running.get(thread_id)
    if running is not None:
        thread_id = running.os_thread
    elif 0 < thread_id < _FIRST_ADDRESS:
        raise ProcessLookupError(_errno.ESRCH, _os.strerror(_errno.ESRCH))
    _os_pthread_kill(thread_id, signalnum)


#: The identities of OS threads are addresses, and never so low.
_FIRST_ADDRESS = 1 << (32 if _sys.maxsize >> 32 else 16)


def exit() -> None:
    """End the thread, quietly."""
    if getcurrent().parent is None or get_ident() in _running:
        raise SystemExit
    # In a green thread that `spawn` has started, that would end the program.
    raise GreenletExit


exit_thread = exit


def _count() -> int:
    return len(_running)


if hasattr(_original, "_set_sentinel"):
    __patched__.append("_set_sentinel")

    def _set_sentinel() -> _Sentinel:
        """Return a lock that is released when the green thread ends."""
        sentinel = _Sentinel()
        running = _running.get(get_ident())
        if running is not None:
            running.sentinels.append(sentinel)
        return sentinel


if hasattr(_original, "_get_main_thread_ident"):
    __patched__.append("_get_main_thread_ident")

    def _get_main_thread_ident() -> int:
        return _main_ident


def _forget_others(os_thread: int) -> None:
    """In a forked child: forget the green threads of the OS threads that are gone."""
    global _main_ident
    _main_ident = os_thread
    for ident, running in [*_running.items()]:
        if running.os_thread != os_thread:
            del _running[ident]


if hasattr(_original, "_ThreadHandle"):
    __patched__ += [
        "_ThreadHandle",
        "_make_thread_handle",
        "_shutdown",
        "lock",
        "start_joinable_thread",
    ]
    lock = Lock

    class _ThreadHandle:
        """A thread, to be waited for."""

        def __init__(self) -> None:
            #: Its number; 0 until it is started.
            self.ident = 0
            self._ended = _Event()

        def __repr__(self) -> str:
            return f"<_ThreadHandle object: ident={self.ident}>"

        def is_done(self) -> bool:
            return self._ended.ready()

        def join(self, timeout: float | None = None) -> None:
            """Wait for its end, for so many seconds at most; less than zero is for ever."""
            if not self._ended.ready():
                if not self.ident:
                    raise RuntimeError("thread not started")
                if self.ident == get_ident():
                    raise RuntimeError("Cannot join current thread")
                self._ended.wait(None if timeout is not None and timeout < 0 else timeout)

        def _set_done(self) -> None:
            _joined_at_exit.discard(self)
            if not self._ended.ready():
                self._ended.send()

    class _OSThreadHandle:
        """The handle of an OS thread that was started before patching."""

        def __init__(self, handle: Any) -> None:
            self.real = handle

        @property
        def ident(self) -> int:
            return self.real.ident  # type: ignore[no-any-return]

        def is_done(self) -> bool:
            return self.real.is_done()  # type: ignore[no-any-return]

        def join(self, timeout: float | None = None) -> None:
            if not self.real.is_done():
                with _os_threads.ThreadPool(1) as pool:
                    pool.execute(self.real.join, -1 if timeout is None else timeout)

        def _set_done(self) -> None:
            self.real._set_done()

    #: The threads that the interpreter waits for before it ends.
    _joined_at_exit: set[_ThreadHandle] = set()

    def _make_thread_handle(ident: int) -> _ThreadHandle:
        handle = _ThreadHandle()
        handle.ident = ident
        return handle

    def start_joinable_thread(
        function: Callable[[], object],
        handle: Any = None,
        daemon: bool = True,
    ) -> _ThreadHandle:
        """Run a function in a new green thread; return what it can be waited for with."""
        if not callable(function):
            raise TypeError("thread function must be callable")
        if not isinstance(handle, _ThreadHandle):
            # None, or one of the standard library's: then the thread was made before patching.
            made = _ThreadHandle()
            thread: Any = getattr(function, "__self__", None)
            if handle is not None and getattr(thread, "_handle", None) is handle:
                thread._handle = made
            handle = made
        assert isinstance(handle, _ThreadHandle)
        if handle.ident:
            raise RuntimeError("thread already started")
        if not daemon:
            _joined_at_exit.add(handle)
        handle.ident = _start(_run_joinable, function, handle)
        return handle

    def _run_joinable(function: Callable[[], object], handle: _ThreadHandle) -> None:
        try:
            _run(function, (), {})
        finally:
            handle._set_done()

    _os_shutdown: Callable[[], None] = vars(_original)["_shutdown"]

    def _shutdown() -> None:
        """Wait for all threads that the interpreter waits for."""
        while _joined_at_exit:
            next(iter(_joined_at_exit)).join()
        _os_shutdown()
