"""Calls that block, in OS threads.

`execute` runs a function in a pool of OS threads while the green thread that asked for it waits;
`Proxy` does so for every method of an object.
"""

from __future__ import annotations

import copy
import os
import threading
import traceback
from _queue import SimpleQueue
from collections.abc import Callable, Iterable
from typing import Any

from eventlet._os_threads import allocate_lock, get_ident, start_new_thread
from eventlet.event import Event

__all__ = ["Proxy", "execute", "killall", "set_num_threads"]

#: Whether exceptions that a call raises are kept from stderr; they are raised in the caller in any
#: case.
QUIET = True

EXC_CLASSES = (Exception,)
SYS_EXCS = (GeneratorExit, KeyboardInterrupt, SystemExit)

_nthreads = int(os.environ.get("EVENTLET_THREADPOOL_SIZE") or 20)
_threads: list[int] = []
_jobs: SimpleQueue[tuple[Any, ...] | None] = SimpleQueue()
_lock = allocate_lock()
_ended: list[Event] = []
_workers: set[int] = set()


def setup() -> None:
    """Start the threads, if they do not run. `execute` does this by itself."""
    with _lock:
        while len(_threads) < _nthreads:
            number = len(_threads)
            ended = Event()
            _threads.append(number)
            _ended.append(ended)
            start_new_thread(_work, (_jobs, f"tpool_thread_{number}", ended))


def _work(jobs: SimpleQueue[tuple[Any, ...] | None], name: str, ended: Any) -> None:
    threading.current_thread().name = name
    _workers.add(get_ident())
    try:
        while (job := jobs.get()) is not None:
            done, function, args, kwargs = job
            try:
                result, error = function(*args, **kwargs), None
            except BaseException as caught:
                result, error = None, caught
                if not QUIET:
                    traceback.print_exc()
            if error is None:
                done.send(result)
            else:
                done.send(exc=error)
            # Nothing of the last call outlives it while the thread waits for the next one.
            del job, done, function, args, kwargs, result, error
    finally:
        _workers.discard(get_ident())
        ended.send()


def execute(meth: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return ``meth(*args, **kwargs)``, called in an OS thread; other green threads run meanwhile.

    What it raises is raised here. A green thread that is interrupted while it waits does not stop
    the call. In one of the pool's own threads, or if `set_num_threads` has set 0, the call is made
    on the spot.
    """
    if _nthreads == 0 or get_ident() in _workers:
        return meth(*args, **kwargs)
    if len(_threads) < _nthreads:
        setup()
    done = Event()
    _jobs.put((done, meth, args, kwargs))
    return done.wait()


def set_num_threads(nthreads: int) -> None:
    """Set how many threads there are; 20 by default. It counts from the next start of the pool."""
    global _nthreads
    _nthreads = nthreads


def killall() -> None:
    """End the threads, after the calls that are under way. The next `execute` starts new ones."""
    global _jobs
    with _lock:
        for _ in _threads:
            _jobs.put(None)
        ended = _ended[:]
        _threads.clear()
        _ended.clear()
        _jobs = SimpleQueue()
    for event in ended:
        event.wait()


def _after_fork() -> None:
    global _jobs, _lock
    _lock = allocate_lock()
    _jobs = SimpleQueue()
    _threads.clear()
    _ended.clear()
    _workers.clear()


os.register_at_fork(after_in_child=_after_fork)


def proxy_call(autowrap: tuple[type, ...], f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call `f` through `execute`; a result whose class is in `autowrap` is wrapped in a `Proxy`.

    With the keyword argument ``nonblocking=True`` the call is made on the spot.
    """
    if kwargs.pop("nonblocking", False):
        result = f(*args, **kwargs)
    else:
        result = execute(f, *args, **kwargs)
    if isinstance(result, autowrap):
        return Proxy(result, autowrap)
    return result


class Proxy:
    """Stands for an object and calls its methods in OS threads.

    :param obj: the object.
    :param autowrap: classes; results of these are wrapped in a Proxy too.
    :param autowrap_names: names of methods whose results are wrapped in a Proxy.
    """

    def __init__(
        self,
        obj: Any,
        autowrap: Iterable[type] = (),
        autowrap_names: Iterable[str] = (),
    ) -> None:
        self._obj = obj
        self._autowrap = tuple(autowrap)
        self._autowrap_names = tuple(autowrap_names)

    def __getattr__(self, attr_name: str) -> Any:
        if attr_name == "_obj":
            # Looked for before it is there: while the proxy is being copied.
            raise AttributeError(attr_name)
        found = getattr(self._obj, attr_name)
        if not callable(found):
            if isinstance(found, self._autowrap) or attr_name in self._autowrap_names:
                return Proxy(found, self._autowrap)
            return found

        def doit(*args: Any, **kwargs: Any) -> Any:
            result = proxy_call(self._autowrap, found, *args, **kwargs)
            if attr_name in self._autowrap_names and not isinstance(result, Proxy):
                return Proxy(result)
            return result

        return doit

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if "__call__" in self._autowrap_names:
            return Proxy(proxy_call(self._autowrap, self._obj, *args, **kwargs))
        return proxy_call(self._autowrap, self._obj, *args, **kwargs)

    def __enter__(self) -> Any:
        return proxy_call(self._autowrap, self._obj.__enter__)

    def __exit__(self, *exc: Any) -> Any:
        return proxy_call(self._autowrap, self._obj.__exit__, *exc)

    def __getitem__(self, key: Any) -> Any:
        return proxy_call(self._autowrap, self._obj.__getitem__, key)

    def __setitem__(self, key: Any, value: Any) -> Any:
        return proxy_call(self._autowrap, self._obj.__setitem__, key, value)

    def __deepcopy__(self, memo: Any = None) -> Any:
        return proxy_call(self._autowrap, copy.deepcopy, self._obj, memo)

    def __copy__(self, memo: Any = None) -> Any:
        return proxy_call(self._autowrap, copy.copy, self._obj)

    def __eq__(self, other: object) -> bool:
        return bool(self._obj == (other._obj if isinstance(other, Proxy) else other))

    def __hash__(self) -> int:
        return hash(self._obj)

    def __repr__(self) -> str:
        return repr(self._obj)

    def __str__(self) -> str:
        return str(self._obj)

    def __len__(self) -> int:
        return len(self._obj)

    def __bool__(self) -> bool:
        return bool(self._obj)

    def __iter__(self) -> Any:
        iterator = iter(self._obj)
        if iterator is self._obj:
            return self
        return Proxy(iterator)

    def __next__(self) -> Any:
        # StopIteration cannot pass through a generator's or an event's machinery unharmed
        # everywhere, so the end is told by a value.
        value = proxy_call(self._autowrap, next, self._obj, _END)
        if value is _END:
            raise StopIteration
        return value


_END = object()
