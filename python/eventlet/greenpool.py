"""Pools of green threads: many calls at once, but not too many."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

from eventlet._core import Event, LightQueue, Semaphore, spawn
from eventlet.greenthread import GreenThread

__all__ = ["GreenPile", "GreenPool"]

#: Whether exceptions in what `GreenPool.spawn_n` runs are printed.
DEBUG = True


class GreenPool:
    """Runs functions in green threads, at most so many at a time.

    :param size: how many.
    :raises TypeError: if it is not a number.
    :raises ValueError: if it is negative.

    A pool belongs to the green threads of one OS thread.
    """

    def __init__(self, size: int = 1000) -> None:
        try:
            size = int(size)
        except ValueError as error:
            raise TypeError(f"the size of a GreenPool is an integer: {error}") from None
        if size < 0:
            raise ValueError(f"the size of a GreenPool is 0 or more, not {size}")
        #: How many green threads may run.
        self.size = size
        #: Those that run.
        self.coroutines_running: set[greenlet] = set()
        #: One unit for each that may still be started.
        self.sem = Semaphore(size)
        #: Is sent when none runs any more; another one is made when the next begins.
        self.no_coros_running = Event()
        self._spawning = 0

    def resize(self, new_size: int) -> None:
        """Change how many green threads may run at a time.

        More: those that wait in `spawn` go on. Fewer: nobody is stopped, but nobody begins before
        enough have ended; until then `free` is negative.
        """
        delta = new_size - self.size
        self.size = new_size
        self.sem.counter += delta

    def running(self) -> int:
        """Return how many green threads run."""
        return len(self.coroutines_running)

    def free(self) -> int:
        """Return how many more can be started without waiting."""
        return self.sem.counter

    def waiting(self) -> int:
        """Return how many green threads wait in `spawn` or `spawn_n`."""
        return max(0, -self.sem.balance)

    def spawn(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> GreenThread:
        """Run ``function(*args, **kwargs)`` in a green thread of the pool.

        Waits while the pool is full. In a green thread of the pool itself, which would wait for its
        own end, the function is called on the spot then.

        :returns: the green thread; its ``wait()`` gives the result.
        """
        if self._is_inside():
            inline = GreenThread(getcurrent())
            inline.main(function, args, kwargs)
            return inline
        return self._start(function, args, kwargs)

    def spawn_n(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """As `spawn`, for calls whose result nobody wants. With `DEBUG` exceptions are printed."""
        if self._is_inside():
            _call(function, args, kwargs)
        else:
            self._start(_call, (function, args, kwargs), {})

    def _is_inside(self) -> bool:
        """Tell whether the pool is full and the caller belongs to it."""
        return self.sem.locked() and getcurrent() in self.coroutines_running

    def _start(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> GreenThread:
        # Until it is in the set, `waitall` must know of it all the same.
        self._spawning += 1
        try:
            self.sem.acquire()
        except BaseException:
            self._spawning -= 1
            self._check_idle()
            raise
        self._spawning -= 1
        try:
            thread: GreenThread = spawn(function, *args, **kwargs)
        except BaseException:
            self.sem.release()
            self._check_idle()
            raise
        running = self.coroutines_running
        if not running and self.no_coros_running.ready():
            self.no_coros_running = Event()
        running.add(thread)
        thread.link(self._spawn_done)
        return thread

    def _spawn_done(self, thread: greenlet) -> None:
        """Note that a green thread of the pool has ended."""
        self.coroutines_running.discard(thread)
        self.sem.release()
        self._check_idle()

    def _check_idle(self) -> None:
        """Let `waitall` return if nobody runs and nobody is about to."""
        if not self.coroutines_running and not self._spawning and not self.no_coros_running.ready():
            self.no_coros_running.send(None)

    def waitall(self) -> None:
        """Wait until no green thread of the pool runs, and none waits to begin.

        :raises AssertionError: in a green thread of the pool, which would wait for itself.
        """
        assert getcurrent() not in self.coroutines_running, (
            "a green thread of the pool that waits for all of them waits for itself"
        )
        if self.coroutines_running:
            self.no_coros_running.wait()

    def starmap(
        self, function: Callable[..., Any] | None, iterable: Iterable[Iterable[Any]]
    ) -> GreenMap:
        """Call ``function(*args)`` for each `args` of `iterable`, `size` calls at a time.

        :param function: the function; None returns the arguments as a tuple.
        :param iterable: may be endless: no more of it is read than there are calls and results that
            wait for the consumer.
        :returns: an iterator over the results, in order. An exception of a call is raised in its
            place, and the iterator can be used on.
        """
        if function is None:
            function = _arguments
        results = GreenMap(self.size)
        spawn(_feed, results, function, iterable)
        return results

    def imap(self, function: Callable[..., Any] | None, *iterables: Iterable[Any]) -> GreenMap:
        """As `starmap`, with the arguments from several iterables, as `map` takes them."""
        return self.starmap(function, zip(*iterables, strict=False))


def _arguments(*args: Any) -> tuple[Any, ...]:
    return args


def _call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Call a function whose result nobody wants."""
    try:
        function(*args, **kwargs)
    except (KeyboardInterrupt, SystemExit, GreenletExit):
        raise
    except BaseException:
        if DEBUG:
            traceback.print_exc()


def _feed(
    results: GreenMap, function: Callable[..., Any], iterable: Iterable[Iterable[Any]]
) -> None:
    """Start the calls of a `GreenMap`. What the iterable raises, the consumer gets."""
    try:
        for args in iterable:
            results.spawn(function, *args)
    except Exception as error:
        results.spawn(_raise, error)
    results.done_spawning()


def _raise(error: BaseException) -> None:
    raise error


class GreenPile:
    """Calls in green threads, and their results in the order of the calls.

    :param size_or_pool: a pool that is shared with others, or the size of one of its own.

    It is an iterator over the results; it ends when there are no calls whose result has not been
    had.
    """

    def __init__(self, size_or_pool: GreenPool | int = 1000) -> None:
        if isinstance(size_or_pool, GreenPool):
            self.pool = size_or_pool
        else:
            self.pool = GreenPool(size_or_pool)
        #: The green threads whose results are still to be had.
        self.waiters: LightQueue[GreenThread] = LightQueue()
        #: How many these are.
        self.counter = 0

    def spawn(self, func: Callable[..., Any], *args: Any, **kw: Any) -> None:
        """Call ``func(*args, **kw)`` in a green thread, waiting while the pool is full."""
        self.counter += 1
        try:
            self.waiters.put(self.pool.spawn(func, *args, **kw))
        except BaseException:
            self.counter -= 1
            raise

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self.counter == 0:
            raise StopIteration
        return self._next()

    def next(self) -> Any:
        """Wait for the next result. Raises StopIteration if there is none to come."""
        return self.__next__()

    def _next(self) -> Any:
        try:
            return self.waiters.get().wait()
        finally:
            self.counter -= 1


class GreenMap(GreenPile):
    """A pile with a producer and a consumer: it holds few results, and ends when the producer says
    so.

    :param size_or_pool: as for `GreenPile`; it also limits the results that wait for the consumer.
    """

    def __init__(self, size_or_pool: GreenPool | int) -> None:
        super().__init__(size_or_pool)
        self.waiters = LightQueue(self.pool.size)
        self._ended = False

    def done_spawning(self) -> None:
        """Say that no more calls follow: the iterator ends after the results of those made."""
        self.spawn(_end)

    def __next__(self) -> Any:
        if self._ended:
            raise StopIteration
        result = self._next()
        if result is _END:
            self._ended = True
            raise StopIteration
        return result


#: What the last call of a `GreenMap` returns.
_END: Any = object()


def _end() -> Any:
    return _END
