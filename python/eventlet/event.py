"""Events: one value, sent once to everybody who waits for it."""

from __future__ import annotations

from eventlet._core import Event

__all__ = ["NOT_USED", "Event"]


class _NotUsed:
    """Marks an argument that was not given."""

    def __repr__(self) -> str:
        return "NOT_USED"


#: Stands for "no value has been sent" where None would be a value.
NOT_USED = _NotUsed()
