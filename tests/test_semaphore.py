"""Semaphores: who gets a unit, and that none is lost."""

import gc
import os
import random
import signal
import threading
import weakref

import pytest

import eventlet
from eventlet import hubs
from eventlet.semaphore import BoundedSemaphore, CappedSemaphore, Semaphore


class Stop(Exception):
    pass


def waiters(semaphore, count):
    """Start green threads that acquire `semaphore`, and let them get in line."""
    got = []

    def wait(name):
        semaphore.acquire()
        got.append(name)

    threads = [eventlet.spawn(wait, name) for name in range(count)]
    eventlet.sleep(0)
    return threads, got


def in_thread(function):
    """Run `function` in an OS thread and wait for it without blocking the hub."""
    outcome = []

    def run():
        try:
            outcome.append((True, function()))
        except BaseException as error:
            outcome.append((False, error))

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def until(condition, seconds=10.0):
    """Give way to others until `condition()` holds."""
    with eventlet.Timeout(seconds):
        while not condition():
            eventlet.sleep(0)


def test_units_are_counted():
    semaphore = Semaphore(2)
    assert semaphore.acquire() is True
    assert semaphore.counter == 1
    assert not semaphore.locked()
    assert semaphore.acquire() is True
    assert semaphore.locked()
    assert semaphore.balance == 0
    assert semaphore.acquire(blocking=False) is False
    assert semaphore.acquire(0) is False
    assert semaphore.release() is True
    assert semaphore.acquire(blocking=False) is True
    assert semaphore.bounded() is False


def test_default_value_is_one():
    assert Semaphore().counter == 1
    assert BoundedSemaphore().counter == 1


@pytest.mark.parametrize("cls", [Semaphore, BoundedSemaphore])
def test_value_is_checked(cls):
    assert cls(1e2).counter == 100
    assert cls("3").counter == 3
    assert cls(value=4).counter == 4
    with pytest.raises(TypeError):
        cls("many")
    with pytest.raises(TypeError):
        cls([])
    with pytest.raises(ValueError):
        cls(-1)


def test_timeout_is_checked():
    semaphore = Semaphore(1)
    with pytest.raises(ValueError):
        semaphore.acquire(timeout=-2)
    with pytest.raises(ValueError):
        semaphore.acquire(blocking=False, timeout=1)
    assert semaphore.counter == 1
    assert semaphore.acquire(blocking=False, timeout=-1) is True


def test_timeout_expires():
    semaphore = Semaphore(0)
    clock = hubs.get_hub().clock
    began = clock()
    assert semaphore.acquire(timeout=0.02) is False
    assert clock() - began >= 0.02
    assert semaphore.balance == 0
    assert semaphore.acquire(timeout=0) is False
    assert semaphore.counter == 0


def test_first_come_first_served():
    semaphore = Semaphore(0)
    threads, got = waiters(semaphore, 8)
    assert semaphore.balance == -8
    assert semaphore._waiters == tuple(threads)
    for _ in threads:
        semaphore.release()
    assert got == []
    for thread in threads:
        thread.wait()
    assert got == list(range(8))
    assert semaphore.counter == 0


def test_a_released_unit_cannot_be_snatched():
    semaphore = Semaphore(1)
    semaphore.acquire()
    threads, got = waiters(semaphore, 1)
    semaphore.release()
    assert semaphore.acquire(blocking=False) is False
    threads[0].wait()
    assert got == [0]


def test_release_does_not_switch():
    semaphore = Semaphore(0)
    threads, got = waiters(semaphore, 1)
    semaphore.release()
    assert got == []
    threads[0].wait()


def test_killed_while_waiting():
    semaphore = Semaphore(0)
    threads, got = waiters(semaphore, 3)
    threads[1].kill()
    assert semaphore.balance == -2
    semaphore.release()
    semaphore.release()
    threads[0].wait()
    threads[2].wait()
    assert got == [0, 2]
    assert semaphore.balance == 0


def test_killed_after_a_unit_was_handed_over():
    semaphore = Semaphore(0)
    threads, got = waiters(semaphore, 2)
    semaphore.release()
    threads[0].kill()
    threads[1].wait()
    assert got == [1]
    assert semaphore.balance == 0


def test_last_waiter_killed_after_a_unit_was_handed_over():
    semaphore = Semaphore(0)
    threads, got = waiters(semaphore, 1)
    semaphore.release()
    threads[0].kill()
    assert got == []
    assert semaphore.counter == 1


def test_exception_after_a_unit_was_handed_over():
    semaphore = Semaphore(0)

    def wait():
        with pytest.raises(Stop):
            semaphore.acquire()

    thread = eventlet.spawn(wait)
    eventlet.sleep(0)
    hubs.get_hub().schedule_call_global(0, thread.throw, Stop())
    semaphore.release()
    thread.wait()
    assert semaphore.counter == 1


def test_timeout_and_release_in_the_same_round():
    semaphore = Semaphore(0)
    results = []
    hub = hubs.get_hub()
    thread = eventlet.spawn(lambda: results.append(semaphore.acquire(timeout=0.001)))
    eventlet.sleep(0)
    # The hub is kept busy until the time is up: then both happen in one round.
    end = hub.clock() + 0.005
    while hub.clock() < end:
        pass
    semaphore.release()
    thread.wait()
    assert results == [True] or semaphore.counter == 1
    assert results[0] + semaphore.counter == 1


def test_resumed_by_a_stranger_keeps_its_place():
    semaphore = Semaphore(0)
    threads, got = waiters(semaphore, 2)
    hubs.get_hub().schedule_call_global(0, threads[0].switch)
    eventlet.sleep(0)
    eventlet.sleep(0)
    assert got == []
    assert semaphore._waiters == tuple(threads)
    semaphore.release()
    threads[0].wait()
    assert got == [0]
    semaphore.release()
    threads[1].wait()


def test_counter_can_be_set():
    semaphore = Semaphore(0)
    threads, got = waiters(semaphore, 3)
    semaphore.counter += 2
    assert semaphore.counter == 0
    assert semaphore.balance == -1
    eventlet.sleep(0)
    assert got == [0, 1]
    semaphore.counter -= 2
    semaphore.release()
    semaphore.release()
    eventlet.sleep(0)
    assert got == [0, 1]
    semaphore.release()
    threads[2].wait()
    assert semaphore.counter == 0


def test_context_manager():
    semaphore = Semaphore(1)
    with semaphore as value:
        assert value is None
        assert semaphore.locked()
    assert semaphore.counter == 1
    with pytest.raises(Stop), semaphore:
        raise Stop
    assert semaphore.counter == 1


def test_subclass():
    calls = []

    class Logged(Semaphore):
        def __init__(self, name, *, size):
            super().__init__(size)
            self.name = name

        def acquire(self, *args, **kw):
            calls.append("acquire")
            return super().acquire(*args, **kw)

        def release(self, blocking=True):
            calls.append("release")
            return super().release(blocking)

    semaphore = Logged("x", size=2)
    assert (semaphore.counter, semaphore.name) == (2, "x")
    with semaphore:
        assert semaphore.counter == 1
    assert calls == ["acquire", "release"]
    assert weakref.ref(semaphore)() is semaphore


def test_text():
    semaphore = Semaphore(3)
    assert str(semaphore) == "<Semaphore c=3 _w[0]>"
    assert repr(semaphore) == f"<Semaphore at {id(semaphore):#x} c=3 _w[0]>"


def test_bounded_semaphore():
    semaphore = BoundedSemaphore(2)
    assert isinstance(semaphore, Semaphore)
    assert semaphore.original_counter == 2
    with pytest.raises(ValueError):
        semaphore.release()
    assert semaphore.counter == 2
    semaphore.acquire()
    semaphore.release()
    with pytest.raises(ValueError):
        semaphore.release()


def test_capped_semaphore():
    semaphore = CappedSemaphore(1, limit=2)
    assert semaphore.balance == 0
    assert semaphore.release() is True
    assert semaphore.bounded()
    assert semaphore.release(blocking=False) is False
    thread = eventlet.spawn(semaphore.release)
    eventlet.sleep(0)
    assert not thread.dead
    assert semaphore.acquire() is True
    assert thread.wait() is True
    assert semaphore.bounded()
    with semaphore:
        assert not semaphore.locked()
    assert semaphore.acquire(blocking=False) is True
    assert semaphore.acquire(blocking=False) is True
    assert semaphore.acquire(blocking=False) is False
    assert semaphore.locked()
    for count, limit in ((-1, 2), (3, 2)):
        with pytest.raises(ValueError):
            CappedSemaphore(count, limit)


def test_capped_semaphore_undoes_what_was_interrupted():
    semaphore = CappedSemaphore(0, limit=1)
    before = (semaphore.lower_bound.counter, semaphore.upper_bound.counter)
    thread = eventlet.spawn(semaphore.acquire)
    eventlet.sleep(0)
    thread.kill()
    assert (semaphore.lower_bound.counter, semaphore.upper_bound.counter) == before
    assert semaphore.acquire(timeout=0.001) is False
    assert (semaphore.lower_bound.counter, semaphore.upper_bound.counter) == before
    with pytest.raises(ValueError):
        semaphore.acquire(blocking=False, timeout=1)
    assert (semaphore.lower_bound.counter, semaphore.upper_bound.counter) == before
    semaphore.release()
    before = (semaphore.lower_bound.counter, semaphore.upper_bound.counter)
    thread = eventlet.spawn(semaphore.release)
    eventlet.sleep(0)
    thread.kill()
    assert (semaphore.lower_bound.counter, semaphore.upper_bound.counter) == before


def test_in_the_hub():
    semaphore = Semaphore(1)
    results = []

    def use():
        results.append(semaphore.acquire())
        results.append(semaphore.acquire(blocking=False))
        try:
            semaphore.acquire()
        except RuntimeError as error:
            results.append(str(error))
        semaphore.release()

    hubs.get_hub().schedule_call_global(0, use)
    eventlet.sleep(0)
    assert results == [True, False, "do not call blocking functions from the mainloop"]
    assert semaphore.counter == 1


def test_release_in_a_destructor():
    semaphore = Semaphore(0)

    class Holder:
        def __del__(self):
            semaphore.release()

    threads, got = waiters(semaphore, 2)
    holder = Holder()
    holder.itself = holder
    del holder
    gc.collect()
    threads[0].wait()
    holder = Holder()
    del holder
    threads[1].wait()
    assert got == [0, 1]


def test_release_in_a_signal_handler():
    semaphore = Semaphore(0)
    old = signal.signal(signal.SIGUSR1, lambda *_: semaphore.release())
    try:
        thread = eventlet.spawn(semaphore.acquire, timeout=10)
        eventlet.sleep(0)
        # The hub sleeps in its poll when the signal arrives.
        killer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1))
        killer.start()
        assert thread.wait() is True
        killer.join()
    finally:
        signal.signal(signal.SIGUSR1, old)


def test_release_from_another_os_thread():
    semaphore = Semaphore(0)
    threads, got = waiters(semaphore, 3)
    other, outcome = in_thread(lambda: [semaphore.release() for _ in range(3)])
    with eventlet.Timeout(10):
        for thread in threads:
            thread.wait()
    other.join()
    assert outcome == [(True, [True] * 3)]
    assert got == [0, 1, 2]


def test_two_os_threads_take_turns():
    semaphore = Semaphore(1)
    holders = []
    most = 0
    total = 0

    def work(name):
        nonlocal most, total
        for _ in range(50):
            with semaphore:
                holders.append(name)
                most = max(most, len(holders))
                eventlet.sleep(0)
                total += 1
                holders.remove(name)

    def run(first):
        threads = [eventlet.spawn(work, first + index) for index in range(4)]
        for thread in threads:
            thread.wait()

    other, outcome = in_thread(lambda: run(100))
    with eventlet.Timeout(30):
        run(0)
        until(lambda: not other.is_alive())
    assert outcome == [(True, None)]
    assert (most, total) == (1, 400)
    assert (semaphore.counter, semaphore.balance) == (1, 1)


def test_kill_in_another_os_thread_passes_the_unit_on():
    semaphore = Semaphore(0)
    parked = threading.Event()

    def run():
        thread = eventlet.spawn(semaphore.acquire)
        eventlet.sleep(0)
        semaphore_seen = semaphore.balance
        # The unit is handed over while this thread does not look at its inbox, and then it is
        # killed.
        parked.set()
        released.wait(10)
        thread.kill()
        return semaphore_seen

    released = threading.Event()
    other, outcome = in_thread(run)
    assert parked.wait(10)
    semaphore.release()
    assert semaphore.counter == 0
    released.set()
    other.join(10)
    assert outcome == [(True, -1)]
    assert semaphore.counter == 1


@pytest.mark.parametrize("seed", range(6))
def test_units_are_neither_lost_nor_made(seed):
    rng = random.Random(seed)
    size = rng.randint(1, 3)
    semaphore = Semaphore(size)
    held = 0

    def work():
        nonlocal held
        while True:
            choice = rng.random()
            if choice < 0.3:
                ok = semaphore.acquire(timeout=rng.choice((0, 0.0001, 0.001)))
            elif choice < 0.4:
                ok = semaphore.acquire(blocking=False)
            else:
                ok = semaphore.acquire()
            if not ok:
                eventlet.sleep(0)
                continue
            held += 1
            assert held <= size
            try:
                for _ in range(rng.randrange(3)):
                    eventlet.sleep(0)
            finally:
                held -= 1
                semaphore.release()

    threads = [eventlet.spawn(work) for _ in range(10)]
    with eventlet.Timeout(30):
        for _ in range(600):
            eventlet.sleep(0)
            victim = rng.randrange(len(threads))
            if rng.random() < 0.3:
                threads[victim].kill()
                threads[victim] = eventlet.spawn(work)
            assert 0 <= semaphore.counter <= size
        for thread in threads:
            thread.kill()
    assert held == 0
    assert (semaphore.counter, semaphore.balance) == (size, size)
