"""OS threads for calls that block, whatever a program has patched.

The names are taken when Eventlet is first imported, before anything can be monkey patched: these
threads are real ones, always, and so are `RLock` and `SimpleQueue`.

A call is a list of what is needed to make it. The green thread that waits for the call empties the
list when it goes on, so that a call which nobody waits for any more is not begun, and keeps nothing
alive. The threads are Python's, and run Python code only: when the interpreter ends, a thread that
comes out of a blocking call is unwound by the C library, which no native frame of ours would
survive.
"""

from __future__ import annotations

import os
from _queue import Empty
from _queue import SimpleQueue as _SimpleQueue
from _thread import RLock as _RLock
from _thread import allocate_lock, get_ident, get_native_id, start_new_thread
from _weakref import ref
from collections import deque
from collections.abc import Callable
from time import monotonic
from time import sleep as _sleep
from typing import Any

from eventlet._core import end_hub, has_hub
from eventlet.event import Event

__all__ = ["RLock", "ThreadPool", "Worker", "allocate_lock", "get_ident", "start_new_thread"]

#: ``[done, function, args, kwargs]``; empty once nobody waits. `done` is None, or has `send` as an
#: `Event` has it.
_Job = list[Any]


class RLock(_RLock):  # type: ignore[misc]
    """The lock of the standard library, whatever becomes of the methods of its type."""

    __slots__ = ()

    acquire = _RLock.acquire
    release = _RLock.release
    __enter__ = _RLock.__enter__
    __exit__ = _RLock.__exit__


class SimpleQueue(_SimpleQueue[Any]):
    """The queue of the standard library, whatever becomes of the methods of its type."""

    __slots__ = ()

    get = _SimpleQueue.get
    put = _SimpleQueue.put


class Worker:
    """One of the threads of a `ThreadPool`."""

    __slots__ = ("ended", "ident", "job", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        #: What the system calls the thread; None until it runs.
        self.ident: int | None = None
        #: The call that it makes, None between calls.
        self.job: _Job | None = None
        self.ended = Event()

    @property
    def daemon(self) -> bool:
        """Whether the interpreter ends without waiting for the thread; it does."""
        return True

    def is_alive(self) -> bool:
        """Return whether it has not ended."""
        return not self.ended.ready()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, for `timeout` seconds at most; other green threads run."""
        self.ended.wait(timeout)

    def __repr__(self) -> str:
        return f"<Worker {self.name} {'alive' if self.is_alive() else 'ended'}>"


class _Crew:
    """The threads that take calls from one queue; a pool has one at a time."""

    __slots__ = ("jobs", "size", "sleepers", "unfinished")

    def __init__(self) -> None:
        self.jobs: _SimpleQueue[_Job | None] = SimpleQueue()
        #: How many threads there are.
        self.size = 0
        #: What the threads wait for that have green threads of their own: a job, perhaps.
        self.sleepers: list[Event] = []
        #: How many calls are waiting or under way.
        self.unfinished = 0


class ThreadPool:
    """Runs calls in OS threads while the green threads that made them wait.

    A thread is started when a call finds none free, up to `max_threads`; further calls wait in
    line. Green threads of any OS thread may use the pool, and so may OS threads without any.

    :param max_threads: how many threads there may be.
    :param idle_seconds: a thread that has had nothing to do for so long ends. None: it stays.
    :param min_threads: how many stay all the same, once they were started.
    :param name: the threads are called this, with a number.
    """

    def __init__(
        self,
        max_threads: int = 20,
        idle_seconds: float | None = None,
        *,
        min_threads: int = 0,
        name: str = "pool_thread",
    ) -> None:
        if max_threads < 1:
            raise ValueError(f"a pool needs a thread at least, not {max_threads}")
        self.max_threads = max_threads
        self.min_threads = min_threads
        self.idle_seconds = idle_seconds
        self.name = name
        #: The threads that run, oldest first.
        self.threads: list[Worker] = []
        self._reset()
        _pools.append(ref(self, _pools.remove))

    def _reset(self) -> None:
        # Also what a forked child begins with: the threads exist in the parent only.
        #
        # Reentrant, as a call may be made by a signal handler or a finalizer at any point.
        self._lock = RLock()
        self._crew = _Crew()
        self.threads.clear()
        self._idents: set[int] = set()
        self._started = 0

    def execute(self, meth: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Return ``meth(*args, **kwargs)``, called in a thread of the pool.

        What it raises is raised here, with its traceback. A green thread that is interrupted while
        it waits (a `Timeout`, a kill) does not stop the call: its result is dropped. If it has not
        begun, it never does. In one of the pool's own threads the call is made on the spot.
        """
        if get_ident() in self._idents:
            return meth(*args, **kwargs)
        done = Event()
        job: _Job = [done, meth, args, kwargs]
        try:
            self._enqueue(job)
            return done.wait()
        finally:
            # Whatever happened, nobody waits any more. What an exception's traceback refers to
            # must not refer back to the exception.
            job.clear()
            del done

    def submit(
        self, done: Any, meth: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> list[Any]:
        """Have ``meth(*args, **kwargs)`` called in a thread of the pool.

        :param done: gets the result by its ``send(result)``, or the exception by its
            ``send(exc=exception)``; in the thread that made the call. None: nobody wants to know.
        :returns: a list; the call is not begun any more once the list has been emptied.
        """
        job: _Job = [done, meth, args, kwargs]
        self._enqueue(job)
        return job

    def start(self, threads: int) -> None:
        """Start threads until there are so many; never more than `max_threads`."""
        while True:
            with self._lock:
                crew = self._crew
                if crew.size >= min(threads, self.max_threads):
                    return
                crew.size += 1
            self._start_thread(crew)

    def resize(self, max_threads: int) -> None:
        """Change how many threads there may be. Those too many end when they are idle."""
        if max_threads < 1:
            raise ValueError(f"a pool needs a thread at least, not {max_threads}")
        with self._lock:
            self.max_threads = max_threads
            crew = self._crew
            missing = min(crew.unfinished, max_threads) - crew.size
            leaving = crew.size - max_threads
        if missing > 0:
            self.start(crew.size + missing)
        for _ in range(leaving):
            # A call that does nothing, after which its thread looks whether it is one too many.
            self._put(crew, [None, _nothing, (), {}])

    def busy(self) -> int:
        """Return how many calls are waiting or under way."""
        return self._crew.unfinished

    def killall(self) -> None:
        """End the threads, after the calls that were made before; returns when they have ended.

        It does not wait for a thread whose call nobody waits for, since that may never end; the
        thread ends after the call. The pool may be used again: it starts new threads.
        """
        for worker in self._dismiss():
            # It ends after this very call, if it is the caller's own; and an empty job is one that
            # nobody waits for.
            if worker.ident != get_ident():
                while not worker.ended.ready() and worker.job != []:
                    worker.ended.wait(_LOOK_AGAIN)

    def _dismiss(self) -> list[Worker]:
        """Tell the threads to end after the calls that were made before; return them."""
        with self._lock:
            crew, self._crew = self._crew, _Crew()
            self._started = 0
            workers = self.threads[:]
            self.threads.clear()
            for _ in range(crew.size):
                crew.jobs.put(None)
            sleepers = crew.sleepers[:]
            crew.sleepers.clear()
        for sleeper in sleepers:
            sleeper.send()
        return workers

    def __enter__(self) -> ThreadPool:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.killall()

    def _enqueue(self, job: _Job) -> None:
        """Have a call made; start a thread for it if there may be one more."""
        with self._lock:
            crew = self._crew
            start = crew.unfinished >= crew.size < self.max_threads
            if start:
                crew.size += 1
            self._put(crew, job)
        if start:
            self._start_thread(crew)

    def _put(self, crew: _Crew, job: _Job) -> None:
        with self._lock:
            crew.unfinished += 1
            crew.jobs.put(job)
            sleeper = crew.sleepers.pop() if crew.sleepers else None
        if sleeper is not None:
            sleeper.send()

    def _start_thread(self, crew: _Crew) -> None:
        """Start a thread that has been counted already."""
        with self._lock:
            worker = Worker(f"{self.name}_{self._started}")
            self._started += 1
            if crew is self._crew:
                self.threads.append(worker)
        try:
            start_new_thread(self._work, (crew, worker))
        except RuntimeError:
            # The system has no thread to give. Those that there are do the work.
            with self._lock:
                crew.size -= 1
                alone = crew.size == 0
            self._forget(worker)
            if alone:
                raise

    def _work(self, crew: _Crew, worker: Worker) -> None:
        worker.ident = ident = get_ident()
        self._idents.add(ident)
        _workers[ident] = worker
        try:
            self._begin(worker)
            while (job := self._next(crew)) is not None:
                worker.job = job
                self._run(crew, worker, job)
                # Nothing of the last call outlives it while the thread waits for the next one.
                del job
        finally:
            # The green threads that calls have left behind end now, while somebody waits for it:
            # under a thread that nobody waits for, the interpreter may go away.
            end_hub()
            self._forget(worker)
            self._idents.discard(ident)
            self._end()
            _workers.pop(ident, None)
            worker.ended.send()
            _ending.append(get_native_id())

    def _next(self, crew: _Crew) -> _Job | None:
        """Return the next call, None when the thread is to end."""
        while True:
            if crew.size <= self.max_threads:
                try:
                    idle = self.idle_seconds
                    if has_hub():
                        return self._sleep(crew, idle)
                    return crew.jobs.get(True, idle) if idle is not None else crew.jobs.get()
                except Empty:
                    pass
            with self._lock:
                # Not if a call is on its way that counts on this thread.
                surplus = crew.size > self.max_threads
                spare = crew.unfinished < crew.size and crew.size > self.min_threads
                if (surplus and crew.size > 1) or (spare and self._crew is crew):
                    crew.size -= 1
                    return None

    def _sleep(self, crew: _Crew, seconds: float | None) -> _Job | None:
        """As `get` of the queue, while green threads run that calls have left behind."""
        while True:
            with self._lock:
                try:
                    return crew.jobs.get_nowait()
                except Empty:
                    sleeper = Event()
                    crew.sleepers.append(sleeper)
            sleeper.wait(seconds)
            with self._lock:
                # Otherwise somebody has just taken it to wake us.
                if sleeper in crew.sleepers:
                    crew.sleepers.remove(sleeper)
                    if crew.jobs.empty():
                        raise Empty

    def _run(self, crew: _Crew, worker: Worker, job: _Job) -> None:
        done = function = args = kwargs = result = error = None
        try:
            try:
                done, function, args, kwargs = job
            except ValueError:
                # Nobody waits for it any more.
                pass
            else:
                result = function(*args, **kwargs)
        except BaseException as caught:
            # Without this frame, which says nothing to the caller.
            traceback = caught.__traceback__
            error = caught.with_traceback(traceback.tb_next if traceback else None)
            del traceback
            self._failed(error)
        # From here on, an empty job does not mean that the thread is held up by it.
        worker.job = None
        with self._lock:
            crew.unfinished -= 1
        try:
            if done is None:
                pass
            elif error is None:
                done.send(result)
            else:
                done.send(exc=error)
        finally:
            # The frames of the call lead back to this one for as long as its exception lives.
            job.clear()
            del done, function, args, kwargs, result, error

    def _forget(self, worker: Worker) -> None:
        with self._lock:
            if worker in self.threads:
                self.threads.remove(worker)

    def _begin(self, worker: Worker) -> None:
        """For subclasses: a thread begins."""

    def _end(self) -> None:
        """For subclasses: a thread ends."""

    def _failed(self, error: BaseException) -> None:
        """For subclasses: a call has raised `error`."""


def _nothing() -> None:
    pass


def current_worker() -> Worker | None:
    """Return which thread of a pool this is, None if it is of none."""
    return _workers.get(get_ident())


def all_pools() -> list[ThreadPool]:
    """Return all pools there are."""
    return [pool for found in [*_pools] if (pool := found()) is not None]


def _before_fork() -> None:
    """Let threads that are ending come to their end.

    The last that a thread does, without the GIL, is to tell greenlet of its end, under a lock that
    the forked child needs and would never get.
    """
    limit = monotonic() + _MOST_ENDING
    while _ending:
        number = _ending.popleft()
        if os.path.exists(f"/proc/self/task/{number}"):
            if monotonic() > limit:
                # It is another thread's number by now.
                continue
            _ending.append(number)
            _sleep(0.0001)


def _after_fork_in_child() -> None:
    _ending.clear()
    worker = current_worker()
    _workers.clear()
    if worker is not None:
        _workers[get_ident()] = worker
    for pool in all_pools():
        pool._reset()


#: What the system calls the threads that are ending or have ended since the last fork.
_ending: deque[int] = deque(maxlen=1000)

#: Seconds that a thread may take to end.
_MOST_ENDING = 0.05

#: The threads of all pools, by their identities.
_workers: dict[int, Worker] = {}

#: All pools there are.
_pools: list[ref[ThreadPool]] = []

#: Seconds after which `killall` looks whether somebody still waits for a call.
_LOOK_AGAIN = 0.05

os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
