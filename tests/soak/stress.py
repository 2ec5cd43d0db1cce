"""Random operations on every primitive, from several OS threads at once, and a check of the sums.

    python tests/soak/stress.py --minutes 10
    python tests/soak/stress.py --seconds 20 --seed 7

Four OS threads, each with a hub of its own, run green threads that do random things with what they
all share: locks, conditions, semaphores, queues, events, time limits, kills, calls in OS threads,
forks. Plain OS threads without a hub join in. Each operation is interrupted at random, by a
`Timeout` or by a kill. What it took it gives back, what it put it counts; so at the end every lock
is free, every semaphore is where it began, every item that was put was taken once, and nobody waits
any more.

A watchdog ends the run, with the stacks of all threads and green threads, if for some time nobody
has got anywhere.

The seed decides what each worker does, operation by operation, and when it is interrupted. How the
workers interleave is up to the system; with the seed of a failed run the same operations meet
again, mostly with the same result. `--threads 1 --plain 0` takes much of the system out of it.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import os
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import eventlet
from eventlet import Timeout, _existing_locks, debug, tpool
from eventlet.corolocal import local
from eventlet.hubs import get_hub
from eventlet.lock import Condition, Lock, RLock
from eventlet.queue import Empty, Full, LifoQueue, LightQueue, PriorityQueue, Queue, SimpleQueue
from eventlet.semaphore import BoundedSemaphore, Semaphore

STUCK = 30.0  # seconds in which nobody has got anywhere
LONG = 60.0  # seconds that no wait should take
SHORT = 0.002  # seconds, about, after which an operation is interrupted
PROGRESS = 5.0  # seconds between lines of progress
MOST_FAILURES = 20
HOUSEKEEPING = 0.02  # seconds between two rounds of the one who keeps everything flowing


_REENTRANT = (RLock, Condition, type(threading.RLock()))


class Killed(Exception):
    """Thrown into a worker by another."""


class Shared:
    """What all workers use together, and the books about it."""

    def __init__(self) -> None:
        # The last ones are the standard library's, which `main` has made cooperate.
        plain, reentrant = threading.Lock(), threading.RLock()
        self.locks: list[Any] = [Lock(), Lock(), RLock(), Condition(), plain, reentrant]
        self.inside = [0] * len(self.locks)
        self.places = [Semaphore(2), BoundedSemaphore(3)]
        self.places_at_first = [semaphore.counter for semaphore in self.places]
        self.queues: list[Any] = [
            Queue(0),
            Queue(1),
            Queue(5),
            Queue(),
            LightQueue(2),
            LifoQueue(4),
            PriorityQueue(4),
        ]
        self.simple = SimpleQueue[Any]()
        self.local: Any = local()
        # What there is of something, and where it is waited for.
        self.stores: list[tuple[Any, list[int]]] = [
            (Condition(), [0]),
            (Condition(Lock()), [0]),
        ]
        self.events = [eventlet.Event() for _ in range(4)]


class Worker:
    """One sequence of random operations, in a green thread or a plain OS thread."""

    def __init__(self, stress: Stress, name: str, seed: str, green: bool) -> None:
        self.stress = stress
        self.shared = stress.shared
        self.name = name
        self.random = Random(seed)
        self.green = green
        self.steps = 0
        self.items = 0
        self.put: list[tuple[str, int]] = []
        #: What an interrupted `put` was about to put, or just had.
        self.offered: list[tuple[str, int]] = []
        self.taken: list[tuple[str, int]] = []
        #: Units brought to and fetched from the stores.
        self.stored = self.fetched = 0
        self.done: Counter[str] = Counter()
        self.doing = ""
        #: Whether the others may kill it now.
        self.killable = False
        self.thread: Any = None

    def run(self) -> None:
        """Do operations until the time is over."""
        table = self.table()
        names = [name for name, weight in table.items() for _ in range(weight)]
        while not self.stress.over:
            name = self.random.choice(names)
            self.doing = name
            try:
                self.interrupted(getattr(self, name), name)
            except Killed:
                # By another OS thread, which means that it comes when it comes.
                self.done["killed"] += 1
            except Exception:
                self.stress.fail(f"{self.name}, {name}:\n{traceback.format_exc()}")
            self.done[name] += 1
            self.steps += 1
        self.doing = "ended"

    def table(self) -> dict[str, int]:
        """The operations and how often each comes."""
        common = {
            "use_lock": 6,
            "use_two_locks": 2,
            "try_lock": 2,
            "use_place": 6,
            "put_item": 10,
            "take_item": 10,
            "put_simply": 4,
            "take_simply": 4,
            "fill_store": 4,
            "empty_store": 5,
            "wait_event": 3,
            "send_event": 3,
        }
        if not self.green:
            return {**common, "nap": 2}
        return {
            **common,
            "sleep": 4,
            "use_local": 3,
            "spawn": 4,
            "kill_child": 2,
            "kill_worker": 1,
            "call_thread": 3,
            "call_pool": 1,
            "call_hub": 2,
            "timer": 2,
            "fork": 1 if self.stress.forks else 0,
        }

    def interrupted(self, operation: Callable[[], None], name: str) -> None:
        """Do it, for so long as chance allows."""
        how = self.random.random()
        after = self.random.uniform(0, 2 * SHORT)
        if not self.green or name == "fork":
            operation()
            return
        self.killable = True
        try:
            # The outer limit is for what should not take long, the inner is the game.
            with Timeout(LONG):
                if how < 0.5:
                    operation()
                else:
                    with Timeout(after, False):
                        operation()
        finally:
            self.killable = False

    # Locks and semaphores. `limit` is for plain OS threads, which nobody interrupts.

    @property
    def limit(self) -> float | None:
        return None if self.green else self.random.uniform(0, 5 * SHORT)

    def pause(self) -> None:
        """Let others run in the middle of something, or not."""
        if self.green and self.random.random() < 0.7:
            eventlet.sleep(self.random.choice((0, 0, 0.0005)))

    def use_lock(self) -> None:
        self.with_lock(self.random.randrange(len(self.shared.locks)))

    def with_lock(self, number: int, then: Callable[[], None] | None = None) -> None:
        lock, inside = self.shared.locks[number], self.shared.inside
        limit = self.limit
        if not lock.acquire(timeout=-1 if limit is None else limit):
            return
        try:
            inside[number] += 1
            if inside[number] != 1:
                self.stress.fail(f"{self.name}: {inside[number]} hold lock {number}")
            try:
                self.pause()
                if isinstance(lock, _REENTRANT):
                    with lock:
                        self.pause()
                if then is not None:
                    then()
            finally:
                inside[number] -= 1
        finally:
            lock.release()

    def use_two_locks(self) -> None:
        # In order, or it would be the test that deadlocks.
        first, second = sorted(self.random.sample(range(len(self.shared.locks)), 2))
        self.with_lock(first, lambda: self.with_lock(second))

    def try_lock(self) -> None:
        lock = self.random.choice(self.shared.locks)
        if lock.acquire(blocking=False):
            lock.release()

    def use_place(self) -> None:
        semaphore = self.random.choice(self.shared.places)
        if not semaphore.acquire(timeout=self.limit):
            return
        try:
            self.pause()
        finally:
            semaphore.release()

    # Queues. An interrupted `get` has taken nothing; an interrupted `put` may have put its item, if
    # the interruption came when somebody had just taken it.

    def put_item(self) -> None:
        queue = self.random.choice(self.shared.queues)
        self.items += 1
        item = (self.name, self.items)
        try:
            queue.put(item, timeout=self.random.choice((self.limit, 5 * SHORT)))
        except Full:
            return
        except BaseException:
            self.offered.append(item)
            raise
        self.put.append(item)

    def take_item(self) -> None:
        queue = self.random.choice(self.shared.queues)
        try:
            item = queue.get(timeout=self.random.choice((self.limit, 5 * SHORT)))
        except Empty:
            return
        self.taken.append(item)
        if isinstance(queue, Queue):
            queue.task_done()

    def put_simply(self) -> None:
        self.items += 1
        item = (self.name, self.items)
        # Nothing can come in between.
        self.put.append(item)
        self.shared.simple.put(item)

    def take_simply(self) -> None:
        # Always with a limit: nobody helps those who wait to an end.
        with contextlib.suppress(Empty):
            self.taken.append(self.shared.simple.get(timeout=5 * SHORT))

    # Conditions: each unit that is brought is fetched once, or left over.

    def fill_store(self) -> None:
        condition, units = self.random.choice(self.shared.stores)
        with condition:
            units[0] += 1
            self.stored += 1
            if self.random.random() < 0.8:
                condition.notify()
            else:
                condition.notify_all()
            self.pause()

    def empty_store(self) -> None:
        condition, units = self.random.choice(self.shared.stores)
        with condition:
            if condition.wait_for(lambda: units[0], timeout=5 * SHORT):
                self.pause()
                units[0] -= 1
                self.fetched += 1
                if units[0] < 0:
                    self.stress.fail(f"{self.name}: two have fetched the same unit")

    # Events.

    def wait_event(self) -> None:
        event = self.random.choice(self.shared.events)
        nothing = object()
        got = event.wait(self.random.choice((self.limit, 5 * SHORT)), nothing)
        if got is not nothing and got != "sent":
            self.stress.fail(f"{self.name}: an event brought {got!r}")

    def send_event(self) -> None:
        number = self.random.randrange(len(self.shared.events))
        # Taken out first: nobody sends one that somebody else has sent.
        event, self.shared.events[number] = self.shared.events[number], eventlet.Event()
        with contextlib.suppress(AssertionError):
            event.send("sent")

    # What only green threads do.

    def nap(self) -> None:
        time.sleep(self.random.uniform(0, SHORT))

    def sleep(self) -> None:
        eventlet.sleep(self.random.choice((0, 0, self.random.uniform(0, SHORT))))

    def use_local(self) -> None:
        """Keep something where no other green thread finds it."""
        own = self.shared.local
        own.worker = self
        self.pause()
        if own.worker is not self or eventlet.spawn(hasattr, own, "worker").wait():
            self.stress.fail(f"{self.name}: a local has the attributes of another")
        if self.random.random() < 0.1:
            self.shared.local = local()

    def spawn(self) -> None:
        number = self.random.random()
        children = [eventlet.spawn(self.child, number) for _ in range(self.random.randrange(4))]
        for child in children:
            if child.wait() != number:
                self.stress.fail(f"{self.name}: a child has returned something else")

    @staticmethod
    def child(number: float) -> float:
        eventlet.sleep(0)
        return number

    def kill_child(self) -> None:
        child = eventlet.spawn(eventlet.sleep, LONG)
        if self.random.random() < 0.5:
            eventlet.sleep(0)
        child.kill(Killed())
        try:
            child.wait()
        except Killed:
            return
        self.stress.fail(f"{self.name}: a killed child has not raised")

    def kill_worker(self) -> None:
        """Kill another worker, of this OS thread or of another."""
        victim = self.random.choice(self.stress.green_workers)
        if victim is not self and victim.killable and victim.thread is not None:
            with Timeout(LONG):
                victim.thread.kill(Killed())

    def call_thread(self) -> None:
        number = self.random.random()
        if tpool.execute(self.slowly, number) != number:
            self.stress.fail(f"{self.name}: tpool has returned something else")

    def call_pool(self) -> None:
        number = self.random.random()
        if self.stress.pool.execute(self.slowly, number) != number:
            self.stress.fail(f"{self.name}: a pool has returned something else")

    @staticmethod
    def slowly(number: float) -> float:
        time.sleep(number * SHORT)
        return number

    def call_hub(self) -> None:
        """Have something done by the hub of any OS thread, and hear of it."""
        event = eventlet.Event()
        self.random.choice(self.stress.hubs).call_soon_threadsafe(event.send, "done")
        if event.wait() != "done":
            self.stress.fail(f"{self.name}: a hub has sent something else")

    def timer(self) -> None:
        event = eventlet.Event()
        delay = self.random.choice((0, self.random.uniform(0, SHORT)))
        timer = get_hub().schedule_call_global(delay, event.send, "fired")
        try:
            if self.random.random() < 0.3:
                timer.cancel()
            elif event.wait() != "fired":
                self.stress.fail(f"{self.name}: a timer has sent something else")
        finally:
            timer.cancel()

    def fork(self) -> None:
        """Fork in the middle of it all. The child sees that its world works, and ends."""
        if self.random.random() > 0.05:
            return
        with self.stress.fork_lock:
            if self.stress.over:
                return
            pid = os.fork()
            if pid == 0:
                self.in_child()
        self.done["forked"] += 1
        # Whatever is thrown into this green thread: the child is waited for.
        reaper = eventlet.spawn(tpool.execute, os.waitpid, pid, 0)
        while not reaper.dead:
            with contextlib.suppress(Killed):
                reaper.wait()
        _, status = reaper.wait()
        if status:
            self.stress.fail(f"{self.name}: a forked child has ended with status {status}")

    def in_child(self) -> None:
        status = 1
        try:
            faulthandler.dump_traceback_later(STUCK, exit=True)
            # The others go on here, and not all works: some wait for children of the parent.
            self.stress.fail = lambda text: None  # type: ignore[method-assign]
            while status:
                # What was thrown before the fork may come in the child.
                with contextlib.suppress(Killed):
                    self.use_everything()
                    status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def use_everything(self) -> None:
        assert eventlet.spawn(self.child, 7).wait() == 7
        assert tpool.execute(int, "8") == 8
        queue = Queue(0)
        giver = eventlet.spawn(queue.put, 9)
        with Lock(), RLock():
            assert queue.get() == 9
        giver.wait()


class Stress:
    """One run."""

    def __init__(self, options: argparse.Namespace, seed: int) -> None:
        self.seed = seed
        self.pid = os.getpid()
        self.seconds: float = options.seconds
        self.forks: bool = options.forks and hasattr(os, "fork")
        self.over = False
        self.failures: list[str] = []
        self.shared = Shared()
        self.pool = tpool.ThreadPool(3, idle_seconds=0.01)
        # Not in the way of green threads: it is for the OS threads that fork.
        self.fork_lock = Lock()
        self.hubs: list[Any] = []
        self.green_workers: list[Worker] = []
        self.plain_workers: list[Worker] = []
        self.groups: list[list[Worker]] = []
        for thread in range(options.threads):
            self.groups.append(
                [
                    Worker(self, f"t{thread}.{number}", f"{seed}.t{thread}.{number}", True)
                    for number in range(options.workers)
                ]
            )
            self.green_workers += self.groups[-1]
        for number in range(options.plain):
            name = f"p{number}"
            self.plain_workers.append(Worker(self, name, f"{seed}.{name}", False))

    @property
    def workers(self) -> list[Worker]:
        return self.green_workers + self.plain_workers

    def fail(self, text: str) -> None:
        """Note that something is not as it should be."""
        if os.getpid() != self.pid:
            # The other green threads of an OS thread that forks go on in the child, without the
            # other OS threads and with children that are not theirs.
            return
        self.failures.append(text)
        print(f"FAILED {text}", flush=True)
        if len(self.failures) >= MOST_FAILURES:
            self.over = True

    def run(self) -> bool:
        """Run for the time given; return whether all was well."""
        start = time.monotonic()
        ready = threading.Barrier(len(self.groups) + 1)
        threads = [
            threading.Thread(target=self.run_group, args=(group, ready), daemon=True)
            for group in self.groups
        ]
        for thread in threads:
            thread.start()
        ready.wait(LONG)
        threads += [
            threading.Thread(target=worker.run, daemon=True) for worker in self.plain_workers
        ]
        for thread in threads[len(self.groups) :]:
            thread.start()
        try:
            self.watch(start)
        except KeyboardInterrupt:
            print("interrupted: stopping early", flush=True)
        self.over = True
        self.drain(threads)
        self.balance()
        passed = time.monotonic() - start
        steps = sum(worker.steps for worker in self.workers)
        done: Counter[str] = sum((worker.done for worker in self.workers), Counter())
        print(f"{steps} operations in {passed:.0f} s: {dict(sorted(done.items()))}")
        return not self.failures

    def run_group(self, group: list[Worker], ready: threading.Barrier) -> None:
        """The life of one OS thread with a hub."""
        try:
            hub = get_hub()
            hub.debug_exceptions = False
            self.hubs.append(hub)
            # Nobody's hub is used before everybody's is there.
            ready.wait(LONG)
            for worker in group:
                worker.thread = eventlet.spawn(worker.run)
            for worker in group:
                while not worker.thread.dead:
                    try:
                        worker.thread.wait()
                    except Killed:
                        # Between two operations, or before the first: it goes on.
                        worker.thread = eventlet.spawn(worker.run)
            # For messages that others may still send, a moment or two.
            for _ in range(5):
                eventlet.sleep(0.001)
        except BaseException:
            self.fail(f"an OS thread has ended:\n{traceback.format_exc()}")

    def watch(self, start: float) -> None:
        """Wait until the time is over; end the program if nobody gets anywhere."""
        seen, since, told = -1, time.monotonic(), start
        while not self.over and time.monotonic() - start < self.seconds:
            time.sleep(HOUSEKEEPING)
            now = time.monotonic()
            steps = sum(worker.steps for worker in self.workers)
            if steps != seen:
                seen, since = steps, now
            elif now - since > STUCK:
                self.stuck("nobody has got anywhere")
            if now - told >= PROGRESS:
                told = now
                print(f"{now - start:6.0f} s  {steps} operations", flush=True)

    def stuck(self, why: str) -> None:
        """Say where everybody is, and end the program."""
        print(f"STUCK: {why} for {STUCK:.0f} s (seed {self.seed})", flush=True)
        for worker in self.workers:
            print(f"  {worker.name}: {worker.doing}")
        sys.stdout.flush()
        debug.dump_greenthreads()
        sys.stderr.flush()
        os._exit(3)

    def drain(self, threads: list[threading.Thread]) -> None:
        """Help everybody who waits to an end: the others that would have have gone home."""
        mine = Worker(self, "drain", f"{self.seed}.drain", False)
        deadline = time.monotonic() + STUCK
        self.drained = mine
        while any(thread.is_alive() for thread in threads):
            self.empty_queues(mine)
            for queue in self.shared.queues:
                for _ in range(queue.getting()):
                    mine.items += 1
                    item = (mine.name, mine.items)
                    with contextlib.suppress(Full):
                        queue.put_nowait(item)
                        mine.put.append(item)
            for event in self.shared.events:
                with contextlib.suppress(AssertionError):
                    event.send("sent")
            if time.monotonic() > deadline:
                self.stuck("the end has not come")
            time.sleep(HOUSEKEEPING)
        self.empty_queues(mine)

    def empty_queues(self, worker: Worker) -> None:
        for queue in self.shared.queues:
            with contextlib.suppress(Empty):
                while True:
                    worker.taken.append(queue.get_nowait())
                    if isinstance(queue, Queue):
                        queue.task_done()
        with contextlib.suppress(Empty):
            while True:
                worker.taken.append(self.shared.simple.get_nowait())

    def balance(self) -> None:
        """Check the books."""
        shared = self.shared
        for number, lock in enumerate(shared.locks):
            if not lock.acquire(False) or getattr(lock, "_waiters", ()):
                self.fail(f"lock {number} is {lock!r} at the end")
        brought = sum(worker.stored - worker.fetched for worker in self.workers)
        if brought != sum(units[0] for _, units in shared.stores):
            self.fail(f"{brought} units should be left, not {[u for _, u in shared.stores]}")
        for condition, _ in shared.stores:
            if not condition.acquire(False) or condition._waiters:
                self.fail(f"a condition is {condition!r} at the end")
        for semaphore, first in zip(shared.places, shared.places_at_first, strict=True):
            if semaphore.counter != first or semaphore._waiters:
                self.fail(f"a semaphore that began with {first} is {semaphore!r} at the end")
        everybody = [*self.workers, self.drained]
        put = Counter(item for worker in everybody for item in worker.put)
        taken = Counter(item for worker in everybody for item in worker.taken)
        if twice := [item for item, count in taken.items() if count > 1]:
            self.fail(f"{len(twice)} items were taken twice, such as {twice[:3]}")
        if lost := put - taken:
            self.fail(f"{len(lost)} items were put and never taken, such as {[*lost][:3]}")
        offered = Counter(item for worker in everybody for item in worker.offered)
        if strange := taken - put - offered:
            self.fail(f"{len(strange)} items were taken and never put, such as {[*strange][:3]}")
        for number, queue in enumerate(shared.queues):
            if queue.qsize() or queue.getters or queue.putters:
                self.fail(f"queue {number} is {queue!r} at the end")
            if isinstance(queue, Queue) and queue.unfinished_tasks:
                self.fail(f"queue {number} has {queue.unfinished_tasks} unfinished tasks")
        self.pool.killall()
        tpool.killall()
        if self.pool.busy() or tpool._pool.busy():
            self.fail("a pool of OS threads has unfinished calls")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    time_limit = parser.add_mutually_exclusive_group()
    time_limit.add_argument("--minutes", type=float)
    time_limit.add_argument("--seconds", type=float)
    add("--seed", type=int, help="of an earlier run (default: another each time)")
    add("--threads", type=int, default=4, help="OS threads with a hub (default: 4)")
    add("--workers", type=int, default=8, help="green threads in each (default: 8)")
    add("--plain", type=int, default=3, help="OS threads without a hub (default: 3)")
    add("--no-forks", dest="forks", action="store_false", help="do not fork")
    options = parser.parse_args()
    if options.minutes is not None:
        options.seconds = 60 * options.minutes
    elif options.seconds is None:
        options.seconds = 60.0
    seed = int.from_bytes(os.urandom(4), "big") if options.seed is None else options.seed
    faulthandler.enable()
    # "This process is multi-threaded": that is what is being tested.
    warnings.simplefilter("ignore", DeprecationWarning)
    print(f"stress: {options.seconds:g} s, seed {seed}", flush=True)
    _existing_locks.patch(True)
    gc.collect()
    passed = Stress(options, seed).run()
    print(f"stress: {'passed' if passed else 'FAILED'} (seed {seed})", flush=True)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
