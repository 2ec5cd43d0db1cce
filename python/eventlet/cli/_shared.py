"""Figures that all processes of a server write and read: an anonymous shared mapping.

Each worker has a row of its own, so nothing needs a lock: a row has one writer, and an aligned word
is read whole. What only ever grows stays in a row when its worker ends, and the next one goes on
from there; so totals never fall. What says how things are now is cleared.
"""

from __future__ import annotations

import mmap
import time
from bisect import bisect_left
from dataclasses import dataclass

#: Upper ends, in seconds, of the groups that requests are counted in by how long they took.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

#: Rows: workers there can be at the same time, the old ones of a reload included.
ROWS = 1024

# Columns of a row.
_STATUS = 0  # to 5: requests by the first digit of the status
_DURATION = 6  # and on: requests by bucket, the last one for all that took longer
_SECONDS = _DURATION + len(BUCKETS) + 1  # microseconds that requests took
_SENT = _SECONDS + 1
_ACCEPTED = _SENT + 1
_LOG_LOST = _ACCEPTED + 1
_CONNECTIONS = _LOG_LOST + 1
_ACTIVE = _CONNECTIONS + 1
_BEAT = _ACTIVE + 1
_WIDTH = _BEAT + 1

# The row after the last is the arbiter's.
_WORKERS = 0
_RESTARTS = 1
_RELOADS = 2
_STARTED = 3


@dataclass
class Totals:
    """The figures of all workers together."""

    statuses: list[int]
    durations: list[int]
    seconds: float
    sent: int
    accepted: int
    log_lost: int
    connections: int
    active: int
    workers: int
    restarts: int
    reloads: int
    started: float


class Figures:
    """The mapping. It is made before the first worker is, and inherited by all."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, (ROWS + 1) * _WIDTH * 8)
        self._words = memoryview(self._map).cast("Q")
        self._own = ROWS * _WIDTH
        self._words[self._own + _STARTED] = int(time.time())

    def row(self, index: int) -> Row:
        """The row of a worker, cleared of what its predecessor left about itself."""
        row = Row(self._words, index * _WIDTH)
        row.gauge(connections=0, active=0)
        row.beat()
        return row

    def set_workers(self, count: int) -> None:
        """Note how many workers there are."""
        self._words[self._own + _WORKERS] = count

    def count_restart(self) -> None:
        """Count a worker that died and was replaced."""
        self._words[self._own + _RESTARTS] += 1

    def count_reload(self) -> None:
        """Count a reload."""
        self._words[self._own + _RELOADS] += 1

    def totals(self) -> Totals:
        """Add up all rows."""
        words = self._words
        sums = [sum(words[column : self._own : _WIDTH]) for column in range(_BEAT)]
        own = words[self._own : self._own + _WIDTH]
        return Totals(
            statuses=sums[_STATUS:_DURATION],
            durations=sums[_DURATION:_SECONDS],
            seconds=sums[_SECONDS] / 1e6,
            sent=sums[_SENT],
            accepted=sums[_ACCEPTED],
            log_lost=sums[_LOG_LOST],
            connections=sums[_CONNECTIONS],
            active=sums[_ACTIVE],
            workers=own[_WORKERS],
            restarts=own[_RESTARTS],
            reloads=own[_RELOADS],
            started=float(own[_STARTED]),
        )


class Row:
    """The figures of one worker."""

    def __init__(self, words: memoryview[int], base: int) -> None:
        self._words = words
        self._base = base

    def request(self, status: int, seconds: float, sent: int) -> None:
        """Count a request."""
        words, base = self._words, self._base
        words[base + _STATUS + (status // 100 if 100 <= status < 600 else 0)] += 1
        words[base + _DURATION + bisect_left(BUCKETS, seconds)] += 1
        words[base + _SECONDS] += int(seconds * 1e6)
        words[base + _SENT] += sent

    def accepted(self, count: int) -> None:
        """Count connections."""
        self._words[self._base + _ACCEPTED] += count

    def log_lost(self, count: int) -> None:
        """Count lines that could not be written to the access log."""
        self._words[self._base + _LOG_LOST] += count

    def gauge(self, connections: int, active: int) -> None:
        """Note how many connections are open, and on how many of them a request runs."""
        self._words[self._base + _CONNECTIONS] = connections
        self._words[self._base + _ACTIVE] = active

    @property
    def active(self) -> int:
        """On how many connections a request runs."""
        return self._words[self._base + _ACTIVE]

    def beat(self) -> None:
        """Give a sign of life."""
        self._words[self._base + _BEAT] = time.monotonic_ns()

    def silence(self) -> float:
        """Seconds since the last sign of life."""
        return (time.monotonic_ns() - self._words[self._base + _BEAT]) / 1e9
