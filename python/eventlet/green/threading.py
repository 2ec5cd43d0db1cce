"""The module ``threading``: its threads are green threads, and its locks are for them.

What is not replaced is the standard library's: once that is patched, its very own classes and
functions; until then, those of a copy that imports green modules.
"""

from __future__ import annotations

import threading as _original
from types import ModuleType
from typing import TYPE_CHECKING, Any

from eventlet import patcher as _patcher
from eventlet.corolocal import local
from eventlet.green import thread as _thread
from eventlet.green import time as _time
from eventlet.green.thread import allocate_lock, get_ident
from eventlet.lock import Lock

__all__ = [name for name in _original.__all__ if hasattr(_original, name)]

#: What monkey patching puts into the standard module.
__patched__ = ["Lock", "_CRLock", "_allocate_lock", "get_ident", "local"]

_CRLock = _original._PyRLock  # type: ignore[attr-defined]
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
    return getattr(_rest(), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(_original)})


def _rest() -> ModuleType:
    """Return the module that has what is not here."""
    if _patcher.is_monkey_patched(_original):
        return _original
    return _patcher.inject("threading", None, ("_thread", _thread), ("time", _time))
