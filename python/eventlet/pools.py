"""Pools of things that are made when needed, lent out, and used again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from eventlet import queue

__all__ = ["Pool", "Token", "TokenPool"]


class _Channel(queue.LightQueue[Any]):
    """The queue of a pool's free items, in the order that the pool likes."""

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self.queue = deque()
        self._as_stack = pool.order_as_stack

    def _put(self, item: Any) -> None:
        if self._as_stack:
            self.queue.appendleft(item)
        else:
            self.queue.append(item)


class Pool:
    """Lends out at most `max_size` items, and makes them when they are first needed.

    :param min_size: how many are made at once.
    :param max_size: how many there may be.
    :param order_as_stack: lend the item that came back last, rather than the one that has been free
        for longest.
    :param create: a function without arguments that makes an item. Or a subclass defines `create`.
    """

    def __init__(
        self,
        min_size: int = 0,
        max_size: int = 4,
        order_as_stack: bool = False,
        create: Callable[[], Any] | None = None,
    ) -> None:
        self.min_size = min_size
        self.max_size = max_size
        self.order_as_stack = order_as_stack
        #: How many items there are, lent out or free.
        self.current_size = 0
        #: Holds the free items, and those who wait for one.
        self.channel = _Channel(self)
        if create is not None:
            self.create = create  # type: ignore[method-assign]
        for _ in range(min_size):
            self.current_size += 1
            self.free_items.append(self.create())

    @property
    def free_items(self) -> deque[Any]:
        """The free items, and those on their way to somebody who waits."""
        items: deque[Any] = self.channel.queue
        return items

    @free_items.setter
    def free_items(self, items: deque[Any]) -> None:
        self.channel.queue = items

    def get(self) -> Any:
        """Return an item, waiting for one if all are lent out. What `create` raises is raised."""
        if self.channel.qsize():
            item = self.channel.get_nowait()
        elif self.current_size < self.max_size:
            # It counts from now on: `create` may let others run.
            self.current_size += 1
            item = _PLACE
        else:
            item = self.channel.get()
        if item is not _PLACE:
            return item
        try:
            return self.create()
        except BaseException:
            self._leave_place()
            raise

    def _leave_place(self) -> None:
        """Give up the place of an item that is lost: who waits may make another."""
        if self.channel.getting() > 0:
            self.channel.put(_PLACE)
        else:
            self.current_size -= 1

    @contextmanager
    def item(self) -> Iterator[Any]:
        """Lend an item for the time of a ``with`` block."""
        item = self.get()
        try:
            yield item
        finally:
            self.put(item)

    def put(self, item: Any) -> None:
        """Give an item back: to the first who waits, if anybody does. It never waits.

        An item too many, after `resize`, is dropped.
        """
        if self.current_size > self.max_size:
            self.current_size -= 1
        else:
            self.channel.put(item)

    def resize(self, new_size: int) -> None:
        """Change how many items there may be. Items too many are dropped when they come back."""
        self.max_size = new_size

    def free(self) -> int:
        """Return how many times `get` would not wait; negative while there are items too many."""
        return self.channel.qsize() + self.max_size - self.current_size

    def waiting(self) -> int:
        """Return how many green threads wait in `get` that no item is on its way to."""
        return self.channel.getting()

    def create(self) -> Any:
        """Make an item. Subclasses define this, or the constructor is given a function."""
        raise NotImplementedError("define create() in a subclass, or pass it to the pool")


#: In the channel: no item, but the right to make one.
_PLACE = object()


class Token:
    """Stands for the right to do something; one token is as good as another."""


class TokenPool(Pool):
    """A pool of tokens, for a resource that only so many may use at a time."""

    def create(self) -> Token:
        """Make a token."""
        return Token()
