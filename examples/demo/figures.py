"""The figures the demo shows: taken once a second, kept for a minute, handed to who watches."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import eventlet
from eventlet.event import Event
from eventlet.hubs import get_hub

KEPT = 61  # samples, so that the lines span a minute

Sample = dict[str, Any]


class Figures:
    """Takes a sample each second; `history` has the last ones, `watch` yields the next ones."""

    def __init__(self, gauges: Callable[[], Sample]) -> None:
        self.requests = 0  # Counted by the application, one request at a time.
        self.history: deque[Sample] = deque(maxlen=KEPT)
        self._gauges = gauges
        self._next: Event = Event()
        self._stopped = False
        self._last = self._counters()
        # Files that are open before anybody connects are not connections.
        self._files_at_start = _open_files()

    def run(self) -> None:
        """Take samples until `stop`."""
        due = time.monotonic()
        while not self._stopped:
            self.history.append(self._sample())
            # Whoever waits gets this one; who asks from now on, waits for the one after.
            waiting, self._next = self._next, Event()
            waiting.send(self.history[-1])
            # Until a second after this one was due: sleeping a second each time would drift.
            due += 1
            eventlet.sleep(max(0, due - time.monotonic()))

    def watch(self) -> Iterator[Sample]:
        """Yield each sample as it is taken, until `stop`."""
        while not self._stopped:
            sample = self._next.wait()
            if sample is not None:
                yield sample

    def stop(self) -> None:
        """End `run` and all who `watch`."""
        self._stopped = True
        if not self._next.ready():
            self._next.send(None)

    def _counters(self) -> tuple[float, int, int | None]:
        return time.monotonic(), self.requests, _hub_stats().get("switches")

    def _sample(self) -> Sample:
        before, self._last = self._last, self._counters()
        seconds = (self._last[0] - before[0]) or 1.0
        switches = None
        if self._last[2] is not None and before[2] is not None:
            switches = round((self._last[2] - before[2]) / seconds)
        gauges = self._gauges()
        sockets = _open_files() - self._files_at_start - gauges.pop("client_sockets", 0)
        return {
            "time": round(time.time(), 3),
            "requests": round((self._last[1] - before[1]) / seconds),
            "switches": switches,
            "green_threads": _hub_stats().get("green_threads"),
            "connections": max(0, sockets),
            "memory": _memory(),
            **gauges,
        }


def _hub_stats() -> dict[str, int]:
    """What the hub counts; a hub of another make may not, and then there is less to show."""
    stats = getattr(get_hub(), "stats", None)
    return stats() if callable(stats) else {}


def _open_files() -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return len(os.listdir(folder))
    return 0


def _memory() -> int:
    """The bytes of memory this process has in use."""
    with contextlib.suppress(OSError), open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()
    # Elsewhere only the most there ever was is known, in bytes or in KiB.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
