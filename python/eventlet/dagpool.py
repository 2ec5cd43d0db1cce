"""Green threads that wait for one another's results.

A `DAGPool` holds values under keys. A green thread of the pool has a key, its result becomes the
value of that key, and it says which other keys it needs: so the graph of what depends on what is
never spelled out, and everything runs as soon as it can.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, overload

from greenlet import getcurrent

from eventlet._core import Event, spawn
from eventlet.greenthread import GreenThread

__all__ = ["Collision", "DAGPool", "PropagateError"]

_MISSING: Any = object()


class Collision(Exception):
    """A key has a value, or a green thread that will provide one, already."""


class PropagateError(Exception):
    """The green thread that was to provide a value has raised an exception.

    :param key: its key.
    :param exc: the exception; one from further up is a `PropagateError` again.
    """

    def __init__(self, key: Hashable, exc: BaseException) -> None:
        super().__init__(key, exc)
        self.key = key
        self.exc = exc
        self.msg = f"PropagateError({key}): {type(exc).__name__}: {exc}"

    def __str__(self) -> str:
        return self.msg


class _Coro(NamedTuple):
    """A green thread of the pool, and the keys that it still waits for."""

    greenthread: GreenThread
    pending: set[Hashable]


class DAGPool:
    """Values by key, and the green threads that provide them.

    :param preload: values that are there from the beginning, as a mapping or as pairs.

    The function of a green thread is called as ``function(key, results, *args, **kwargs)``.
    Iterating over `results` gives a pair of key and value for each key that it depends on, in the
    order in which they become available, and waits in between.

    What a function raises is kept as a `PropagateError`, which is raised wherever the value is
    asked for. So a failure travels to everything that depends on it, unless somebody on the way
    catches it.
    """

    def __init__(
        self, preload: Mapping[Hashable, Any] | Iterable[tuple[Hashable, Any]] = ()
    ) -> None:
        #: The values so far.
        self.values: dict[Hashable, Any] = dict(preload)
        #: The green threads that have not ended, by key.
        self.coros: dict[Hashable, _Coro] = {}
        #: Is sent, and replaced, whenever there is a new value.
        self.event = Event()

    def spawn(
        self,
        key: Hashable,
        depends: Iterable[Hashable],
        function: Callable[..., Any],
        *args: Any,
        **kwds: Any,
    ) -> None:
        """Run `function` in a green thread that provides the value for `key`.

        :param depends: the keys whose values it needs.
        :raises Collision: if `key` has a value or a green thread.
        """
        if key in self.coros or key in self.values:
            raise Collision(key)
        pending = set(depends)
        results = self._checked(self._arrivals(pending))
        thread: GreenThread = spawn(self._run, function, key, results, args, kwds)
        self.coros[key] = _Coro(thread, pending)

    def spawn_many(
        self,
        depends: Mapping[Hashable, Iterable[Hashable]],
        function: Callable[..., Any],
        *args: Any,
        **kwds: Any,
    ) -> None:
        """Call `spawn` for each key of `depends`, whose value are the keys that it depends on.

        :raises Collision: at the first key that has a value or a green thread; the ones before have
            begun.
        """
        for key, needed in depends.items():
            self.spawn(key, needed, function, *args, **kwds)

    def _run(
        self,
        function: Callable[..., Any],
        key: Hashable,
        results: Iterator[tuple[Hashable, Any]],
        args: tuple[Any, ...],
        kwds: dict[str, Any],
    ) -> Any:
        """Call `function` in its green thread and keep what comes of it."""
        value = _MISSING
        try:
            value = function(key, results, *args, **kwds)
        except Exception as error:
            value = PropagateError(key, error)
        finally:
            own = self.coros.get(key)
            # After a kill the key may belong to somebody else by now.
            if own is not None and own.greenthread is getcurrent():
                del self.coros[key]
        # A value that the function has posted itself stays.
        if key not in self.values and key not in self.coros:
            self.post(key, value)
        return value

    def post(self, key: Hashable, value: Any, replace: bool = False) -> None:
        """Provide the value for `key`, from outside the pool or from the green thread of that key.

        A `PropagateError` as the value is raised wherever the value is asked for.

        :param replace: allow that there is a value already. Who has seen that one is not told.
        :raises Collision: if there is one, or if another green thread is to provide it.
        """
        coro = self.coros.get(key)
        if coro is not None and coro.greenthread is not getcurrent():
            raise Collision(key)
        if key in self.values and not replace:
            raise Collision(key)
        self.values[key] = value
        arrived, self.event = self.event, Event()
        arrived.send()

    def kill(self, key: Hashable) -> None:
        """End the green thread of `key`, which may be used again then.

        :raises KeyError: if there is none.
        """
        coro = self.coros[key]
        coro.greenthread.kill()
        # It may have been killed before it began; or it has ended, and another one has come.
        if self.coros.get(key) is coro:
            del self.coros[key]

    def waitall(self) -> dict[Hashable, Any]:
        """Wait for the values of all keys that the pool knows, and return them.

        :raises PropagateError: if there is an exception among them.
        """
        return self.wait()

    def wait(self, keys: Iterable[Hashable] = _MISSING) -> dict[Hashable, Any]:
        """As `waitall`, for `keys` only."""
        return dict(self.wait_each(keys))

    def wait_each(self, keys: Iterable[Hashable] = _MISSING) -> Iterator[tuple[Hashable, Any]]:
        """Iterate over pairs of key and value, in the order in which the values become available.

        :param keys: the keys to wait for; by default all that the pool knows at the time of the
            call.
        :raises PropagateError: when it comes to an exception.
        """
        return self._checked(self._arrivals(self._wanted(keys)))

    def wait_each_success(
        self, keys: Iterable[Hashable] = _MISSING
    ) -> Iterator[tuple[Hashable, Any]]:
        """As `wait_each`, leaving exceptions out."""
        for key, value in self._arrivals(self._wanted(keys)):
            if not isinstance(value, PropagateError):
                yield key, value

    def wait_each_exception(
        self, keys: Iterable[Hashable] = _MISSING
    ) -> Iterator[tuple[Hashable, PropagateError]]:
        """As `wait_each`, for exceptions only, which are not raised but given."""
        for key, value in self._arrivals(self._wanted(keys)):
            if isinstance(value, PropagateError):
                yield key, value

    def _wanted(self, keys: Iterable[Hashable]) -> set[Hashable]:
        return {*self.coros, *self.values} if keys is _MISSING else set(keys)

    def _arrivals(self, pending: set[Hashable]) -> Iterator[tuple[Hashable, Any]]:
        """Give the values for `pending`, a set from which each is taken out as it is given."""
        while True:
            for key in tuple(pending):
                value = self.values.get(key, _MISSING)
                if value is not _MISSING:
                    pending.discard(key)
                    yield key, value
            if not pending:
                return
            if self.values.keys().isdisjoint(pending):
                self.event.wait()

    @staticmethod
    def _checked(pairs: Iterator[tuple[Hashable, Any]]) -> Iterator[tuple[Hashable, Any]]:
        for key, value in pairs:
            yield key, _raise_or_return(value)

    def __getitem__(self, key: Hashable) -> Any:
        """Wait for the value of `key` and return it, or raise its `PropagateError`."""
        ((_, value),) = self.wait_each((key,))
        return value

    def get(self, key: Hashable, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is none; raise a `PropagateError`."""
        return _raise_or_return(self.values.get(key, default))

    def keys(self) -> tuple[Hashable, ...]:
        """Return the keys that have a value now."""
        return tuple(self.values)

    def items(self) -> tuple[tuple[Hashable, Any], ...]:
        """Return the pairs of key and value that there are now; a `PropagateError` is raised."""
        return tuple((key, _raise_or_return(value)) for key, value in self.values.items())

    def running(self) -> int:
        """Return how many green threads of the pool have not ended."""
        return len(self.coros)

    def running_keys(self) -> tuple[Hashable, ...]:
        """Return the keys of the green threads that have not ended."""
        return tuple(self.coros)

    def waiting(self) -> int:
        """Return how many green threads of the pool still need values."""
        return len(self.waiting_for())

    @overload
    def waiting_for(self) -> dict[Hashable, set[Hashable]]: ...

    @overload
    def waiting_for(self, key: Hashable) -> set[Hashable]: ...

    def waiting_for(self, key: Hashable = _MISSING) -> Any:
        """Tell which keys have to be provided before a green thread can go on.

        :param key: the green thread.
        :returns: the keys that it needs and that have no value; without `key`, a dict of these sets
            for all green threads that need any.
        :raises KeyError: if there is neither a green thread nor a value for `key`.
        """
        available = self.values.keys()
        if key is _MISSING:
            missing = {key: coro.pending - available for key, coro in self.coros.items()}
            return {key: keys for key, keys in missing.items() if keys}
        coro = self.coros.get(key)
        if coro is not None:
            return coro.pending - available
        self.values[key]
        return set()


def _raise_or_return(value: Any) -> Any:
    if isinstance(value, PropagateError):
        raise value
    return value
