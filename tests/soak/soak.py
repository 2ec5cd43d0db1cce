"""A long run of everything at once, and a check that it leaves nothing behind.

    python tests/soak/soak.py --minutes 10
    python tests/soak/soak.py --seconds 20 --seed 7

One process holds a WSGI server, an echo server and workers that do random operations on them over
loopback: requests that are kept alive, pipelined, aborted or garbage, connections that end or are
reset, green threads that are killed or timed out. Each operation checks its own outcome. At the end
everything is stopped, and there must be as many open files, listeners, timers and live green
threads as before, and no more memory than after the warm-up. Exit status 0 says that all of this
held.

The seed decides what each worker does, operation by operation; how they interleave is up to timing.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from operations import Operations
from servers import Servers

import eventlet
from eventlet import Timeout
from eventlet.hubs import get_hub

STUCK = 60  # seconds without an operation done, after which all stacks are shown
OPERATION_LIMIT = 30  # seconds an operation may take
PROGRESS = 5  # seconds between lines of progress
WARM_UP = 0.25  # part of the time after which memory is compared
MOST_FAILURES = 20


class OperationStuck(Exception):
    """An operation took so long that it will hardly ever end."""


class Soak:
    """One run."""

    def __init__(
        self,
        seed: int,
        workers: int,
        seconds: float,
        servers: type[Servers] = Servers,
        operations: type[Operations] = Operations,
    ) -> None:
        self.make_servers = servers
        self.make_operations = operations
        self.seed = seed
        self.workers = workers
        self.seconds = seconds
        self.done: Counter[str] = Counter()
        self.failures: list[str] = []
        self.deadline = 0.0
        self.warm_memory: int | None = None
        self.end_memory = 0

    def run(self) -> None:
        """Do operations until the time is over, then stop everything."""
        start = time.monotonic()
        self.deadline = start + self.seconds
        servers = self.make_servers()
        operations = self.make_operations(servers)
        threads = [eventlet.spawn(self.work, number, operations) for number in range(self.workers)]
        try:
            while (now := time.monotonic()) < self.deadline:
                eventlet.sleep(min(PROGRESS, self.deadline - now))
                passed = time.monotonic() - start
                if self.warm_memory is None and passed >= self.seconds * WARM_UP:
                    self.warm_memory = memory()
                self.progress(passed, operations)
                if len(self.failures) >= MOST_FAILURES:
                    self.deadline = 0
        except KeyboardInterrupt:
            print("interrupted: stopping early", flush=True)
            self.deadline = 0
        for thread in threads:
            thread.wait()
        self.end_memory = memory()
        servers.stop()

    def work(self, worker: int, operations: Operations) -> None:
        """One worker: operation after operation."""
        weights, table = zip(*operations.table(), strict=True)
        choose = Random(f"{self.seed}/{worker}")
        index = 0
        while time.monotonic() < self.deadline:
            operation = choose.choices(table, weights)[0]
            self.attempt(operation, Random(f"{self.seed}/{worker}/{index}"), (worker, index))
            index += 1
            # Operations need not wait; everybody else shall have a turn nevertheless.
            eventlet.sleep(0)

    def attempt(
        self, operation: Callable[[Random], None], random: Random, which: tuple[int, int]
    ) -> None:
        """Do one operation; what goes wrong is kept for the report."""
        try:
            with Timeout(OPERATION_LIMIT, OperationStuck(f"{OPERATION_LIMIT} s were not enough")):
                operation(random)
        except (Exception, Timeout) as error:
            where = f"{operation.__name__}, worker {which[0]}, operation {which[1]}"
            trace = "".join(traceback.format_exception(error))
            self.failures.append(f"{where}\n{trace}")
            print(f"FAILED: {where}: {error!r}", flush=True)
        self.done[operation.__name__] += 1
        if self.done.total() % 100 == 1:
            watch()

    def progress(self, passed: float, operations: Operations) -> None:
        """Print how it goes."""
        parts = [
            f"{passed:7.1f} s",
            f"{self.done.total():9,} operations",
            f"{operations.requests:11,} requests",
            f"{operations.messages:9,} echoes",
            f"{open_files():5} files",
            f"{memory(collect=False) / 2**20:7.1f} MiB",
            f"{len(self.failures)} failures",
        ]
        print("  ".join(parts), flush=True)


def watch() -> None:
    """Show all stacks and exit, unless called again in time."""
    faulthandler.dump_traceback_later(STUCK, exit=True)


def open_files() -> int:
    """How many descriptors are open; the listing's own is one of them, each time."""
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    return len(os.listdir(folder))


def open_file_names() -> list[str]:
    """What the open descriptors are, as far as the system tells."""
    names = []
    for name in sorted(os.listdir("/proc/self/fd"), key=int):
        with contextlib.suppress(OSError):
            names.append(f"{name} -> {os.readlink(f'/proc/self/fd/{name}')}")
    return names


def memory(collect: bool = True) -> int:
    """Resident memory in bytes, after what is only garbage has gone; 0 where it is not known."""
    if collect:
        gc.collect()
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def live_green_threads() -> list[Any]:
    """The greenlets that have started and not ended, and those that still may start."""
    greenlet = eventlet.greenlet.greenlet
    return [thing for thing in gc.get_objects() if isinstance(thing, greenlet) and not thing.dead]


def balance() -> dict[str, int]:
    """All that must be the same before and after."""
    hub = get_hub()
    figures = {
        "open files": open_files(),
        "readers": len(hub.get_readers()),
        "writers": len(hub.get_writers()),
        "timers": hub.get_timers_count() - hub.timers_canceled,
        "live green threads": len(live_green_threads()),
    }
    stats = getattr(hub, "stats", None)
    if callable(stats):
        counted = stats()
        for key in ("green_threads", "parked", "timers"):
            if key in counted:
                figures[f"stats: {key}"] = counted[key]
    return figures


def settled(before: dict[str, int], seconds: float) -> dict[str, int]:
    """The balance, as soon as it is as `before`, or after some seconds as it is then."""
    end = time.monotonic() + seconds
    while True:
        gc.collect()
        after = balance()
        if after == before or time.monotonic() >= end:
            return after
        eventlet.sleep(0.05)


def report(soak: Soak, before: dict[str, int], after: dict[str, int], tolerance: int) -> bool:
    """Print the outcome; whether all is well."""
    print("\noperations: " + ", ".join(f"{name} {n:,}" for name, n in sorted(soak.done.items())))
    for failure in soak.failures[:MOST_FAILURES]:
        print(f"\nFAILED: {failure}")
    well = not soak.failures
    for name, count in before.items():
        good = after[name] == count
        well = well and good
        print(f"{'ok  ' if good else 'LEFT'} {name}: {count} before, {after[name]} after")
    if after["open files"] != before["open files"] and os.path.isdir("/proc/self/fd"):
        print("     " + "\n     ".join(open_file_names()))
    if after["live green threads"] > before["live green threads"]:
        for thread in live_green_threads():
            print(f"     {thread!r}")
            if thread.gr_frame is not None:
                print("".join(traceback.format_stack(thread.gr_frame)))
    if soak.warm_memory is not None:
        growth = soak.end_memory - soak.warm_memory
        good = growth <= tolerance
        well = well and good
        print(
            f"{'ok  ' if good else 'GREW'} memory: {soak.warm_memory / 2**20:.1f} MiB warm, "
            f"{soak.end_memory / 2**20:.1f} MiB at the end; "
            f"{tolerance / 2**20:g} MiB more are tolerated"
        )
    if not soak.done:
        print("LEFT nothing was done at all")
    return well and bool(soak.done)


def main(
    servers: type[Servers] = Servers,
    operations: type[Operations] = Operations,
    prepare: Callable[[], None] = eventlet.sleep,
) -> int:
    """Run the soak as the command line says, after `prepare`."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="how long (default: 10)")
    length.add_argument("--seconds", type=float, help="how long, for a short run")
    parser.add_argument("--seed", type=int, help="decides what is done (default: a random one)")
    parser.add_argument("--workers", type=int, default=50, help="how many at once (default: 50)")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=12,
        metavar="MIB",
        help="growth of memory since the warm-up that is no leak (default: 12)",
    )
    parser.add_argument(
        "--settle",
        type=float,
        default=10,
        metavar="SECONDS",
        help="time in which all must have gone at the end (default: 10)",
    )
    args = parser.parse_args()
    seconds = args.seconds or (args.minutes or 10) * 60
    seed = args.seed if args.seed is not None else Random().randrange(10**9)
    print(f"soak: seed {seed}, {args.workers} workers, {seconds:g} s", flush=True)

    watch()
    # What the first use of anything brings into being is no leak: the hub and its descriptors.
    prepare()
    # Thousands of green threads raise on purpose. Their exceptions are looked at where they are
    # waited for, and need not be printed besides.
    get_hub().debug_exceptions = False
    before = balance()
    soak = Soak(seed, args.workers, seconds, servers, operations)
    soak.run()
    watch()
    after = settled(before, args.settle)
    well = report(soak, before, after, int(args.tolerance * 2**20))
    faulthandler.cancel_dump_traceback_later()
    print(f"soak: {'passed' if well else 'FAILED'} (seed {seed})", flush=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
