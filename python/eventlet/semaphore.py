"""Semaphores: units that green threads take and give back."""

from __future__ import annotations

from types import TracebackType

from eventlet._core import BoundedSemaphore, Semaphore

__all__ = ["BoundedSemaphore", "CappedSemaphore", "Semaphore"]


class CappedSemaphore:
    """A semaphore with a limit at which `release` waits, instead of having more units.

    :param count: the free units at the beginning.
    :param limit: how many there may be.
    :raises ValueError: if `count` is negative or more than `limit`.

    It is two semaphores, of which one is given a unit when one is taken from the other.
    """

    def __init__(self, count: int, limit: int) -> None:
        if count < 0:
            raise ValueError(f"there cannot be {count} units, only 0 or more")
        if count > limit:
            raise ValueError(f"'count' cannot be more than 'limit': {count} > {limit}")
        #: The units that `acquire` takes.
        self.lower_bound = Semaphore(count)
        #: The room that `release` takes.
        self.upper_bound = Semaphore(limit - count)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} at {id(self):#x} b={self.balance} "
            f"l={self.lower_bound} u={self.upper_bound}>"
        )

    def __str__(self) -> str:
        return f"<{type(self).__name__} b={self.balance} l={self.lower_bound} u={self.upper_bound}>"

    def locked(self) -> bool:
        """Tell whether `acquire` would wait."""
        return self.lower_bound.locked()

    def bounded(self) -> bool:
        """Tell whether `release` would wait."""
        return self.upper_bound.locked()

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take a unit, waiting for one if necessary.

        :param blocking: false to return at once.
        :param timeout: the longest wait, in seconds; None and -1 wait for ever.
        :returns: whether it has a unit.
        :raises ValueError: for another negative `timeout`, or one with `blocking` false.
        """
        if not blocking and self.locked():
            # The arguments are checked all the same.
            return self.lower_bound.acquire(False, timeout)
        # The room comes first: somebody who waits to give a unit back may be the one to provide it.
        self.upper_bound.release()
        acquired = False
        try:
            acquired = self.lower_bound.acquire(blocking, timeout)
        finally:
            if not acquired:
                self.upper_bound.counter -= 1
        return acquired

    def release(self, blocking: bool = True) -> bool:
        """Give a unit back, waiting while there are as many as there may be.

        :param blocking: false to return at once.
        :returns: whether it was given back.
        """
        if not blocking and self.bounded():
            return False
        self.lower_bound.release()
        try:
            return self.upper_bound.acquire()
        except BaseException:
            self.lower_bound.counter -= 1
            raise

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.release()

    @property
    def balance(self) -> int:
        """The free units, less those that are waited for, less the room that nobody waits for."""
        return self.lower_bound.balance - self.upper_bound.balance
