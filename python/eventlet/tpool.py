"""Calls that block, in OS threads.

`execute` runs a function in a pool of OS threads while the green thread that asked for it waits;
`Proxy` does so for every method of an object. Both use one pool for the whole process. `ThreadPool`
makes others, which grow and shrink, and `Executor` puts one behind the interface of
`concurrent.futures`.

A function that runs in such a thread is not in a green thread: what it waits for blocks its OS
thread and nothing else. It may use Eventlet's primitives to talk to green threads.
"""

from __future__ import annotations

import atexit
import copy
import os
import sys
import threading
import traceback
import warnings
from _imp import lock_held
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from eventlet import _os_threads
from eventlet._os_threads import Worker, get_ident
from eventlet.timeout import Timeout

if TYPE_CHECKING:
    from eventlet._executor import Executor

__all__ = ["Executor", "Proxy", "ThreadPool", "execute", "killall", "set_num_threads"]

#: Whether exceptions that a call raises are kept from stderr; they are raised in the caller in any
#: case.
QUIET = True

EXC_CLASSES = (Exception, Timeout)
SYS_EXCS = (GeneratorExit, KeyboardInterrupt, SystemExit)


class ThreadPool(_os_threads.ThreadPool):
    """OS threads of one's own, for calls that should not compete with those of `execute`.

    A thread is started when a call finds none free, up to `max_threads`; further calls wait in
    line. Green threads of any OS thread may use the pool, and so may OS threads without any. Used
    in a ``with`` statement, it ends its threads at the end.

    :param max_threads: how many threads there may be.
    :param idle_seconds: a thread that has had nothing to do for so long ends. None: it stays.
    :param min_threads: how many stay all the same, once they were started.
    :param name: the threads are called this, with a number.
    """

    def __init__(
        self,
        max_threads: int = 20,
        idle_seconds: float | None = 60.0,
        *,
        min_threads: int = 0,
        name: str = "tpool_thread",
    ) -> None:
        super().__init__(max_threads, idle_seconds, min_threads=min_threads, name=name)

    def _begin(self, worker: Worker) -> None:
        # What threading.Thread does for the threads that it starts.
        threading.current_thread().name = worker.name
        if (trace := threading.gettrace()) is not None:
            sys.settrace(trace)
        if (profile := threading.getprofile()) is not None:
            sys.setprofile(profile)

    def _end(self) -> None:
        # Before Python 3.12, `threading` remembers the stand-in for ever.
        active: dict[int, Any] = getattr(threading, "_active", {})
        active.pop(get_ident(), None)

    def _failed(self, error: BaseException) -> None:
        if not QUIET:
            traceback.print_exception(type(error), error, error.__traceback__)


_nthreads = int(os.environ.get("EVENTLET_THREADPOOL_SIZE") or 20)
_pool = ThreadPool(idle_seconds=None)
#: The threads that run now.
_threads = _pool.threads
_warned = False


def setup() -> None:
    """Start the threads, if they do not run. `execute` does this by itself.

    :raises AssertionError: if the number of threads is negative.
    """
    global _warned
    if _nthreads < 0:
        raise AssertionError(f"there cannot be {_nthreads} threads in tpool")
    if _nthreads > 0:
        _pool.max_threads = _nthreads
        _pool.start(_nthreads)
    elif not _warned:
        _warned = True
        warnings.warn(
            "Zero threads in tpool: every call of tpool.execute blocks the thread that makes it. "
            "Is that what EVENTLET_THREADPOOL_SIZE should say?",
            RuntimeWarning,
            stacklevel=3,
        )


def execute(meth: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Return ``meth(*args, **kwargs)``, called in an OS thread; other green threads run meanwhile.

    What it raises is raised here, with its traceback. A green thread that is interrupted while it
    waits (a `Timeout`, a kill) does not stop the call: its result is dropped. If it has not begun,
    it never does. In one of the pool's own threads, inside of the import system, or if
    `set_num_threads` has set 0, the call is made on the spot.
    """
    if len(_threads) < _nthreads or _nthreads <= 0:
        setup()
        if _nthreads == 0:
            return meth(*args, **kwargs)
    if lock_held():
        return meth(*args, **kwargs)
    return _pool.execute(meth, *args, **kwargs)


def set_num_threads(nthreads: int) -> None:
    """Set how many threads `execute` uses; 20 by default, or ``EVENTLET_THREADPOOL_SIZE``.

    More of them start with the next call; a smaller number counts once the threads have been
    ended by `killall`. With 0, every call is made on the spot and blocks.
    """
    global _nthreads
    _nthreads = nthreads


def killall() -> None:
    """End the threads, after the calls that were made before. The next `execute` starts new ones.

    It returns when they have ended, and lets other green threads run until then. It does not wait
    for a thread whose call nobody waits for, since that may never end. When the interpreter ends,
    the threads of this and of all other pools are ended in the same way.
    """
    _pool.killall()


@atexit.register
def _at_exit() -> None:
    for pool in _os_threads.all_pools():
        if isinstance(pool, ThreadPool):
            pool.killall()


def __getattr__(name: str) -> Any:
    if name == "Executor":
        from eventlet._executor import Executor

        globals()[name] = Executor
        return Executor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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
        entered = proxy_call(self._autowrap, self._obj.__enter__)
        # Most objects return themselves: what is done with them in the block goes on as before it.
        return self if entered is self._obj else entered

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
