"""What green threads do leaves nothing behind, even if the garbage collector never runs.

Each piece of work is repeated some hundred times to warm up and then again in rounds: the number of
objects that the collector knows must not grow, not even by what it would find, and neither must the
number of all memory blocks, nor the memory of the process.
"""

from __future__ import annotations

import gc
import sys
import threading
from itertools import pairwise

import pytest

import eventlet
from eventlet import event, queue, semaphore, tpool
from eventlet.hubs import get_hub

LONG = 60
WARM_UP = 300
ROUND = 300
ROUNDS = 5
# What one round may add by chance: a table that grows, an entry in a free list.
TOLERANCE = 20
# Bytes by which a run of this many repetitions may change what the process has from the system.
MANY = 20_000
MEMORY = 1 << 20


@pytest.fixture(autouse=True)
def limit(frozen):
    """Ends what hangs in a green thread."""
    with eventlet.Timeout(LONG):
        yield
        tpool.killall()


def counts():
    """The number of objects that the collector knows, and of all blocks of memory."""
    return len(gc.get_objects()), sys.getallocatedblocks()


def check(work, repetitions=ROUND):
    """Fail if `work` leaves something behind."""
    for _ in range(WARM_UP):
        work()
    gc.collect()
    gc.disable()
    try:
        rounds = []
        for _ in range(ROUNDS):
            for _ in range(repetitions):
                work()
            # What has ended in the hub's greenlet is gone after its next turn.
            eventlet.sleep(0)
            rounds.append(counts())
    finally:
        gc.enable()
    objects, blocks = zip(*rounds, strict=True)
    # A leak shows in every round; one lucky round is enough to say that there is none.
    grown = min(later - sooner for sooner, later in pairwise(objects))
    assert grown <= TOLERANCE, f"objects after each round: {objects}"
    grown = min(later - sooner for sooner, later in pairwise(blocks))
    assert grown <= TOLERANCE, f"blocks after each round: {blocks}"


def fail():
    raise ValueError("as it should")


def spawn_and_wait():
    assert eventlet.spawn(int, "7").wait() == 7


def spawn_and_raise():
    try:
        eventlet.spawn(fail).wait()
    except ValueError:
        pass


def spawn_and_kill():
    thread = eventlet.spawn(eventlet.sleep, 1000)
    eventlet.sleep(0)
    thread.kill()


def spawn_and_kill_before_start():
    eventlet.spawn(eventlet.sleep, 1000).kill()


def killed_thread(error):
    thread = eventlet.spawn(eventlet.sleep, 1000)
    eventlet.sleep(0)
    thread.kill(error)
    return thread


def spawn_and_kill_with():
    # Not in a variable: the exception leads to this frame, and that would lead to the exception.
    try:
        killed_thread(ValueError("as it should")).wait()
    except ValueError:
        pass


def spawn_kill_and_wait():
    try:
        killed_thread(eventlet.greenlet.GreenletExit()).wait()
    except eventlet.greenlet.GreenletExit:
        pass


def spawn_n_and_forget():
    eventlet.spawn_n(int)
    eventlet.sleep(0)


def spawn_after_and_cancel():
    eventlet.spawn_after(1000, int).cancel()


def spawn_and_link():
    done = []
    thread = eventlet.spawn(int)
    thread.link(lambda thread: done.append(thread.wait()))
    thread.wait()
    assert done == [0]


def timeout_that_passes():
    try:
        with eventlet.Timeout(0.00001):
            eventlet.sleep(1000)
    except eventlet.Timeout:
        pass


def timeout_that_is_cancelled():
    with eventlet.Timeout(1000):
        eventlet.sleep(0)


def timer_that_is_cancelled():
    get_hub().schedule_call_global(1000, int).cancel()


def timer_that_fires():
    done = event.Event()
    get_hub().schedule_call_global(0, done.send, 1)
    assert done.wait() == 1


def event_that_is_sent():
    done = event.Event()
    threads = [eventlet.spawn(done.wait) for _ in range(3)]
    eventlet.sleep(0)
    done.send("x")
    assert [thread.wait() for thread in threads] == ["x"] * 3


def failed_event():
    done = event.Event()
    done.send(exc=ValueError("as it should"))
    return done


def event_with_an_exception():
    try:
        failed_event().wait()
    except ValueError:
        pass


def event_that_times_out():
    assert event.Event().wait(0.00001) is None


def queue_hand_off(size):
    items = queue.Queue(size)
    thread = eventlet.spawn(lambda: [items.get() for _ in range(3)])
    for number in range(3):
        items.put(number)
    assert thread.wait() == [0, 1, 2]


def queue_rendezvous():
    queue_hand_off(0)


def queue_with_a_limit():
    queue_hand_off(1)


def queue_without_limit():
    queue_hand_off(None)


def queue_that_stays_empty():
    try:
        queue.Queue().get(timeout=0.00001)
    except queue.Empty:
        pass


def semaphore_contended():
    places = semaphore.Semaphore(1)

    def take():
        with places:
            eventlet.sleep(0)

    for thread in [eventlet.spawn(take) for _ in range(3)]:
        thread.wait()


def pool_of_green_threads():
    pool = eventlet.GreenPool(2)
    assert list(pool.imap(int, "123")) == [1, 2, 3]
    pool.waitall()


def execute():
    assert tpool.execute(int, "7") == 7


def execute_and_raise():
    try:
        tpool.execute(fail)
    except ValueError:
        pass


def execute_and_time_out():
    gate = threading.Event()
    try:
        with eventlet.Timeout(0.00001):
            tpool.execute(gate.wait, LONG)
    except eventlet.Timeout:
        pass
    gate.set()
    while tpool._pool.busy():
        # Long enough to give the GIL away: a thread that wants it would wait for 5 ms otherwise.
        eventlet.sleep(0.0001)


def proxy_call():
    assert tpool.Proxy([1, 2, 3]).index(3) == 2


def submit():
    assert executor.submit(int, "7").result() == 7


def submit_and_raise():
    try:
        executor.submit(fail).result()
    except ValueError:
        pass


executor = tpool.Executor(1)

WORK = [
    event_that_is_sent,
    event_that_times_out,
    event_with_an_exception,
    execute,
    execute_and_raise,
    execute_and_time_out,
    pool_of_green_threads,
    proxy_call,
    queue_rendezvous,
    queue_that_stays_empty,
    queue_with_a_limit,
    queue_without_limit,
    semaphore_contended,
    spawn_after_and_cancel,
    spawn_and_kill,
    spawn_and_kill_before_start,
    spawn_and_kill_with,
    spawn_and_link,
    spawn_and_raise,
    spawn_and_wait,
    spawn_kill_and_wait,
    spawn_n_and_forget,
    submit,
    submit_and_raise,
    timeout_that_is_cancelled,
    timeout_that_passes,
    timer_that_fires,
    timer_that_is_cancelled,
]


@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
def test_nothing_is_left(work):
    # Uncaught exceptions are printed otherwise, which is slow.
    hub = get_hub()
    was, hub.debug_exceptions = hub.debug_exceptions, False
    threads, tpool._nthreads = tpool._nthreads, 1
    try:
        check(work)
    finally:
        hub.debug_exceptions = was
        tpool._nthreads = threads


def test_the_check_finds_a_cycle():
    """The check itself: what only the garbage collector would free is a leak."""

    def work():
        cycle = []
        cycle.append(cycle)

    with pytest.raises(AssertionError, match="objects after each round"):
        check(work)


def test_memory_stays_flat():
    psutil = pytest.importorskip("psutil", reason="psutil is not installed")
    process = psutil.Process()
    work = [spawn_and_wait, spawn_and_raise, spawn_kill_and_wait, spawn_and_kill_with]
    work += [timeout_that_is_cancelled, timeout_that_passes, queue_rendezvous, queue_with_a_limit]
    work += [execute, execute_and_raise]
    hub = get_hub()
    was, hub.debug_exceptions = hub.debug_exceptions, False
    gc.collect()
    gc.disable()
    try:
        sizes = []
        for _ in range(4):
            for number in range(MANY):
                work[number % len(work)]()
            sizes.append(process.memory_info().rss)
    finally:
        gc.enable()
        hub.debug_exceptions = was
    grown = min(later - sooner for sooner, later in pairwise(sizes))
    assert grown < MEMORY, sizes
