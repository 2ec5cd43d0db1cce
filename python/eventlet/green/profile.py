"""The module ``profile`` for green threads: each is timed by itself.

A profiler follows calls and returns, and takes them for one stack. With green threads they come
from many. So this one keeps a stack for each green thread, and changes stacks when it sees that
another green thread is running; the time until then is the former one's. What the stacks have come
to is added up when the profile is complete (`Profile.TallyTimings`).

A stack is the chain of tuples that the standard module describes (``Profile.cur``). Unlike there,
it may be entered in the middle: returns from calls that were made before the profiler was there,
which every green thread that was waiting then brings along, are ignored.
"""

from __future__ import annotations

import functools
import profile as _original
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent as _getcurrent

from eventlet._os_threads import get_ident as _get_ident

globals().update(
    {name: value for name, value in vars(_original).items() if not name.startswith("__")}
)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


__all__ = [*_original.__all__]

#: Calls that were counted, by function; see ``profile.Profile.timings``.
_Timings = dict[Any, tuple[int, int, float, float, dict[Any, int]]]


class Profile(_original.Profile):
    """A ``profile.Profile`` that knows green threads. It profiles one OS thread.

    :param timer, bias: as for ``profile.Profile``.
    """

    _has_setup = False
    #: Whether `start` has been called, and `stop` has not.
    running = False

    # What the base class has and does not declare.
    c_func_name: str
    dispatch: dict[str, Any]
    dispatcher: Callable[..., None]
    get_time: Callable[[], float]
    t: float

    def __init__(self, timer: Callable[[], Any] | None = None, bias: float | None = None) -> None:
        #: The green thread whose stack is in use.
        self.current_tasklet: Any = _getcurrent()
        self.thread_id = _get_ident()
        #: The stacks of others, each with what it has come to.
        self.sleeping: dict[Any, tuple[Any, _Timings]] = {}
        #: What green threads that have ended have come to.
        self._ended: _Timings = {}
        super().__init__(timer, bias)  # type: ignore[arg-type]

    def __call__(self, *args: Any) -> None:
        """Take an event, as a function for ``sys.setprofile``."""
        self.dispatcher(*args)

    def _setup(self) -> None:
        self._has_setup = True
        self.cur: Any = None
        self.timings: _Timings = {}
        self.sleeping = {}
        self._ended = {}
        self.current_tasklet = _getcurrent()
        self.thread_id = _get_ident()
        self.simulate_call("profiler")

    def start(self, name: str = "start") -> None:
        """Profile from now on, in this OS thread.

        :param name: what the time outside of all functions is listed as.
        """
        if self.running:
            return
        self._setup()
        self.simulate_call(name)
        self.running = True
        self.t = self.get_time()
        sys.setprofile(self.dispatcher)

    def stop(self) -> None:
        """End what `start` has begun."""
        sys.setprofile(None)
        self.running = False
        self.TallyTimings()

    def runctx(self, cmd: Any, globals: dict[str, Any], locals: Mapping[str, Any]) -> Any:
        """As ``profile.Profile.runctx``."""
        if not self._has_setup:
            self._setup()
        try:
            return super().runctx(cmd, globals, locals)
        finally:
            self.TallyTimings()

    def runcall(self, func: Callable[..., Any], /, *args: Any, **kw: Any) -> Any:
        """As ``profile.Profile.runcall``."""
        if not self._has_setup:
            self._setup()
        try:
            return super().runcall(func, *args, **kw)
        finally:
            self.TallyTimings()

    def simulate_cmd_complete(self) -> None:
        """Count all calls as if they had returned."""
        self.TallyTimings()
        self.t = self.get_time()

    # Green threads

    def SwitchTasklet(self, t0: Any, t1: Any, t: float) -> None:
        """Change from one green thread's stack to another's.

        :param t0: the green thread that has been running.
        :param t1: the one that is running now.
        :param t: the time since the last event, which is that of the former.
        """
        self._pass(t)
        if t0.dead:
            self.Unwind(self.cur, self.timings)
            _add(self.timings, self._ended)
        else:
            self.sleeping[t0] = self.cur, self.timings
        self.current_tasklet = t1
        self.cur, self.timings = self.sleeping.pop(t1, (None, {}))
        if self.cur is None:
            self.simulate_call("profiler")
            self.simulate_call("new_tasklet")

    def TallyTimings(self) -> None:
        """Add up what all green threads have come to, as if their calls had returned."""
        sleeping, self.sleeping = self.sleeping, {}
        ended, self._ended = self._ended, {}
        self.cur = self.Unwind(self.cur, self.timings)
        for cur, timings in sleeping.values():
            self.Unwind(cur, timings)
            _add(timings, self.timings)
        _add(ended, self.timings)

    def Unwind(self, cur: Any, timings: _Timings) -> Any:
        """Count the calls of a stack as if they had returned; return what is left of it."""
        while cur[-1]:
            cur = _popped(cur, timings)
        return cur

    # Events

    def _pass(self, t: float) -> None:
        """Count time for the function at the top."""
        if self.cur is not None:
            parent_time, internal, *rest = self.cur
            self.cur = (parent_time, internal + t, *rest)

    def _push(self, function: Any, frame: Any) -> None:
        self.cur = (0, 0, 0, function, frame, self.cur)
        if function in self.timings:
            calls, recursion, *rest = self.timings[function]
            self.timings[function] = (calls, recursion + 1, *rest)  # type: ignore[assignment]
        else:
            self.timings[function] = 0, 0, 0, 0, {}

    def _pop(self) -> None:
        if self.cur[-1]:
            self.cur = _popped(self.cur, self.timings)

    def _unwind_to(self, frame: Any) -> bool:
        """Have all calls return that are above those of `frame`; return whether it has any."""
        entry = self.cur
        while entry is not None and entry[-2] is not frame:
            entry = entry[-1]
        if entry is None:
            return False
        while self.cur[-2] is not frame:
            self._pop()
        return True

    def _on_call(self, frame: Any, t: float) -> int:
        self._pass(t)
        self._unwind_to(frame.f_back)
        code = frame.f_code
        self._push((code.co_filename, code.co_firstlineno, code.co_name), frame)
        return 1

    def _on_c_call(self, frame: Any, t: float) -> int:
        self._on_c_return(frame, t)
        self._push(("", 0, self.c_func_name), frame)
        return 1

    def _on_return(self, frame: Any, t: float) -> int:
        # Of a function in C that it has called, if that is still there.
        self._on_c_return(frame, t)
        if self.cur[-2] is frame and not _is_c(self.cur):
            self._pop()
        return 1

    def _on_c_return(self, frame: Any, t: float) -> int:
        self._pass(t)
        # A function in C is listed with the frame that calls it.
        if self._unwind_to(frame) and _is_c(self.cur):
            self._pop()
        return 1

    def _on_exception(self, frame: Any, t: float) -> int:
        self._pass(t)
        return 1


def _popped(cur: Any, timings: _Timings) -> Any:
    """Count the call at the top of a stack, and return the stack without it."""
    parent_time, internal, external, function, _, below = cur
    total = internal + external
    calls, recursion, total_internal, cumulative, callers = timings[function]
    if not recursion:
        # The only call of this function in the stack.
        calls += 1
        cumulative += total
    callers[below[3]] = callers.get(below[3], 0) + 1
    timings[function] = calls, recursion - 1, total_internal + internal, cumulative, callers
    return (below[0], below[1] + parent_time, below[2] + total, *below[3:])


def _is_c(entry: Any) -> bool:
    """Tell whether a call is one of a function in C."""
    return bool(entry[3][:2] == ("", 0))


def _add(timings: _Timings, to: _Timings) -> None:
    for function, (calls, recursion, internal, cumulative, callers) in timings.items():
        if function not in to:
            to[function] = calls, recursion, internal, cumulative, dict(callers)
            continue
        calls_, recursion_, internal_, cumulative_, callers_ = to[function]
        for caller, count in callers.items():
            callers_[caller] = callers_.get(caller, 0) + count
        to[function] = (
            calls + calls_,
            recursion_,
            internal + internal_,
            cumulative + cumulative_,
            callers_,
        )


def _in_stack_of_current(handler: Callable[[Any, Any, float], int]) -> Any:
    """Wrap a handler of events so that it sees the stack of the green thread that is running."""

    @functools.wraps(handler)
    def handle(self: Profile, frame: Any, t: float) -> int:
        current = _getcurrent()
        if current is not self.current_tasklet:
            self.SwitchTasklet(self.current_tasklet, current, t)
            t = 0
        return handler(self, frame, t)

    return handle


Profile.dispatch = {
    event: _in_stack_of_current(handler)
    for event, handler in {
        "call": Profile._on_call,
        "exception": Profile._on_exception,
        "return": Profile._on_return,
        "c_call": Profile._on_c_call,
        "c_exception": Profile._on_c_return,
        "c_return": Profile._on_c_return,
    }.items()
}


def run(statement: str, filename: str | None = None, sort: Any = -1) -> Any:
    """Run a statement in the module ``__main__`` and profile it.

    :param filename: where to write the profile to; None: it is printed.
    :param sort: the order in which it is printed, as for ``pstats.Stats.sort_stats``.
    """
    import __main__

    names = vars(__main__)
    return runctx(statement, names, names, filename, sort)


def runctx(
    statement: str,
    globals: dict[str, Any],
    locals: dict[str, Any],
    filename: str | None = None,
    sort: Any = -1,
) -> Any:
    """Run a statement with these names and profile it.

    :param filename: where to write the profile to; None: it is printed.
    :param sort: the order in which it is printed, as for ``pstats.Stats.sort_stats``.
    """
    profile = Profile()
    try:
        profile.runctx(statement, globals, locals)
    except SystemExit:
        pass
    if filename is None:
        return profile.print_stats(sort)
    return profile.dump_stats(filename)
