"""In-process workloads for Eventlet: the project under test and Eventlet 0.41 run this file.

Each workload imports what it needs, so that one whose API is not there yet ends with an
ImportError and leaves the others alone.
"""

from argparse import Namespace

import _measure
from _measure import BATCH, Figures, per_operation


def sleep0(args: Namespace) -> Figures:
    """Every green thread of a batch yields in turn."""
    from eventlet import sleep, spawn

    def run(rounds: int) -> None:
        def worker() -> None:
            for _ in range(rounds):
                sleep(0)

        threads = [spawn(worker) for _ in range(BATCH)]
        for thread in threads:
            thread.wait()

    return per_operation(run, BATCH, args.seconds)


def spawn_wait(args: Namespace) -> Figures:
    """Spawn a batch of functions, then wait for each result."""
    from eventlet import spawn

    def work(value: int) -> int:
        return value

    def run(rounds: int) -> None:
        for _ in range(rounds):
            threads = [spawn(work, 1) for _ in range(BATCH)]
            for thread in threads:
                thread.wait()

    return per_operation(run, BATCH, args.seconds)


def queue(args: Namespace) -> Figures:
    """Two green threads pass an item to and fro over two queues."""
    from eventlet import spawn
    from eventlet.queue import Queue

    def run(rounds: int) -> None:
        there, back = Queue(), Queue()

        def echo() -> None:
            for _ in range(rounds):
                back.put(there.get())

        def ask() -> None:
            for _ in range(rounds):
                there.put(1)
                back.get()

        threads = [spawn(echo), spawn(ask)]
        for thread in threads:
            thread.wait()

    return per_operation(run, 1, args.seconds)


def semaphore(args: Namespace) -> Figures:
    """A batch of green threads share one semaphore; the holder yields while it holds it."""
    from eventlet import sleep, spawn
    from eventlet.semaphore import Semaphore

    def run(rounds: int) -> None:
        shared = Semaphore(1)

        def worker() -> None:
            for _ in range(rounds):
                with shared:
                    sleep(0)

        threads = [spawn(worker) for _ in range(BATCH)]
        for thread in threads:
            thread.wait()

    return per_operation(run, BATCH, args.seconds)


def parked(args: Namespace) -> Figures:
    """Resident memory of a green thread that waits for an event."""
    from eventlet import sleep, spawn
    from eventlet.event import Event

    event = Event()

    started = 0

    def worker() -> None:
        nonlocal started
        started += 1
        event.wait()

    def park(count: int) -> list:
        wanted = started + count
        threads = [spawn(worker) for _ in range(count)]
        for _ in range(1000):
            sleep(0.005)
            if started >= wanted:
                break
        return threads

    warm = park(100)
    before = _measure.resident()
    threads = park(args.count)
    used = _measure.resident() - before
    event.send(None)
    for thread in warm + threads:
        thread.wait()
    return {"bytes": used / args.count}


def timers(args: Namespace) -> Figures:
    """Insert and cancel timers that are far from due."""
    from eventlet import sleep
    from eventlet.hubs import get_hub

    schedule = get_hub().schedule_call_global
    return _measure.timer_figures(
        args.count, lambda: schedule(3600, int), lambda timer: timer.cancel(), lambda: sleep(0.001)
    )


def timer_memory(args: Namespace) -> Figures:
    """Memory of timers whose handles are not kept."""
    from eventlet import sleep
    from eventlet.hubs import get_hub

    schedule = get_hub().schedule_call_global
    return _measure.timer_memory(args.count, lambda: schedule(3600, int), lambda: sleep(0.001))


if __name__ == "__main__":
    _measure.main(
        {
            "sleep0": sleep0,
            "spawn": spawn_wait,
            "queue": queue,
            "semaphore": semaphore,
            "parked": parked,
            "timers": timers,
            "timer-memory": timer_memory,
        }
    )
