"""What the programs of these tests share: they run patched, and this measures them.

An operation blocks on something outside of the process for some tenths of a second. Done fifty
times at once, it has to take less than three times as long as done once: so none of the fifty kept
the others from running. Were only two of them to wait for each other, it would take longer.
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
# On a machine that does something else as well, time passes for which nobody here is to blame.
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
        start = time.perf_counter()
        results = many()
        together = time.perf_counter() - start
        if together < 3 * single:
            break
        again = attempt < ATTEMPTS - 1 and together < count / 3 * single
        assert again, f"one took {single:.3f} s, {count} at once {together:.3f} s"
    return results
