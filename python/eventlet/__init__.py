"""Green threads and a hub: plain blocking Python code that serves many connections at once.

The names here are the ones that programs use most. Everything is found in its own module too, and
modules are loaded when they are first used, so that ``import eventlet`` stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from eventlet import _os_threads
from eventlet._version import __version__
from eventlet.event import Event
from eventlet.greenthread import (
    GreenThread,
    getcurrent,
    kill,
    sleep,
    spawn,
    spawn_after,
    spawn_after_local,
    spawn_n,
)
from eventlet.timeout import Timeout, is_timeout, with_timeout, wrap_is_timeout

if TYPE_CHECKING:
    from eventlet.convenience import StopServe, connect, listen, serve, wrap_ssl
    from eventlet.greenpool import GreenPile, GreenPool
    from eventlet.patcher import import_patched, monkey_patch
    from eventlet.queue import Queue
    from eventlet.semaphore import BoundedSemaphore, CappedSemaphore, Semaphore
    from eventlet.waiting import iwait, wait

#: Names that live in a module which is imported on first use.
_LAZY = {
    "BoundedSemaphore": "eventlet.semaphore",
    "CappedSemaphore": "eventlet.semaphore",
    "GreenPile": "eventlet.greenpool",
    "GreenPool": "eventlet.greenpool",
    "Queue": "eventlet.queue",
    "Semaphore": "eventlet.semaphore",
    "StopServe": "eventlet.convenience",
    "connect": "eventlet.convenience",
    "import_patched": "eventlet.patcher",
    "iwait": "eventlet.waiting",
    "listen": "eventlet.convenience",
    "monkey_patch": "eventlet.patcher",
    "serve": "eventlet.convenience",
    "wait": "eventlet.waiting",
    "wrap_ssl": "eventlet.convenience",
}

#: Modules that are reachable as attributes without an import statement.
_MODULES = frozenset(
    {
        "convenience",
        "event",
        "green",
        "greenio",
        "greenpool",
        "greenthread",
        "hubs",
        "patcher",
        "queue",
        "semaphore",
        "support",
        "timeout",
        "waiting",
    }
)

__all__ = [
    "BoundedSemaphore",
    "CappedSemaphore",
    "Event",
    "GreenPile",
    "GreenPool",
    "GreenThread",
    "Queue",
    "Semaphore",
    "StopServe",
    "Timeout",
    "__version__",
    "connect",
    "getcurrent",
    "import_patched",
    "is_timeout",
    "iwait",
    "kill",
    "listen",
    "monkey_patch",
    "serve",
    "sleep",
    "spawn",
    "spawn_after",
    "spawn_after_local",
    "spawn_n",
    "wait",
    "with_timeout",
    "wrap_is_timeout",
    "wrap_ssl",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(importlib.import_module(_LAZY[name]), name)
    elif name == "greenlet":
        value = importlib.import_module("greenlet")
    elif name in _MODULES:
        value = importlib.import_module(f"eventlet.{name}")
    else:
        raise AttributeError(f"module 'eventlet' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_MODULES})
