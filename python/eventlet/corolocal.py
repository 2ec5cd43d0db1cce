"""Attributes that each green thread has for itself."""

from __future__ import annotations

from eventlet._core import get_ident, local

__all__ = ["get_ident", "local"]
