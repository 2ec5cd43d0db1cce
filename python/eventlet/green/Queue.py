"""The module ``queue`` for green threads.

Its queues are those of the standard library over green locks. `maxsize` 0 means that there is no
limit, as it does there; ``eventlet.queue`` is something else.
"""

from __future__ import annotations

import queue as _original
import sys
from types import ModuleType
from typing import Any

from eventlet import patcher as _patcher
from eventlet.green import threading as _threading
from eventlet.green import time as _time
from eventlet.queue import SimpleQueue

__all__ = [name for name in _original.__all__ if hasattr(_original, name)]

#: What monkey patching puts into the standard module. Its other classes are written in Python, and
#: become green with the locks that they make.
__patched__ = ["SimpleQueue"]


def __getattr__(name: str) -> Any:
    if not hasattr(_original, name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_rest(), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(_original)})


def _rest() -> ModuleType:
    """Return the module that has what is not here: once it is patched, the standard one."""
    if _patcher.is_monkey_patched(_original):
        return _original
    made = sys.modules.get("__patched_module_queue")
    if made is None:
        made = _patcher.inject("queue", None, ("threading", _threading), ("time", _time))
        vars(made)["SimpleQueue"] = SimpleQueue
    return made
