"""Tells when a green thread keeps all others of its OS thread waiting.

A hub counts its turns and switches. An OS thread of its own looks at these counters from time to
time: if they stand still while the hub does not sleep, whoever runs in the hub's OS thread has not
given way since. That costs the hub nothing, and a green thread only while it is being reported.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from types import FrameType
from typing import Any
from weakref import ref

import greenlet

from eventlet._core import Hub
from eventlet._os_threads import RLock, allocate_lock, get_ident, start_new_thread

__all__ = ["BlockReport", "unwatch", "watch"]


@dataclass(frozen=True)
class BlockReport:
    """A green thread that has kept all others of its OS thread waiting."""

    #: The green thread; None if it could not be told, or is the hub's own.
    greenlet: greenlet.greenlet | None
    #: For how long at least, until now.
    seconds: float
    #: Where in its code it was, as lines of text.
    stack: str
    #: The OS thread, as `threading.get_ident` calls it.
    thread_ident: int
    #: What that thread is called.
    thread_name: str

    def __str__(self) -> str:
        who = "something" if self.greenlet is None else repr(self.greenlet)
        return (
            f"eventlet: {who} has blocked the hub of {self.thread_name} ({self.thread_ident}) "
            f"for {self.seconds:.3g} s, at:\n{self.stack}"
        )


@dataclass
class _Watched:
    hub: ref[Hub]
    ident: int
    resolution: float
    report: Callable[[BlockReport], object]
    steps: int = -1
    since: float = field(default_factory=monotonic)
    #: How long the present block has to last until it is reported next.
    next_report: float = 0

    def look(self, hub: Hub) -> None:
        """Report the hub if it has stood still for long enough."""
        steps, asleep = hub._progress()
        now = monotonic()
        if asleep or steps != self.steps:
            self.steps, self.since, self.next_report = steps, now, self.resolution
            return
        seconds = now - self.since
        if seconds < self.next_report:
            return
        frame = sys._current_frames().get(self.ident)
        if frame is None or not _holds_up_somebody(hub):
            return
        while self.next_report <= seconds:
            self.next_report *= 2
        try:
            running = _running(hub)
        except RuntimeError:
            # Its thread has ended, or has another hub, and the identity may be another thread's.
            return
        self.report(
            BlockReport(
                running,
                seconds,
                "".join(traceback.format_stack(frame)),
                self.ident,
                _name(self.ident),
            )
        )


_lock = RLock()
_watched: dict[int, _Watched] = {}
#: Held by the one who runs the present thread, released to end it.
_stop = allocate_lock()


def watch(
    hub: Hub, resolution: float, report: Callable[[BlockReport], object] | None = None
) -> None:
    """Watch the hub of the calling OS thread."""
    with _lock:
        ident = get_ident()
        _watched[ident] = _Watched(ref(hub), ident, resolution, report or _to_stderr)
    _restart()


def unwatch() -> None:
    """Watch the hub of the calling OS thread no longer."""
    with _lock:
        _watched.pop(get_ident(), None)
    _restart()


def _restart() -> None:
    """Have a thread that watches as often as is needed now; none if there is nothing to watch."""
    global _stop
    with _lock:
        if _stop.locked():
            _stop.release()
        if _watched:
            _stop = allocate_lock()
            _stop.acquire()
            interval = min(each.resolution for each in _watched.values()) / _LOOKS
            start_new_thread(_run, (_stop, max(interval, _SHORTEST)))


def _run(stop: Any, interval: float) -> None:
    while not stop.acquire(True, interval):
        for ident, watched in [*_watched.items()]:
            hub = watched.hub()
            try:
                if hub is None:
                    _watched.pop(ident, None)
                else:
                    watched.look(hub)
            except Exception:
                # A report that fails must not end the watch.
                traceback.print_exc()
            del hub


def _to_stderr(report: BlockReport) -> None:
    sys.stderr.write(f"{report}\n")
    sys.stderr.flush()


def _holds_up_somebody(hub: Hub) -> bool:
    """Tell whether there is anybody else who could run, now or later."""
    stats = hub.stats()
    return bool(
        stats["parked"]
        or stats["timers"]
        or stats["queued"]
        or hub.get_readers()
        or hub.get_writers()
    )


def _running(hub: Hub) -> greenlet.greenlet | None:
    """Return the greenlet that runs in the hub's OS thread, None if it is the hub's own.

    Its stack is the processor's: unlike those of all others, it has no suspended frame.
    """
    own = hub.greenlet
    parked = {id(waiting) for waiting in hub._parked()}
    candidates: list[Any] = [
        thing
        for thing in gc.get_objects()
        if isinstance(thing, greenlet.greenlet) and thing.parent is own
    ]
    if own.parent is not None:
        candidates.append(own.parent)
    for thing in candidates:
        frame: FrameType | None = thing.gr_frame
        if thing and frame is None and id(thing) not in parked and not thing.dead:
            return thing  # type: ignore[no-any-return]
    return None


def _name(ident: int) -> str:
    for thread in threading.enumerate():
        if thread.ident == ident:
            return thread.name
    return "an OS thread"


def _after_fork_in_child() -> None:
    global _lock, _stop
    _lock = RLock()
    _stop = allocate_lock()
    # The other threads, and the one that watched, are in the parent only.
    for ident in [*_watched]:
        if ident != get_ident():
            del _watched[ident]
    _restart()


os.register_at_fork(after_in_child=_after_fork_in_child)

#: How often a hub is looked at in the time that blocking may take.
_LOOKS = 4
#: Seconds between two looks, at least.
_SHORTEST = 0.002
