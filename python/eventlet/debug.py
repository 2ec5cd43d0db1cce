"""Switches that help to find mistakes, and views of what a program is doing."""

from __future__ import annotations

import gc
import importlib
import linecache
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Iterable
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

import greenlet

from eventlet import _core
from eventlet.hubs import get_hub

if TYPE_CHECKING:
    from eventlet._watchdog import BlockReport

__all__ = [
    "Spew",
    "dump_greenthreads",
    "format_asyncio_info",
    "format_greenthreads",
    "format_hub_listeners",
    "format_hub_timers",
    "format_threads_info",
    "hub_blocking_detection",
    "hub_exceptions",
    "hub_listener_stacks",
    "hub_prevent_multiple_readers",
    "hub_timer_stacks",
    "spawn_stacks",
    "spew",
    "tpool_exceptions",
    "unspew",
]

# --------------------------------------------------------------------------------------------------
# Tracing

_NAME = re.compile(r"[^\W\d]\w*")


class Spew:
    """A trace function that prints each line of code before it is run.

    :param trace_names: names of the modules to print; all of them if None.
    :param show_values: print the values of the names in the line, too.
    """

    def __init__(
        self, trace_names: Collection[str] | None = None, show_values: bool = True
    ) -> None:
        self.trace_names = trace_names
        self.show_values = show_values

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Spew:
        if event == "line":
            self._line(frame)
        return self

    def _line(self, frame: FrameType) -> None:
        filename = frame.f_globals.get("__file__")
        if filename is None:
            module = "[unknown]"
            line = linecache.getline(frame.f_code.co_filename, frame.f_lineno) or (
                f"Unknown code named [{frame.f_code.co_name}].  VM instruction #{frame.f_lasti}"
            )
        else:
            module = frame.f_globals.get("__name__", "[unknown]")
            line = linecache.getline(re.sub(r"\.py[co]$", ".py", filename), frame.f_lineno)
        if self.trace_names is not None and module not in self.trace_names:
            return
        print(f"{module}:{frame.f_lineno}: {line.rstrip()}")
        if not self.show_values:
            return
        values = []
        for name in _NAME.findall(line):
            for scope in (frame.f_globals, frame.f_locals):
                if name in scope:
                    values.append(f"{name}={_shown(scope[name])}")
        if values:
            print("\t" + " ".join(values))


def _shown(value: Any) -> str:
    """Return the representation of any object, even of one that is half made."""
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(value).__name__} whose repr() raises {type(error).__name__}>"


def spew(trace_names: Collection[str] | None = None, show_values: bool = False) -> None:
    """Print each line of code before it is run, in this OS thread. It is very slow.

    :param trace_names: names of the modules to print; all of them if None.
    :param show_values: print the values of the names in the line, too.
    """
    sys.settrace(Spew(trace_names, show_values))


def unspew() -> None:
    """Print no more lines."""
    sys.settrace(None)


# --------------------------------------------------------------------------------------------------
# Views

_stacks = {"listeners": False, "timers": False}


def format_hub_listeners() -> str:
    """Return who waits for which descriptors on this thread's hub, as text.

    With `hub_listener_stacks` switched on, where in their code they wait, too.
    """
    hub = get_hub()
    lines = ["READERS:"]
    for listener in hub.get_readers():
        lines += _with_stack(listener, _stacks["listeners"])
    lines.append("WRITERS:")
    for listener in hub.get_writers():
        lines += _with_stack(listener, _stacks["listeners"])
    return os.linesep.join(lines)


def format_hub_timers() -> str:
    """Return what this thread's hub is going to do later, as text.

    With `hub_timer_stacks` switched on, where in their code the green threads wait that it is done
    for, too.
    """
    hub = get_hub()
    lines = ["TIMERS:"]
    timers: Iterable[Any] = getattr(hub, "timers", ())
    for timer in timers:
        lines += _with_stack(timer, _stacks["timers"])
    return os.linesep.join(lines)


def _with_stack(entry: Any, wanted: bool) -> list[str]:
    """Return the lines for a listener or timer."""
    lines = _shown(entry).splitlines()
    waiting = getattr(entry, "greenlet", None)
    # A record that shows where it was made needs no more.
    if wanted and len(lines) == 1 and isinstance(waiting, greenlet.greenlet):
        lines += _indented(_stack_of(waiting))
    return lines


def format_asyncio_info() -> str:
    """Return the tasks of the asyncio loop that runs in this thread, as text."""
    import asyncio

    try:
        loop: Any = asyncio.get_running_loop()
    except RuntimeError:
        loop = getattr(get_hub(), "loop", None)
    tasks = asyncio.all_tasks(loop) if loop is not None else set()
    return os.linesep.join(["TASKS:", repr(tasks), f"EVENTLOOP: {loop!r}"])


def format_threads_info() -> str:
    """Return the threads that `threading` knows, as text."""
    active: Any = getattr(threading, "_active", None)
    if active is None:
        active = {thread.ident: thread for thread in threading.enumerate()}
    return os.linesep.join(["THREADS:", repr(active)])


def format_greenthreads() -> str:
    """Return all green threads of the process with their stacks, as text.

    Those of all OS threads, and the greenlets that programs switch themselves. What a green thread
    is called is its representation, which can be had with ``repr()`` for a log as well.
    """
    current = greenlet.getcurrent()
    hub: Any = get_hub()
    # A hub that is written in Python has a native one behind it.
    native = hub if isinstance(hub, _core.Hub) else getattr(hub, "_native", None)
    parked = {} if native is None else {id(waiting): waiting for waiting in native._parked()}
    # The collector does not show what there was when a program called `gc.freeze`.
    things = [*gc.get_objects(), *parked.values(), hub.greenlet, current]
    found = {id(thing): thing for thing in things if isinstance(thing, greenlet.greenlet)}.values()
    hubs = {id(thing.parent) for thing in found if isinstance(thing, _core.GreenThreadBase)}
    frames = sys._current_frames()
    lines = []
    for thing in found:
        if thing.dead:
            continue
        frame: FrameType | None = thing.gr_frame
        if thing is current:
            state, frame = "running", sys._getframe(1)
        elif not thing:
            state = "not started"
        elif thing is hub.greenlet:
            state = "hub"
        elif frame is not None or id(thing) in parked:
            state = "waiting"
        elif id(thing) in hubs:
            state = "hub"
        else:
            state = "in native code, or running in another OS thread"
        lines.append(f"{_shown(thing)}: {state}")
        lines += _indented(_stack_of_frame(frame))
    lines.append("OS threads:")
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in frames.items():
        lines.append(f"{names.get(ident, 'unknown')} ({ident})")
        lines += _indented(_stack_of_frame(frame))
    return os.linesep.join(lines)


def dump_greenthreads(file: TextIO | None = None) -> None:
    """Write all green threads of the process, with their stacks, to `file`; to stderr by default.

    It may be called at any time, from any OS thread and from signal handlers.
    """
    text = format_greenthreads() + os.linesep
    (sys.stderr if file is None else file).write(text)


def _stack_of(thing: greenlet.greenlet) -> list[str]:
    frame = sys._getframe(1) if thing is greenlet.getcurrent() else thing.gr_frame
    return _stack_of_frame(frame)


def _stack_of_frame(frame: FrameType | None) -> list[str]:
    if frame is None:
        return []
    return "".join(traceback.format_stack(frame)).splitlines()


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


# --------------------------------------------------------------------------------------------------
# Switches


def hub_listener_stacks(state: bool = False) -> None:
    """Set whether `format_hub_listeners` shows the stacks of those who wait."""
    _stacks["listeners"] = state
    # A hub that keeps records of its own, such as a user's.
    record: Callable[[bool], object] | None = getattr(get_hub(), "set_debug_listeners", None)
    if record is not None:
        record(state)


def hub_timer_stacks(state: bool = False) -> None:
    """Set whether `format_hub_timers` shows the stacks of those who wait."""
    _stacks["timers"] = state
    try:
        timers: Any = importlib.import_module("eventlet.hubs.timer")
    except ImportError:
        return
    # The timers that are made from now on keep the stacks of those who made them.
    timers._g_debug = state


def hub_exceptions(state: bool = True) -> None:
    """Set whether this thread's hub prints exceptions that nobody catches; it does by default."""
    hub: Any = get_hub()
    change: Callable[[bool], object] | None = getattr(hub, "set_timer_exceptions", None)
    if change is not None:
        change(state)
    else:
        hub.debug_exceptions = state
    from eventlet import greenpool

    greenpool.DEBUG = state


def tpool_exceptions(state: bool = False) -> None:
    """Set whether `eventlet.tpool` prints the exceptions of its calls, besides raising them."""
    from eventlet import tpool

    tpool.QUIET = not state


def hub_prevent_multiple_readers(state: bool = True) -> None:
    """Set whether it is an error if two green threads wait to read, or to write, the same
    descriptor.

    It is by default, since most often it is a mistake: nobody can tell who gets what. The setting
    is for this thread's hub and for all hubs that are made later.
    """
    _core.set_prevent_multiple_readers(state)
    get_hub().prevent_multiple_readers = state


def hub_blocking_detection(
    state: bool = False,
    resolution: float = 1,
    report: Callable[[BlockReport], object] | None = None,
) -> None:
    """Set whether it is reported when a green thread keeps all others of this OS thread waiting.

    An OS thread of its own watches, some times for each `resolution`. Nothing is raised in the
    program, and what blocks is not interrupted. It is reported once more each time that it has
    lasted twice as long. A native function that does not release the interpreter's lock holds up
    the watcher as well; it is reported once it has returned.

    :param resolution: seconds that a green thread may take before it gives way.
    :param report: called in the watching thread with a `BlockReport`, which says who, for how long,
        and where in its code; ``str()`` of it is all of that. It is written to stderr if None.
    :raises ValueError: if `resolution` is not positive.
    """
    if not resolution > 0:
        raise ValueError(f"the resolution is a number of seconds, not {resolution!r}")
    from eventlet import _watchdog

    hub: Any = get_hub()
    if not isinstance(hub, _core.Hub):
        # Written in Python: it looks after itself, from one callback to the next.
        hub.debug_blocking_resolution = resolution
        hub.debug_blocking = state
        if not state:
            hub.block_detect_post()
    elif state:
        _watchdog.watch(hub, resolution, report)
    else:
        _watchdog.unwatch()


def spawn_stacks(state: bool = False) -> None:
    """Set whether green threads remember where they were spawned (`GreenThread.spawn_stack`).

    They do not by default: it takes longer than the spawning itself.
    """
    _core.set_spawn_stacks(state)
