"""The module ``queue`` for green threads.

Its queues are those of the standard library over green locks. `maxsize` 0 means that there is no
limit, as it does there; ``eventlet.queue`` is something else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventlet import patcher as _patcher
from eventlet.green import thread as _thread
from eventlet.green import threading as _threading
from eventlet.green import time as _time

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


#: What monkey patching puts into the standard module. Its other classes are written in Python, and
#: become green with the locks that they make.
__patched__ = ["SimpleQueue"]

_patcher.inject(
    "queue",
    globals(),
    ("_thread", _thread),
    ("threading", _threading),
    ("time", _time),
)

SimpleQueue = _PySimpleQueue  # type: ignore[name-defined] # noqa: F821
