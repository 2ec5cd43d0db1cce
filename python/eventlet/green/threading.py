"""The module ``threading``: its threads are green threads, and its locks are for them.

What is not replaced is the standard library's: once that is patched, its very own classes and
functions; until then, those of a copy that imports green modules.
"""

from __future__ import annotations

import contextlib
import sys
import threading as _original
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from greenlet import GreenletExit

from eventlet import patcher as _patcher
from eventlet._core import get_ident
from eventlet.corolocal import local
from eventlet.green import _fork, _threads
from eventlet.green import thread as _thread
from eventlet.green import time as _time
from eventlet.green.thread import allocate_lock
from eventlet.lock import Condition, Lock, RLock

__all__ = [name for name in _original.__all__ if hasattr(_original, name)]

#: What monkey patching puts into the standard module. The tables of threads are its own, and are
#: listed for those who patch with another module's names.
__patched__ = [
    "Condition",
    "Lock",
    "RLock",
    "_CRLock",
    "_DummyThread",
    "_PyRLock",
    "_RLock",
    "_active",
    "_limbo",
    "_allocate_lock",
    "_shutdown",
    "currentThread",
    "current_thread",
    "get_ident",
    "local",
]

#: They make green locks, or ask for the thread where we can answer.
__fixed__ = [
    "Condition",
    "Lock",
    "RLock",
    "_CRLock",
    "_DummyThread",
    "_PyRLock",
    "_RLock",
    "currentThread",
    "current_thread",
]

current_thread = currentThread = _threads.current_thread
_DummyThread = _threads.DummyThread
_OSHandle: Any = vars(_original).get("_ThreadHandle", ())
_OSRLock: Any = type(_original.RLock())
_CRLock = _PyRLock = _RLock = RLock
_allocate_lock = allocate_lock

# What the running Python starts its threads with.
for _name, _from in {
    "_LockType": "LockType",
    "_ThreadHandle": "_ThreadHandle",
    "_get_main_thread_ident": "_get_main_thread_ident",
    "_make_thread_handle": "_make_thread_handle",
    "_set_sentinel": "_set_sentinel",
    "_start_joinable_thread": "start_joinable_thread",
    "_start_new_thread": "start_new_thread",
    "_thread_shutdown": "_shutdown",
}.items():
    if hasattr(_original, _name):
        globals()[_name] = getattr(_thread, _from)
        __patched__.append(_name)
del _name, _from


def __getattr__(name: str) -> Any:
    if not hasattr(_original, name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_rest(), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(_original)})


def _rest() -> ModuleType:
    """Return the module that has what is not here."""
    if _patcher.is_monkey_patched(_original):
        return _original
    made = sys.modules.get("__patched_module_threading")
    if made is None:
        made = _patcher.inject("threading", None, ("_thread", _thread), ("time", _time))
        # At the end the interpreter asks the standard module only.
        with contextlib.suppress(RuntimeError):  # which means that this is the end
            _register_atexit(vars(made)["_shutdown"])
        vars(made).update({name: globals()[name] for name in __patched__ if name in globals()})
        # Not the green thread that happens to be the first to ask.
        main = vars(made)["_main_thread"]
        main._ident = _original.main_thread().ident
        vars(made)["_active"] = {main._ident: main}
        _fork.watch(made)
        _threads.home = vars(made)
    return made


def __switch_patched__(on: bool) -> None:
    """Do what the tables cannot: for threads that are running already."""
    for thread in [*vars(_original)["_active"].values()]:
        handle: Any = getattr(thread, "_handle", None)
        if on and isinstance(handle, _OSHandle):
            thread._handle = _thread._OSThreadHandle(handle)
        elif not on and hasattr(handle, "real"):
            thread._handle = handle.real
    # The threads of the copy, if there is one, are found among those of the standard module.
    made = sys.modules.get("__patched_module_threading")
    if on and made is not None:
        _fork.share(made, _original)
    if on:
        _threads.home = vars(_original)
    else:
        _threads.home = _threads.Unmade() if made is None else vars(made)


def __also_patched__() -> list[tuple[Any, str, Any]]:
    """Return locks of the module's own, and the hook that reports errors, unless it is another."""
    also: list[tuple[Any, str, Any]] = [(_original, "_active_limbo_lock", RLock())]
    if hasattr(_original, "_shutdown_locks_lock"):
        also.append((_original, "_shutdown_locks_lock", Lock()))
    if _original.excepthook is _original.__excepthook__:
        also.append((_original, "excepthook", excepthook))
    if "logging" in sys.modules:
        also += _logging_locks(sys.modules["logging"])
    return also


def _logging_locks(logging: Any) -> Iterator[tuple[Any, str, Any]]:
    """Yield new locks for the handlers that exist, in place of those that nobody holds."""
    handlers = [handler for found in [*logging._handlerList] if (handler := found()) is not None]
    for owner, name in [(logging, "_lock"), *((handler, "lock") for handler in handlers)]:
        lock = getattr(owner, name, None)
        if isinstance(lock, _OSRLock) and not lock._is_owned() and lock.acquire(blocking=False):
            lock.release()
            yield owner, name, RLock()


def excepthook(args: Any, /) -> None:
    """As ``threading.excepthook``, but for what ends green threads from outside.

    One that was killed has nothing to say, and the main thread is the one to be interrupted.
    """
    running = _thread._running.get(get_ident())
    if issubclass(args.exc_type, GreenletExit):
        return
    if running is not None and issubclass(args.exc_type, KeyboardInterrupt):
        running.interrupt = args.exc_value
        return
    _original_excepthook(args)


_original_excepthook: Callable[[Any], object] = _original.__excepthook__
_register_atexit: Callable[..., None] = vars(_original)["_register_atexit"]
_original_shutdown: Callable[[], None] = vars(_original)["_shutdown"]


def _shutdown() -> None:
    """Wait for all threads that the interpreter waits for before it ends."""
    _original_shutdown()
    real = sys.modules.get("__original_module_threading")
    if real is None:
        return
    for thread in real.enumerate():
        if not thread.daemon and thread is not real.main_thread():
            # It may need green threads to come to its end, and no other thread can be started now
            # that would wait for it.
            while thread.is_alive():
                _time.sleep(_LOOK_AGAIN)


#: Seconds after which the end of a real thread is noticed when the interpreter ends.
_LOOK_AGAIN = 0.01

_fork.watch(_original)
