"""What `threading.current_thread` answers for threads that ``threading`` has not started.

A green thread that is not a ``threading.Thread`` gets an object that looks like one, which is kept
with the greenlet and goes with it; an OS thread that Python knows nothing of gets one that is kept
with the OS thread. Neither is in the tables of ``threading``: they would fill up.
"""

from __future__ import annotations

import sys
import threading as _threading
from _thread import _local as _os_local
from typing import Any
from weakref import ref

from greenlet import getcurrent, greenlet

from eventlet import _os_threads, greenthread
from eventlet._core import get_hub, get_ident, has_hub
from eventlet.event import Event
from eventlet.greenthread import GreenThread

__all__ = ["DummyThread", "current_thread"]

_get_native_id = getattr(_threading, "get_native_id", None)


class Unmade(dict[str, Any]):
    """Stands for the names of a module that is made when it is needed."""

    def __missing__(self, name: str) -> Any:
        from eventlet.green import threading

        return vars(threading._rest())[name]


#: The names of the module that has the table of green threads.
home: dict[str, Any] = Unmade()


def current_thread() -> Any:
    """Return the thread that calls.

    Any green thread has one, however it was started; but only those that are a ``Thread`` are
    found by ``threading.enumerate``.
    """
    thread = home["_active"].get(get_ident())
    if thread is not None:
        return thread
    green = getcurrent()
    if green.parent is None:
        return _os_thread()
    thread = green.__dict__.get("_thread")
    if thread is None:
        if has_hub() and get_hub().greenlet is green:
            # Callbacks, and signal handlers that the main thread expects to run.
            return home["_active"].get(_os_threads.get_ident()) or _os_thread()
        thread = green.__dict__["_thread"] = _GreenThread(green)
    return thread


class DummyThread(_threading._DummyThread):
    """What the standard `current_thread` makes of a thread that it does not know: nothing new."""

    def __new__(cls) -> Any:
        return current_thread()


class _Found(_threading.Thread):
    """A thread that runs already, and that nobody has started as a ``threading.Thread``."""

    _number: int
    _native_id: int | None
    _label: str

    # Not `Thread.__init__`: it makes locks and an event, for a beginning and an end to come.
    _initialized = True
    daemon = True

    def _begin(self, ident: int) -> None:
        self._number = ident
        self._native_id = _get_native_id() if _get_native_id is not None else None

    def __repr__(self) -> str:
        state = "started" if self.is_alive() else "stopped"
        return f"<Thread({self.name}, {state} daemon {self._number})>"

    @property
    def name(self) -> str:
        return self._label

    @name.setter
    def name(self, name: str) -> None:
        self._label = str(name)

    @property
    def ident(self) -> int:
        return self._number

    @property
    def native_id(self) -> int | None:
        return self._native_id

    def start(self) -> None:
        raise RuntimeError("threads can only be started once")

    def setDaemon(self, daemonic: bool) -> None:
        raise RuntimeError("cannot set daemon status of active thread")

    # Names that ``threading`` has, or had.

    def getName(self) -> str:
        return self.name

    def setName(self, name: str) -> None:
        self.name = name

    def isDaemon(self) -> bool:
        return True

    get_name = getName
    set_name = setName
    is_daemon = isDaemon

    def isAlive(self) -> bool:
        return self.is_alive()


class _GreenThread(_Found):
    """A green thread that `spawn` or `spawn_n` has started."""

    def __init__(self, green: greenlet) -> None:
        # The greenlet leads to this object; the other way round there must be no reference.
        self._green = ref(green)
        self._begin(get_ident(green))
        self._label = green.name if isinstance(green, GreenThread) else f"GreenThread-{_next()}"

    @property
    def _g(self) -> greenlet | None:
        return self._green()

    def __repr__(self) -> str:
        return f"<_GreenThread({self._label}, {self._green()!r})>"

    @property
    def name(self) -> str:
        return self._label

    @name.setter
    def name(self, name: str) -> None:
        self._label = str(name)
        green = self._green()
        if isinstance(green, GreenThread):
            green.name = self._label

    def is_alive(self) -> bool:
        green = self._green()
        return green is not None and not green.dead

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, for so many seconds at most.

        :raises RuntimeError: for the current thread, and for what `spawn_n` has started, for which
            nobody can wait.
        """
        green = self._green()
        if green is None or green.dead:
            return
        if green is getcurrent():
            raise RuntimeError("cannot join current thread")
        if not isinstance(green, GreenThread):
            raise RuntimeError("cannot join a green thread of spawn_n")
        ended = Event()
        green.link(_ended, ended)
        try:
            ended.wait(timeout)
        finally:
            green.unlink(_ended, ended)


class _Token:
    """Lives as long as the OS thread that keeps it."""

    __slots__ = ("__weakref__",)


class _OSThread(_Found):
    """An OS thread that ``threading`` knows nothing of, or one of Eventlet's pools."""

    def __init__(self) -> None:
        self._begin(_os_threads.get_ident())
        self._worker = _os_threads.current_worker()
        token = _here.token = _Token()
        self._token = ref(token)
        worker = self._worker
        self._label = worker.name if worker is not None else f"Dummy-{_next()}"

    def is_alive(self) -> bool:
        return self._token() is not None

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, for so many seconds at most.

        :raises RuntimeError: for the current thread, and unless it belongs to a pool of ours.
        """
        if self._number == _os_threads.get_ident():
            raise RuntimeError("cannot join current thread")
        if self._worker is None:
            raise RuntimeError("cannot join a dummy thread")
        self._worker.join(timeout)


def _os_thread() -> Any:
    """Return the current OS thread, which the patched module does not know."""
    original = sys.modules.get("__original_module_threading")
    if original is not None:
        thread = original._active.get(_os_threads.get_ident())
        if thread is not None:
            return thread
    try:
        return _here.thread
    except AttributeError:
        thread = _here.thread = _OSThread()
        return thread


def _ended(_green: Any, ended: Event) -> None:
    if not ended.ready():
        ended.send()


_here = _os_local()
_next = greenthread._numbers.__next__
