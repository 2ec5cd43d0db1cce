"""Waiting for the first of several things."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from eventlet._core import Event, GreenThreadBase, LightQueue, Semaphore
from eventlet.queue import Empty
from eventlet.semaphore import CappedSemaphore

__all__ = ["iwait", "wait"]


def wait(
    objects: Iterable[Any], timeout: float | None = None, count: int | None = None
) -> list[Any]:
    """Wait until things are ready; return those that are, in the order in which they became so.

    A green thread is ready when it has ended, an `Event` when something has been sent, a semaphore
    or lock when it could be acquired, a queue when there is something to get. Nothing is taken from
    them: when the caller comes to it, somebody else may have been faster.

    :param objects: what to wait for.
    :param timeout: seconds to wait at most; None waits for ever.
    :param count: how many to wait for; None waits for all.
    :raises TypeError: for objects of other kinds.
    """
    return list(iwait(objects, timeout, count))


def iwait(
    objects: Iterable[Any], timeout: float | None = None, count: int | None = None
) -> Iterator[Any]:
    """As `wait`, but yield each when it is ready. The time counts from the first one asked for."""
    watched = {id(each): (each, _Watch(each)) for each in objects}
    return _iterate(watched, timeout, len(watched) if count is None else count)


def _iterate(
    watched: dict[int, tuple[Any, _Watch]], timeout: float | None, count: int
) -> Iterator[Any]:
    deadline = None if timeout is None else time.monotonic() + timeout
    hints: LightQueue[int] = LightQueue()
    try:
        if count > 0:
            for key, (_, watch) in watched.items():
                watch.start(functools.partial(hints.put, key))
        while count > 0 and watched:
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            try:
                key = hints.get(timeout=left)
            except Empty:
                return
            if key in watched and watched[key][1].is_ready():
                found, watch = watched.pop(key)
                watch.stop()
                count -= 1
                yield found
    finally:
        for _, watch in watched.values():
            watch.stop()


class _Watch:
    """Gives hints when an object may have become ready."""

    def __init__(self, target: Any) -> None:
        if isinstance(target, CappedSemaphore):
            # It is the units there that `acquire` waits for.
            target = target.lower_bound
        if not isinstance(target, (Event, GreenThreadBase, LightQueue, Semaphore)):
            raise TypeError(
                "green threads, events, semaphores and queues can be waited for, "
                f"not {type(target).__name__}"
            )
        self.target = target
        self.ended = False
        self.hint: Callable[[], object] | None = None

    def start(self, hint: Callable[[], object]) -> None:
        self.hint = hint
        if isinstance(self.target, GreenThreadBase):
            self.target.link(self._end)
            return
        self.target._watch(hint)
        if self.is_ready():
            hint()

    def stop(self) -> None:
        hint, self.hint = self.hint, None
        if hint is None:
            return
        if isinstance(self.target, GreenThreadBase):
            self.target.unlink(self._end)
        else:
            self.target._unwatch(hint)

    def is_ready(self) -> bool:
        if isinstance(self.target, GreenThreadBase):
            return self.ended
        if isinstance(self.target, Event):
            return self.target.ready()
        if isinstance(self.target, Semaphore):
            return not self.target.locked()
        return not self.target.empty() or self.target.putting() > 0

    def _end(self, _green_thread: Any) -> None:
        self.ended = True
        if self.hint is not None:
            self.hint()
