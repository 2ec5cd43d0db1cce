"""What all hubs have in common, and the hub to derive others from."""

from __future__ import annotations

import errno
import heapq
import signal
import sys
import time
import traceback
import types
from collections.abc import Callable, Collection
from typing import Any, cast

import greenlet

from eventlet import _core
from eventlet._core import FdListener, Timer
from eventlet.hubs import timer as _timer

__all__ = ["READ", "WRITE", "BaseHub", "DebugListener", "FdListener", "Hub", "Timer", "noop"]

#: The event types of a descriptor that has data, and of one that takes data.
READ = "read"
WRITE = "write"

#: What stands in `BaseHub.timers`: when the timer is due, and the timer.
_Entry = tuple[float, Any]

_ExcInfo = tuple[Any, Any, Any]


class _Module(types.ModuleType):
    """This module: the switch below is kept by native code."""

    @property
    def g_prevent_multiple_readers(self) -> bool:
        """Whether a second listener for the same event of a descriptor is an error."""
        return _core.prevent_multiple_readers()

    @g_prevent_multiple_readers.setter
    def g_prevent_multiple_readers(self, on: bool) -> None:
        _core.set_prevent_multiple_readers(bool(on))


sys.modules[__name__].__class__ = _Module


def _do_nothing(_argument: Any = None) -> None:
    pass


#: A listener that does nothing, for whoever looks up one that may not be there.
noop = FdListener(READ, 0, _do_nothing, _do_nothing, None)


class DebugListener(FdListener):
    """A listener that knows where it comes from."""

    #: The stack of the code that added it.
    where_called: list[str]

    def __new__(cls, *args: Any) -> DebugListener:
        """Make a listener."""
        listener = super().__new__(cls, *args)
        listener.where_called = traceback.format_stack()[:-1]
        return listener

    def __repr__(self) -> str:
        stack = "".join(self.where_called)
        return (
            f"DebugListener({self.evtype!r}, {self.fileno!r}, {self.cb!r}, {self.tb!r}, "
            f"{self.mark_as_closed!r}, {self.greenlet!r})\n{stack}EndDebugFdListener"
        )

    __str__ = __repr__


def _visible(listeners: dict[int, FdListener]) -> list[FdListener]:
    """Return the listeners but for those that are part of the works."""
    return [each for each in listeners.values() if not each._hidden]


def _report_blocking(_signum: int, frame: types.FrameType | None) -> None:
    """Tell that the running green thread has kept the hub for longer than is allowed."""
    sys.stderr.write(f"The hub is blocked by {greenlet.getcurrent()!r}:\n")
    traceback.print_stack(frame)
    sys.stderr.flush()


class BaseHub:
    """A hub written in Python: derive from it, and define how to `wait`.

    A subclass defines at least ``wait(seconds)``, which waits until a descriptor in `listeners` is
    ready, but no longer than so many seconds, and calls the listeners' ``cb(fileno)``. It may
    replace any other method. Green threads, primitives, sockets and servers work on it as on the
    hubs that come with the package: they wait by its methods `switch`, `add`, `remove` and
    `schedule_call_global`.
    """

    SYSTEM_EXCEPTIONS = (KeyboardInterrupt, SystemExit)

    READ = READ
    WRITE = WRITE

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        """Make a hub.

        :param clock: the time in seconds; by default `time.monotonic`.
        """
        #: Listeners by event type and descriptor: the first of each.
        self.listeners: dict[str, dict[int, FdListener]] = {READ: {}, WRITE: {}}
        #: Those that wait behind the first.
        self.secondaries: dict[str, dict[int, list[FdListener]]] = {READ: {}, WRITE: {}}
        #: Those that are still to be told that their descriptor was closed.
        self.closed: list[FdListener] = []
        self.clock = time.monotonic if clock is None else clock
        #: The greenlet that runs the loop.
        self.greenlet = greenlet.greenlet(self.run)
        self.stopping = False
        self.running = False
        #: A heap of what is scheduled.
        self.timers: list[_Entry] = []
        #: What was scheduled in this turn.
        self.next_timers: list[_Entry] = []
        self.timers_canceled = 0
        #: The class of listeners.
        self.lclass: type[FdListener] = FdListener
        #: Whether exceptions that nobody catches are printed.
        self.debug_exceptions = True
        #: Whether callbacks that take long are reported.
        self.debug_blocking = False

    #: Whether a second listener for the same event of a descriptor is an error; None: as elsewhere.
    prevent_multiple_readers: bool | None = None

    #: What works behind the scenes, while the hub is in use.
    _native: _core.Hub | None = None

    #: Seconds that a callback may take if `debug_blocking` is on.
    debug_blocking_resolution: float = 1

    # Descriptors

    def add(
        self,
        evtype: str,
        fileno: int,
        cb: Callable[[int], object],
        tb: Callable[[BaseException], object],
        mark_as_closed: Callable[[], object] | None = None,
    ) -> FdListener:
        """Add a listener: ``cb(fileno)`` is called while `fileno` is ready for `evtype`.

        :param tb: called with an exception if the descriptor is closed.
        :param mark_as_closed: called when the number turns out to be another descriptor's.
        :raises RuntimeError: if there is a listener for it already, which
            `eventlet.debug.hub_prevent_multiple_readers` may allow.
        """
        listener = self.lclass(evtype, fileno, cb, tb, mark_as_closed)
        first = self.listeners[evtype].setdefault(fileno, listener)
        if first is not listener:
            exclusive = self.prevent_multiple_readers
            if _core.prevent_multiple_readers() if exclusive is None else exclusive:
                raise RuntimeError(
                    f"Second simultaneous {evtype} on fileno {fileno} detected: {cb!r} comes after "
                    f"{first!r}. Give each its own socket, or let one of them do all the work; if "
                    "they really take turns, call "
                    "eventlet.debug.hub_prevent_multiple_readers(False)."
                )
            self.secondaries[evtype].setdefault(fileno, []).append(listener)
        return listener

    def remove(self, listener: FdListener) -> None:
        """Take a listener back; the next in line takes its place."""
        if listener.spent:
            return
        listener.spent = True
        evtype, fileno = listener.evtype, listener.fileno
        behind = self.secondaries[evtype].get(fileno, [])
        if self.listeners[evtype].get(fileno) is not listener:
            if listener in behind:
                behind.remove(listener)
        elif behind:
            self.listeners[evtype][fileno] = behind.pop(0)
        else:
            del self.listeners[evtype][fileno]
        if not behind:
            self.secondaries[evtype].pop(fileno, None)

    def remove_descriptor(self, fileno: int) -> None:
        """Forget a descriptor; whoever waits for it goes on, and finds out what is wrong."""
        for listener in self._listening(fileno):
            try:
                listener.cb(fileno)
            except self.SYSTEM_EXCEPTIONS:
                raise
            except BaseException:
                self.squelch_generic_exception(sys.exc_info())
        for evtype in (READ, WRITE):
            self.listeners[evtype].pop(fileno, None)
            self.secondaries[evtype].pop(fileno, None)

    def mark_as_reopened(self, fileno: int) -> None:
        """Note that a descriptor has just been opened: whoever waits for its number is late."""
        self._obsolete(fileno)

    def notify_close(self, fileno: int) -> None:
        """Note that a descriptor is about to be closed: whoever waits for it gets `IOClosed`."""
        self._obsolete(fileno)

    def _listening(self, fileno: int) -> list[FdListener]:
        found = []
        for evtype in (READ, WRITE):
            if fileno in self.listeners[evtype]:
                found.append(self.listeners[evtype][fileno])
            found += self.secondaries[evtype].get(fileno, ())
        return found

    def _obsolete(self, fileno: int) -> bool:
        found = self._listening(fileno)
        for listener in found:
            # By the method, which may know of more than these tables do.
            self.remove(listener)
            listener.defang()
            self.closed.append(listener)
        if found:
            # The loop must not sleep before it has told them.
            self.schedule_call_global(0, _do_nothing)
        return bool(found)

    def close_one(self) -> None:
        """Tell one listener that its descriptor was closed."""
        from eventlet.hubs import IOClosed

        listener = self.closed.pop()
        waiting = listener.greenlet
        if listener.tb is not None and not (waiting is not None and waiting.dead):
            listener.tb(IOClosed(errno.ENOTCONN, "Operation on closed file"))

    # The loop

    def ensure_greenlet(self) -> None:
        """Make sure that `greenlet` is alive, replacing one that has ended."""
        old = self.greenlet
        if old.dead:
            self.greenlet = greenlet.greenlet(self.run, old.parent)
            # The children of the old one go on in their parent when they end.
            old.parent = self.greenlet

    def switch(self) -> Any:
        """Give way to the hub until somebody switches back; return what they pass."""
        current = greenlet.getcurrent()
        assert current is not self.greenlet, "Cannot switch to MAINLOOP from MAINLOOP"
        switch_out = getattr(current, "switch_out", None)
        if switch_out is not None:
            try:
                switch_out()
            except BaseException:
                self.squelch_generic_exception(sys.exc_info())
        self.ensure_greenlet()
        if self.greenlet.parent is not current:
            try:
                current.parent = self.greenlet
            except (AttributeError, ValueError):
                pass  # a main greenlet, or one that the hub itself descends from
        return self.greenlet.switch()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until a descriptor is ready, `seconds` at most, and call its listeners."""
        raise NotImplementedError(f"{type(self).__name__} does not define how to wait")

    def default_sleep(self) -> float:
        """Return how many seconds to wait when nothing is scheduled."""
        return 60.0

    def sleep_until(self) -> float | None:
        """Return when the first timer is due, or None."""
        return self.timers[0][0] if self.timers else None

    def run(self, *_args: Any, **_kw: Any) -> None:
        """Run the loop until `abort`. It is what the hub's greenlet does."""
        if self.running:
            raise RuntimeError("Already running!")
        self.running = True
        self.stopping = False
        try:
            while not self.stopping:
                self._run_once()
            self.timers_canceled = 0
            self.timers.clear()
            self.next_timers.clear()
        finally:
            self.running = False
            self.stopping = False

    def _run_once(self) -> None:
        while self.closed:
            self._call(self.close_one)
        self.prepare_timers()
        if self.debug_blocking:
            self.block_detect_pre()
        self.fire_timers(self.clock())
        if self.debug_blocking:
            self.block_detect_post()
        self.prepare_timers()
        due = self.sleep_until()
        seconds = self.default_sleep() if due is None else due - self.clock()
        self.wait(max(seconds, 0))

    def _call(self, function: Callable[[], object]) -> None:
        try:
            function()
        except self.SYSTEM_EXCEPTIONS:
            raise
        except BaseException:
            self.squelch_generic_exception(sys.exc_info())

    def abort(self, wait: bool = False) -> None:
        """End the loop after the present turn. With `wait`, return once it has ended."""
        if self.running:
            self.stopping = True
        if wait:
            assert self.greenlet is not greenlet.getcurrent(), (
                "Can't abort with wait from inside the hub's greenlet."
            )
            # The turn must not fall asleep.
            self.schedule_call_global(0, _do_nothing)
            self.switch()

    # Timers

    def add_timer(self, timer: Any) -> float:
        """Schedule a timer, a callable with ``seconds`` and ``called``; return when it is due."""
        due = self.clock() + cast(float, timer.seconds)
        self.next_timers.append((due, timer))
        return due

    def timer_canceled(self, timer: Any) -> None:
        """Note that a timer was cancelled; when they are many, they are thrown out."""
        self.timers_canceled += 1
        count = self.get_timers_count()
        if count > 1000 and 2 * self.timers_canceled >= count:
            self.timers_canceled = 0
            self.timers = [entry for entry in self.timers if not entry[1].called]
            self.next_timers = [entry for entry in self.next_timers if not entry[1].called]
            heapq.heapify(self.timers)

    def prepare_timers(self) -> None:
        """Put what was scheduled in this turn where the next one finds it."""
        entries, self.next_timers = self.next_timers, []
        for entry in entries:
            if entry[1].called:
                self.timers_canceled -= 1
            else:
                heapq.heappush(self.timers, entry)

    def fire_timers(self, when: float) -> None:
        """Call the timers that are due at `when`."""
        while self.timers and self.timers[0][0] <= when:
            timer = heapq.heappop(self.timers)[1]
            if timer.called:
                self.timers_canceled -= 1
                continue
            try:
                timer()
            except self.SYSTEM_EXCEPTIONS:
                raise
            except BaseException:
                self.squelch_timer_exception(timer, sys.exc_info())

    def schedule_call_global(
        self, seconds: float, cb: Callable[..., object], *args: Any, **kw: Any
    ) -> Timer:
        """Call ``cb(*args, **kw)`` in the hub after `seconds`. Return a timer to `cancel()`."""
        timer = _timer.Timer(seconds, cb, *args, **kw)
        self.add_timer(timer)
        return timer

    def schedule_call_local(
        self, seconds: float, cb: Callable[..., object], *args: Any, **kw: Any
    ) -> Timer:
        """As `schedule_call_global`, but not if the calling greenlet has ended by then."""
        timer = _timer.LocalTimer(seconds, cb, *args, **kw)
        self.add_timer(timer)
        return timer

    def call_soon_threadsafe(self, fn: Callable[..., object], *args: Any) -> None:
        """Call ``fn(*args)`` in the hub soon. May be called from any OS thread."""
        if self._native is None:
            raise RuntimeError("the hub is not in use: no OS thread runs it")
        self._native.call_soon_threadsafe(fn, *args)

    # Exceptions that nobody has caught

    def squelch_exception(self, fileno: int, exc_info: _ExcInfo) -> None:
        """Report an exception from a listener, and forget the descriptor."""
        self.squelch_generic_exception(exc_info)
        self.remove_descriptor(fileno)

    def squelch_timer_exception(self, timer: Any, exc_info: _ExcInfo) -> None:
        """Report an exception from a timer."""
        self.squelch_generic_exception(exc_info)

    def squelch_generic_exception(self, exc_info: _ExcInfo) -> None:
        """Report an exception that no green thread or callback has caught.

        It goes to stderr, unless ``debug_exceptions`` is off.
        """
        if self.debug_exceptions:
            traceback.print_exception(*exc_info)
            sys.stderr.flush()

    # For debugging

    def block_detect_pre(self) -> None:
        """Have what follows reported if it takes longer than ``debug_blocking_resolution``."""
        try:
            handler = signal.signal(signal.SIGALRM, _report_blocking)
        except ValueError:  # only the main OS thread has signals
            return
        if handler is not _report_blocking:
            self._old_signal_handler = handler
        signal.setitimer(signal.ITIMER_REAL, self.debug_blocking_resolution)

    def block_detect_post(self) -> None:
        """End what `block_detect_pre` has begun."""
        try:
            signal.setitimer(signal.ITIMER_REAL, 0)
            handler = self.__dict__.pop("_old_signal_handler", None)
            if handler is not None:
                signal.signal(signal.SIGALRM, handler)
        except ValueError:
            return

    def get_readers(self) -> Collection[FdListener]:
        """Return the listeners that wait to read."""
        return _visible(self.listeners[READ])

    def get_writers(self) -> Collection[FdListener]:
        """Return the listeners that wait to write."""
        return _visible(self.listeners[WRITE])

    def get_timers_count(self) -> int:
        """Return how many timers are scheduled, those that were cancelled included."""
        return len(self.timers) + len(self.next_timers)

    def stats(self) -> dict[str, int]:
        """Return figures about what runs on this hub; see the native hubs."""
        return {} if self._native is None else self._native.stats()

    def set_debug_listeners(self, value: bool) -> None:
        """Set whether listeners that are added from now on know where they come from."""
        self.lclass = DebugListener if value else FdListener

    def set_timer_exceptions(self, value: bool) -> None:
        """Set whether exceptions that nobody catches are printed."""
        self.debug_exceptions = value


class Hub(_core.Hub, BaseHub):  # type: ignore[misc, override]
    """A native hub. Its methods are those of `BaseHub`, which a subclass may replace as well."""

    def __init__(self, *_args: Any, **_kw: Any) -> None:
        """Take what the constructor has been given; there is nothing left to do."""
