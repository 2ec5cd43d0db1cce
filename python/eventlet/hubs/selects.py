"""The hub over the system call ``select``."""

from __future__ import annotations

from eventlet import _core
from eventlet.hubs import hub

__all__ = ["Hub", "is_available"]


def is_available() -> bool:
    """Tell whether the platform has it."""
    return "select" in _core.backends()


class Hub(hub.Hub):
    """The hub over ``select``."""

    def __new__(cls) -> Hub:
        """Make a hub."""
        return super().__new__(cls, "select")
