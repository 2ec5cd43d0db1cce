"""OS threads for calls that block, whatever a program has patched.

The names are taken when Eventlet is first imported, before anything can be monkey patched: these
threads are real ones, always.
"""

from __future__ import annotations

import os
from _queue import SimpleQueue
from _thread import allocate_lock, get_ident, start_new_thread
from collections.abc import Callable
from typing import Any

from eventlet.event import Event

__all__ = ["ThreadPool", "allocate_lock", "get_ident", "start_new_thread"]


class ThreadPool:
    """Runs calls in OS threads while the green threads that made them wait.

    :param size: how many threads there may be. They are started when needed, and stay.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        # Also what a forked child begins with: the threads exist in the parent only.
        self._lock = allocate_lock()
        self._jobs: SimpleQueue[tuple[Any, ...]] = SimpleQueue()
        self._threads = 0
        self._unfinished = 0

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return ``function(*args, **kwargs)``, or raise what it raises.

        A green thread that is interrupted while it waits (a `Timeout`, a kill) does not stop the
        call; its result is dropped.
        """
        done = Event()
        with self._lock:
            self._unfinished += 1
            start = self._unfinished > self._threads < self.size
            if start:
                self._threads += 1
        self._jobs.put((done, function, args, kwargs))
        if start:
            try:
                start_new_thread(self._work, (self._jobs,))
            except RuntimeError:
                with self._lock:
                    self._threads -= 1
                    alone = self._threads == 0
                if alone:
                    raise
        return done.wait()

    def _work(self, jobs: SimpleQueue[tuple[Any, ...]]) -> None:
        while True:
            done, function, args, kwargs = jobs.get()
            try:
                result, error = function(*args, **kwargs), None
            except BaseException as caught:
                result, error = None, caught
            with self._lock:
                self._unfinished -= 1
            if error is None:
                done.send(result)
            else:
                done.send(exc=error)
            # Nothing of the last call outlives it while the thread waits for the next one.
            del done, function, args, kwargs, result, error
