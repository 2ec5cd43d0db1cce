"""Locks: `threading.Lock` for green threads."""

from __future__ import annotations

from eventlet._core import Lock

__all__ = ["Lock"]
