"""Queues: what some green threads put in, others get out.

They look like those of the standard library's `queue`, whose exceptions they raise, with one
difference: a queue of size 0 is not unlimited but a channel, in which an item goes from hand to
hand. `SimpleQueue` has no size; items may be put into it from signal handlers and finalizers.
"""

from __future__ import annotations

from queue import Empty, Full
from typing import Any

from greenlet import getcurrent, greenlet

from eventlet._core import LifoQueue, LightQueue, PriorityQueue, Queue, SimpleQueue, get_hub

__all__ = [
    "Empty",
    "Full",
    "LifoQueue",
    "LightQueue",
    "PriorityQueue",
    "Queue",
    "SimpleQueue",
]


class Waiter:
    """One green thread that waits to be resumed by the hub, and nobody else.

    `switch` and `throw` do nothing when no green thread is in `wait`.
    """

    __slots__ = ("greenlet",)

    def __init__(self) -> None:
        self.greenlet: greenlet | None = None

    def __repr__(self) -> str:
        waiting = " waiting" if self.waiting else ""
        return f"<{type(self).__name__} at {id(self):#x}{waiting} greenlet={self.greenlet!r}>"

    def __str__(self) -> str:
        waiting = " waiting" if self.waiting else ""
        return f"<{type(self).__name__}{waiting} greenlet={self.greenlet}>"

    def __bool__(self) -> bool:
        return self.waiting

    @property
    def waiting(self) -> bool:
        """Whether a green thread is in `wait`."""
        return self.greenlet is not None

    def switch(self, value: Any = None) -> None:
        """Let `wait` return `value`. Raises AssertionError outside the hub."""
        target = self._target()
        if target is not None:
            target.switch(value)

    def throw(self, *throw_args: Any) -> None:
        """Let `wait` raise an exception. Raises AssertionError outside the hub."""
        target = self._target()
        if target is not None:
            target.throw(*throw_args)

    def _target(self) -> greenlet | None:
        assert getcurrent() is get_hub().greenlet, "a Waiter is resumed by the hub only"
        return self.greenlet

    def wait(self) -> Any:
        """Wait for `switch` or `throw`. Raises AssertionError if another green thread does so."""
        assert self.greenlet is None, f"this Waiter is in use by {self.greenlet!r}"
        self.greenlet = getcurrent()
        try:
            return get_hub().switch()
        finally:
            self.greenlet = None


class ItemWaiter(Waiter):
    """A `Waiter` that has an item with it.

    :param item: the item.
    :param block: whether it waits for as long as it takes.
    """

    __slots__ = ("block", "item")

    def __init__(self, item: Any, block: bool) -> None:
        super().__init__()
        self.item = item
        self.block = block
