"""What it takes for ``multiprocessing`` not to block the parent's green threads.

Its pipes have kept ``os.read`` and ``os.write`` if they were imported before these were replaced.
Its locks are semaphores of the system, for which nothing but an OS thread can wait. And in a child
that was forked, the green threads of the parent must not go on: those of a pool would take each
other's work.
"""

from __future__ import annotations

import os
import sys
import threading as _threading
from collections.abc import Callable
from time import monotonic
from types import ModuleType
from typing import Any

from eventlet import hubs
from eventlet._core import can_wait, os_read, os_write
from eventlet._os_threads import ThreadPool

try:
    import _multiprocessing
except ImportError:
    # This Python was built without.
    _multiprocessing = None  # type: ignore[assignment]

__all__ = ["SemLock", "connection_patches"]
