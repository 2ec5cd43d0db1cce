"""What the programs of these tests share: they run patched, and this measures them.

An operation blocks on something outside of the process for some tenths of a second. Done fifty
times at once, it has to take less than three times as long as done once: so none of the fifty kept
the others from running. What they take to run comes on top, twice, as a server that answers them
takes as much; and on a machine that has other things to do, both wait for a processor.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeVar

import eventlet

COUNT = 50
# Time may pass for which nobody here is to blame.
ATTEMPTS = 3

T = TypeVar("T")

#: What the test gave its program.
given = SimpleNamespace(**json.loads(sys.argv[1] if len(sys.argv) > 1 else "{}"))


def overlap(operation: Callable[[int], Any], count: int = COUNT) -> list[Any]:
    """Call an operation with each number below `count`, at once; the results, in order."""

    def many() -> list[Any]:
        return [*eventlet.GreenPool(count).imap(operation, range(count))]

    results = compare(lambda: operation(0), many, count)
    assert len(results) == count
    return results


def compare(one: Callable[[], Any], many: Callable[[], T], count: int = COUNT) -> T:
    """Call `one` and `many`, which does as much as `count` times `one`; what `many` returns."""
    # Not timed: what is imported, cached and connected for good the first time.
    one()
    for attempt in range(ATTEMPTS):
        start = time.perf_counter()
        one()
        single = time.perf_counter() - start
        assert single > 0.05, f"an operation of {single:.3f} s blocks on nothing"
        start, ran = time.perf_counter(), running()
        results = many()
        together, ran = time.perf_counter() - start, running() - ran
        if together < 3 * single + 2 * ran:
            break
        again = attempt < ATTEMPTS - 1 and together < count / 3 * single
        report = f"one took {single:.3f} s, {count} at once {together:.3f} s, {ran:.3f} to run"
        assert again, report
    return results


def running() -> float:
    """Seconds for which the main thread has run, or has waited for a processor to run on."""
    try:
        with open("/proc/self/schedstat", encoding="ascii") as file:
            ran, waited = file.read().split()[:2]
    except OSError:
        return time.process_time()
    return (int(ran) + int(waited)) / 1e9
