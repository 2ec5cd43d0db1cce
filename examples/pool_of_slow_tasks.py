"""A pool that does slow things, so many at a time.

A `GreenPool` limits how many green threads run at once: `spawn` waits while it is full. Its `imap`
is the built-in `map` with that many calls at a time, and keeps the order of the results.

The tasks are of two kinds. Those that wait in Python (here: sleep) give way by themselves. Those
that block in a library, or compute, run in OS threads through `tpool.execute`.

    python examples/pool_of_slow_tasks.py
"""

from __future__ import annotations

import argparse
import hashlib
import time

import eventlet
from eventlet import tpool


def fetch(number: int) -> str:
    # Stands for a request to a slow server.
    eventlet.sleep(0.05)
    return f"page {number}"


def digest(page: str) -> str:
    # Takes a while, and gives way to nobody: in an OS thread it does no harm.
    return hashlib.scrypt(page.encode(), salt=b"salt", n=2**10, r=8, p=1).hex()[:16]


def task(number: int) -> tuple[str, str]:
    page = fetch(number)
    return page, tpool.execute(digest, page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--at-once", type=int, default=5)
    arguments = parser.parse_args()

    pool = eventlet.GreenPool(arguments.at_once)
    start = time.monotonic()
    for page, result in pool.imap(task, range(arguments.tasks)):
        print(f"{page}: {result}")
    seconds = time.monotonic() - start
    print(f"{arguments.tasks} tasks, {arguments.at_once} at a time, took {seconds:.2f} s")


if __name__ == "__main__":
    main()
