"""`concurrent.futures` over the OS threads of `eventlet.tpool`."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from eventlet.event import Event
from eventlet.patcher import original
from eventlet.tpool import ThreadPool

__all__ = ["Executor"]


class Executor(concurrent.futures.Executor):
    """Runs calls in OS threads, and gives a future for each.

    It is a ``concurrent.futures.Executor``, so what takes one of these takes it
    (``loop.run_in_executor``, for one); but `result` and `exception` of its futures, `map` and
    `shutdown` let other green threads run while they wait.

    :param max_workers: how many threads there may be.
    :param idle_seconds: a thread that has had nothing to do for so long ends. None: it stays.
    :param thread_name_prefix: the threads are called this, with a number.
    """

    def __init__(
        self,
        max_workers: int = 20,
        idle_seconds: float | None = 60.0,
        thread_name_prefix: str = "tpool_executor",
    ) -> None:
        self._pool = ThreadPool(max_workers, idle_seconds, name=thread_name_prefix)
        self._closed = False
        #: The futures whose calls have not ended.
        self._pending: set[_Future] = set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have ``fn(*args, **kwargs)`` called; return its future. It never waits.

        :raises RuntimeError: after `shutdown`.
        """
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future = _Future()
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        try:
            self._pool._enqueue([None, _run, (future, fn, args, kwargs), {}])
        except BaseException:
            self._pending.discard(future)
            raise
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; the threads end after those that were made.

        :param wait: return when they have ended.
        :param cancel_futures: cancel the calls that have not begun.
        """
        self._closed = True
        pending = [*self._pending]
        if cancel_futures:
            for future in pending:
                future.cancel()
        self._pool._dismiss()
        if wait:
            for future in pending:
                future._settled.wait()


class _Future(Future[Any]):
    """A future that green threads can wait for."""

    def __init__(self) -> None:
        super().__init__()
        # Held for moments only, and by a hub as well, which could not wait for a green one.
        self._condition = original("threading").Condition()
        self._settled = Event()
        # Not a closure: a future that has been dropped is gone at once.
        self.add_done_callback(_settle)

    def result(self, timeout: float | None = None) -> Any:
        """Return what the call returned, or raise what it raised.

        :raises concurrent.futures.TimeoutError: after `timeout` seconds.
        :raises concurrent.futures.CancelledError: if the future was cancelled.
        """
        self._wait(timeout)
        try:
            return super().result(0)
        finally:
            # An exception leads to this frame, which must not lead back to it.
            del self

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what the call raised, None if it returned. Raises as `result` does."""
        self._wait(timeout)
        return super().exception(0)

    def _wait(self, timeout: float | None) -> None:
        if timeout is None:
            self._settled.wait()
        elif timeout > 0:
            self._settled.wait(timeout)


def _settle(future: Future[Any]) -> None:
    assert isinstance(future, _Future)
    future._settled.send()


def _run(
    future: _Future, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Make the call of a future, in a thread of the pool."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = function(*args, **kwargs)
    except BaseException as error:
        future.set_exception(
            error.with_traceback(error.__traceback__.tb_next if error.__traceback__ else None)
        )
        # Neither must this one, to which the frames of the call lead.
        del future
    else:
        future.set_result(result)
