"""How the in-process contenders are timed: the same way for all of them."""

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

BATCH = 1000
"""Green threads (or tasks) that take part in a measurement."""

Figures = dict[str, float]


def per_operation(run: Callable[[int], None], operations: int, seconds: float) -> Figures:
    """Nanoseconds an operation, where `run(n)` does n times `operations` operations.

    A short run warms up and tells how many rounds fill the time; the second is measured.
    """
    rounds = max(1, 20_000 // operations)
    began = time.perf_counter()
    run(rounds)
    each = (time.perf_counter() - began) / rounds
    rounds = max(1, min(int(seconds / each), 10_000_000 // operations * 10))
    began = time.perf_counter()
    run(rounds)
    elapsed = time.perf_counter() - began
    return {"ns": elapsed / rounds / operations * 1e9}


def resident() -> int:
    """Resident bytes of this process."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def timer_figures(
    count: int,
    insert: Callable[[], Any],
    cancel: Callable[[Any], None],
    turn: Callable[[], None],
) -> Figures:
    """Insert and cancel many timers; `turn` lets the loop take in what was asked of it."""
    handles: list[Any] = [None] * count
    turn()
    before = resident()
    began = time.perf_counter()
    for index in range(count):
        handles[index] = insert()
    turn()
    inserted = time.perf_counter()
    held = resident() - before
    half = time.perf_counter()
    for handle in handles:
        cancel(handle)
    turn()
    cancelled = time.perf_counter()
    return {
        "insert_ns": (inserted - began) / count * 1e9,
        "cancel_ns": (cancelled - half) / count * 1e9,
        "held_mb": held / 1e6,
    }


def timer_memory(count: int, insert: Callable[[], Any], turn: Callable[[], None]) -> Figures:
    """What many timers take when nobody keeps their handles."""
    turn()
    before = resident()
    for _ in range(count):
        insert()
    turn()
    return {"mb": (resident() - before) / 1e6}


def main(workloads: Mapping[str, Callable[[argparse.Namespace], Figures]]) -> None:
    """Run the workload that the command line names and print its figures as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=sorted(workloads))
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--count", type=int, default=1000, help="green threads or timers")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    args = parser.parse_args()
    print(json.dumps(workloads[args.workload](args)))
