"""The hub over the system call ``epoll``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventlet import _core
from eventlet.hubs import hub

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Hub", "is_available"]


def is_available() -> bool:
    """Tell whether the platform has it."""
    return "epoll" in _core.backends()


class Hub(hub.Hub):
    """The hub over ``epoll``."""

    def __new__(cls, *_args: Any, **_kw: Any) -> Self:
        """Make a hub; arguments are for the constructors of subclasses."""
        return super().__new__(cls, "epoll")
