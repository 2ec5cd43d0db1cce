"""In-process workloads for asyncio tasks, on asyncio's own loop or on uvloop."""

import asyncio
from argparse import Namespace
from asyncio import Event, Queue, Semaphore
from collections.abc import Callable, Coroutine
from typing import Any

import _measure
from _measure import BATCH, Figures, per_operation


def new_loop(args: Namespace) -> asyncio.AbstractEventLoop:
    """The event loop that the command line asks for."""
    if args.loop == "uvloop":
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


def timed(args: Namespace, body: Callable[[int], Coroutine[Any, Any, None]], each: int) -> Figures:
    """Time a coroutine function on one loop."""
    loop = new_loop(args)
    return per_operation(lambda rounds: loop.run_until_complete(body(rounds)), each, args.seconds)


def sleep0(args: Namespace) -> Figures:
    """Every task of a batch yields in turn."""

    async def body(rounds: int) -> None:
        async def worker() -> None:
            for _ in range(rounds):
                await asyncio.sleep(0)

        for task in [asyncio.create_task(worker()) for _ in range(BATCH)]:
            await task

    return timed(args, body, BATCH)


def spawn_wait(args: Namespace) -> Figures:
    """Create a batch of tasks, then wait for each result."""

    async def work(value: int) -> int:
        return value

    async def body(rounds: int) -> None:
        for _ in range(rounds):
            for task in [asyncio.create_task(work(1)) for _ in range(BATCH)]:
                await task

    return timed(args, body, BATCH)


def queue(args: Namespace) -> Figures:
    """Two tasks pass an item to and fro over two queues."""

    async def body(rounds: int) -> None:
        there: Queue[int] = Queue()
        back: Queue[int] = Queue()

        async def echo() -> None:
            for _ in range(rounds):
                await back.put(await there.get())

        async def ask() -> None:
            for _ in range(rounds):
                await there.put(1)
                await back.get()

        for task in [asyncio.create_task(echo()), asyncio.create_task(ask())]:
            await task

    return timed(args, body, 1)


def semaphore(args: Namespace) -> Figures:
    """A batch of tasks share one semaphore; the holder yields while it holds it."""

    async def body(rounds: int) -> None:
        shared = Semaphore(1)

        async def worker() -> None:
            for _ in range(rounds):
                async with shared:
                    await asyncio.sleep(0)

        for task in [asyncio.create_task(worker()) for _ in range(BATCH)]:
            await task

    return timed(args, body, BATCH)


def parked(args: Namespace) -> Figures:
    """Resident memory of a task that waits for an event."""

    async def body() -> int:
        event = Event()

        started = 0

        async def worker() -> None:
            nonlocal started
            started += 1
            await event.wait()

        async def park(count: int) -> list:
            wanted = started + count
            tasks = [asyncio.create_task(worker()) for _ in range(count)]
            for _ in range(1000):
                await asyncio.sleep(0.005)
                if started >= wanted:
                    break
            return tasks

        warm = await park(100)
        before = _measure.resident()
        tasks = await park(args.count)
        used = _measure.resident() - before
        event.set()
        for task in warm + tasks:
            await task
        return used

    return {"bytes": new_loop(args).run_until_complete(body()) / args.count}


def timers(args: Namespace) -> Figures:
    """Insert and cancel timers that are far from due."""
    loop = new_loop(args)
    return _measure.timer_figures(
        args.count,
        lambda: loop.call_later(3600, int),
        lambda timer: timer.cancel(),
        lambda: loop.run_until_complete(asyncio.sleep(0.001)),
    )


def timer_memory(args: Namespace) -> Figures:
    """Memory of timers whose handles are not kept."""
    loop = new_loop(args)
    return _measure.timer_memory(
        args.count,
        lambda: loop.call_later(3600, int),
        lambda: loop.run_until_complete(asyncio.sleep(0.001)),
    )


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
