"""In-process workloads for gevent."""

from argparse import Namespace
from typing import Any

import _measure
import gevent
from _measure import BATCH, Figures, per_operation
from gevent.event import Event
from gevent.lock import Semaphore
from gevent.queue import Queue


def sleep0(args: Namespace) -> Figures:
    """Every greenlet of a batch yields in turn."""

    def run(rounds: int) -> None:
        def worker() -> None:
            for _ in range(rounds):
                gevent.sleep(0)

        gevent.joinall([gevent.spawn(worker) for _ in range(BATCH)])

    return per_operation(run, BATCH, args.seconds)


def spawn_wait(args: Namespace) -> Figures:
    """Spawn a batch of functions, then wait for each result."""

    def work(value: int) -> int:
        return value

    def run(rounds: int) -> None:
        for _ in range(rounds):
            greenlets = [gevent.spawn(work, 1) for _ in range(BATCH)]
            for greenlet in greenlets:
                greenlet.get()

    return per_operation(run, BATCH, args.seconds)


def queue(args: Namespace) -> Figures:
    """Two greenlets pass an item to and fro over two queues."""

    def run(rounds: int) -> None:
        there, back = Queue(), Queue()

        def echo() -> None:
            for _ in range(rounds):
                back.put(there.get())

        def ask() -> None:
            for _ in range(rounds):
                there.put(1)
                back.get()

        gevent.joinall([gevent.spawn(echo), gevent.spawn(ask)])

    return per_operation(run, 1, args.seconds)


def semaphore(args: Namespace) -> Figures:
    """A batch of greenlets share one semaphore; the holder yields while it holds it."""

    def run(rounds: int) -> None:
        shared = Semaphore(1)

        def worker() -> None:
            for _ in range(rounds):
                with shared:
                    gevent.sleep(0)

        gevent.joinall([gevent.spawn(worker) for _ in range(BATCH)])

    return per_operation(run, BATCH, args.seconds)


def parked(args: Namespace) -> Figures:
    """Resident memory of a greenlet that waits for an event."""
    event = Event()

    started = 0

    def worker() -> None:
        nonlocal started
        started += 1
        event.wait()

    def park(count: int) -> list:
        wanted = started + count
        greenlets = [gevent.spawn(worker) for _ in range(count)]
        for _ in range(1000):
            gevent.sleep(0.005)
            if started >= wanted:
                break
        return greenlets

    warm = park(100)
    before = _measure.resident()
    greenlets = park(args.count)
    used = _measure.resident() - before
    event.set()
    gevent.joinall(warm + greenlets)
    return {"bytes": used / args.count}


def timers(args: Namespace) -> Figures:
    """Insert and cancel timers that are far from due."""
    loop = gevent.get_hub().loop

    def insert() -> Any:
        timer = loop.timer(3600)
        timer.start(int)
        return timer

    def cancel(timer: Any) -> None:
        timer.stop()
        timer.close()

    return _measure.timer_figures(args.count, insert, cancel, lambda: gevent.sleep(0.001))


if __name__ == "__main__":
    _measure.main(
        {
            "sleep0": sleep0,
            "spawn": spawn_wait,
            "queue": queue,
            "semaphore": semaphore,
            "parked": parked,
            "timers": timers,
        }
    )
