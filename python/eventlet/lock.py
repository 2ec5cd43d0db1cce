"""Locks: what `threading` has, for green threads of any OS thread."""

from __future__ import annotations

from eventlet._core import Condition, Lock, RLock

__all__ = ["Condition", "Lock", "RLock"]
