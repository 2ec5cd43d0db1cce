"""The examples that need no network: each is run as a reader would run it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PATIENCE = 50


def run(name: str, *args: object) -> list[str]:
    """Run an example to its end and return the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name, *map(str, args)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("producers", "consumers", "items"), [(3, 2, 4), (1, 1, 5), (2, 5, 1), (5, 1, 3)]
)
def test_producers_consumers(producers: int, consumers: int, items: int) -> None:
    lines = run(
        *("producers_consumers.py", "--producers", producers),
        *("--consumers", consumers, "--items", items),
    )
    assert lines.pop().startswith(f"{producers * items} items")
    taken = [line.split(" took ") for line in lines]
    names = [item for _, item in taken]
    assert sorted(names) == sorted(
        f"{chr(ord('a') + producer)}{item}"
        for producer in range(producers)
        for item in range(items)
    )
    # Those of one producer come in the order in which they were made, if one consumer takes all.
    if consumers == 1:
        for producer in {name[0] for name in names}:
            own = [name for name in names if name[0] == producer]
            assert own == sorted(own)
    assert {who for who, _ in taken} <= {f"consumer {number}" for number in range(consumers)}


def test_one_event_five_waiters() -> None:
    assert run("one_event_five_waiters.py") == [
        "5 green threads wait",
        "sent",
        *(f"waiter {number} got 'the news'" for number in range(5)),
        "and who comes late hears 'the news' at once",
    ]


def test_pool_of_slow_tasks() -> None:
    lines = run("pool_of_slow_tasks.py", "--tasks", 12, "--at-once", 4)
    found = re.fullmatch(r"12 tasks, 4 at a time, took (\d+\.\d+) s", lines.pop())
    assert found
    # Three rounds of four, each of 0.05 s: less is impossible.
    assert float(found[1]) >= 0.15
    assert [line.split(":")[0] for line in lines] == [f"page {number}" for number in range(12)]
    assert len({line.split(": ")[1] for line in lines}) == 12


def test_mailbox() -> None:
    assert run("mailbox.py") == [
        *(f"customer {number} took 20, {80 - 20 * number} left" for number in range(5)),
        "customer 5: there are only 0 left",
        "customer 6: there are only 0 left",
        "at the end: 0",
    ]
