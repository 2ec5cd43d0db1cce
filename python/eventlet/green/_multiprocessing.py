"""What it takes for ``multiprocessing`` not to block the green threads of a process.

Its pipes have kept ``os.read`` and ``os.write`` if they were imported before these were replaced.
Its locks are semaphores of the system, for which nothing but an OS thread can wait. And a child
that it forks goes on with one thread, as it would with OS threads: the green threads of the parent
would do there what they do here, such as take the results out of a pool.
"""

from __future__ import annotations

import _multiprocessing  # type: ignore[import-not-found]
import os
import sys
from collections.abc import Callable
from time import monotonic
from types import ModuleType
from typing import Any

from greenlet import getcurrent, greenlet

from eventlet import patcher
from eventlet._core import abandon_hub, can_wait, os_read, os_write
from eventlet._os_threads import ThreadPool
from eventlet.corolocal import local
from eventlet.patcher import _replace

__all__ = ["SemLock", "patches"]

#: What ``multiprocessing`` calls the kind of a lock that its owner may take more than once.
_RECURSIVE_MUTEX = 0

#: Each thread waits for one semaphore. They end soon after there is nothing to wait for.
_pool = ThreadPool(max_threads=10_000, idle_seconds=1.0, name="semaphore_thread")


class SemLock(_multiprocessing.SemLock):  # type: ignore[misc]
    """A semaphore of the system that can be waited for without blocking other green threads.

    A recursive one belongs to a green thread.
    """

    #: Whose it is, if it is a recursive one.
    _owner: greenlet | None = None

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take it; return whether that was possible.

        :param block: wait until it is.
        :param timeout: seconds to wait at most; None waits for ever.
        """
        if self._take():
            return True
        if not block:
            return False
        if not can_wait():
            taken: bool = super().acquire(True, timeout)
            if taken and self.kind == _RECURSIVE_MUTEX:
                self._owner = getcurrent()
            return taken
        end = None if timeout is None else monotonic() + timeout
        while True:
            left = None if end is None else end - monotonic()
            if left is not None and left <= 0:
                return False
            _pool.execute(_wait_for, super().acquire, super().release, left)
            if self._take():
                return True

    __enter__ = acquire

    def _take(self) -> bool:
        """Take it if that is possible at once."""
        me = getcurrent()
        recursive = self.kind == _RECURSIVE_MUTEX
        # The system's owner is the OS thread, which is that of other green threads too.
        if recursive and super()._is_mine() and self._owner not in (me, None):
            return False
        taken: bool = super().acquire(False)
        if taken and recursive:
            self._owner = me
        return taken

    def release(self) -> None:
        """Give it back.

        :raises AssertionError: if it is a recursive one that belongs to another green thread.
        """
        if self.kind == _RECURSIVE_MUTEX:
            if self._owner not in (getcurrent(), None):
                raise AssertionError("attempt to release recursive lock not owned by thread")
            if self._count() == 1:
                self._owner = None
        super().release()

    def __exit__(self, *_exc: object) -> None:
        self.release()

    def _is_mine(self) -> bool:
        return bool(super()._is_mine()) and self._owner in (getcurrent(), None)


def _wait_for(
    take: Callable[[bool, float | None], bool], give_back: Callable[[], None], timeout: float | None
) -> None:
    """In an OS thread: wait until a semaphore can be taken.

    It is not kept, since an OS thread owns what it has taken, and since nobody may wait any more.
    """
    if take(True, timeout):
        give_back()


def patches() -> list[tuple[Any, str, Any]]:
    """Return what is to be replaced, as ``__also_patched__`` of a green module does."""
    triples: list[tuple[Any, str, Any]] = [(_multiprocessing, "SemLock", SemLock)]
    connection = sys.modules.get("multiprocessing.connection")
    if connection is not None:
        triples += _connection_patches(connection)
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        triples.append((util, "ForkAwareLocal", ForkAwareLocal))
    managers = sys.modules.get("multiprocessing.managers")
    if managers is not None:
        triples.append(_registry_patch(vars(managers)["SyncManager"]))
    return triples


def _registry_patch(cls: Any) -> tuple[Any, str, Any]:
    """Return what makes the locks green that a manager's server makes for others."""
    import threading

    from eventlet.green import threading as green

    # They are sent there by name, so they have to be what is found under that name.
    before = _replace.before(threading)
    public = [name for name in green.__patched__ if name in before and not name.startswith("_")]
    locks = {before[name]: getattr(green, name) for name in public}
    registry = {
        name: tuple(locks.get(item, item) if callable(item) else item for item in entry)
        for name, entry in cls._registry.items()
    }
    return cls, "_registry", registry


class ForkAwareLocal(local):
    """What ``multiprocessing`` keeps for each thread, such as its connection to a manager.

    A child begins without.
    """

    def __new__(cls) -> Any:
        made: Any = super().__new__(cls)
        sys.modules["multiprocessing.util"].register_after_fork(made, _forget_values)
        return made

    def __reduce__(self) -> Any:
        return type(self), ()


def _forget_values(kept: ForkAwareLocal) -> None:
    kept.__dict__.clear()


def _connection_patches(connection: ModuleType) -> list[tuple[Any, str, Any]]:
    """Return what makes the pipes green of a module that was imported while `os` was not."""
    cls: Any = vars(connection)["Connection"]
    if not hasattr(cls, "_recv"):
        return []
    blocking_send, blocking_recv = cls._send, cls._recv

    # The originals are the defaults of the arguments. `_close` calls them with others.
    def _send(self: Any, buf: Any, write: Any = os_write) -> None:
        blocking_send(self, buf, write)

    def _recv(self: Any, size: int, read: Any = os_read) -> Any:
        return blocking_recv(self, size, read)

    return [
        (cls, "_write", os_write),
        (cls, "_read", os_read),
        (cls, "_send", _send),
        (cls, "_recv", _recv),
    ]


class _Child:
    """The key under which ``multiprocessing`` keeps what a child is to do first."""

    registered = False


_child = _Child()


def _go_on_alone(_child: _Child) -> None:
    """In a child of ``multiprocessing``: leave the parent's green threads behind."""
    if not patcher.is_monkey_patched("os"):
        return
    abandon_hub()
    if patcher.is_monkey_patched("thread"):
        _forget_threads()


def _forget_threads() -> None:
    """Tell ``threading`` that the calling thread is the only one, and so the main one."""
    import threading

    from eventlet.green import _fork, _threads, thread

    names: dict[str, Any] = vars(threading)
    current = threading.current_thread()
    active = _threads.home["_active"]
    for ident, other in [*active.items()]:
        if other is not current:
            del active[ident]
            _fork._end(other)
    active[threading.get_ident()] = current
    running = thread._running.get(threading.get_ident())
    thread._running.clear()
    if running is not None:
        thread._running[threading.get_ident()] = running
    # Nobody waits for the thread that ends the process.
    for waited in (names.get("_shutdown_locks"), vars(thread).get("_joined_at_exit")):
        if waited is not None:
            waited.clear()


def _register() -> None:
    """Have `_go_on_alone` called in the children, if ``multiprocessing`` is there to do so."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None and not _child.registered:
        _child.registered = True
        util.register_after_fork(_child, _go_on_alone)


# Early enough: it is in the child that these are looked up.
os.register_at_fork(after_in_child=_register)
