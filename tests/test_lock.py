"""Locks: what those of `threading` do, for green threads."""

import gc
import math
import os
import signal
import threading
import time
import weakref

import pytest

import eventlet
from eventlet.corolocal import get_ident
from eventlet.lock import Condition, Lock, RLock
from eventlet.semaphore import Semaphore


def test_lock_and_unlock():
    lock = Lock()
    assert isinstance(lock, Semaphore)
    assert not lock.locked()
    assert lock.acquire() is True
    assert lock.locked()
    assert lock.acquire(False) is False
    lock.release()
    assert not lock.locked()


def test_unlocking_an_unlocked_lock():
    lock = Lock()
    with pytest.raises(RuntimeError, match="release unlocked lock"):
        lock.release()
    assert lock.counter == 1
    with pytest.raises(RuntimeError):
        with lock:
            lock.release()
    assert lock.acquire(False) is True


def test_released_by_another_green_thread():
    lock = Lock()
    lock.acquire()
    eventlet.spawn(lock.release)
    assert lock.acquire(timeout=10) is True


def test_a_waiter_owns_it_from_the_release_on():
    lock = Lock()
    lock.acquire()
    thread = eventlet.spawn(lock.acquire)
    eventlet.sleep(0)
    lock.release()
    assert lock.locked()
    thread.wait()
    lock.release()
    with pytest.raises(RuntimeError):
        lock.release()


def test_subclass_release_is_used():
    class Own(Lock):
        released = 0

        def release(self, blocking=True):
            self.released += 1
            return super().release(blocking)

    lock = Own()
    with lock:
        assert lock.locked()
    assert lock.released == 1


def test_reinit_unlocks_and_lets_waiters_of_this_thread_go_on():
    lock = Lock()
    lock.acquire()
    got = []
    threads = [eventlet.spawn(lambda n=n: got.append((n, lock.acquire()))) for n in range(2)]
    eventlet.sleep(0)
    lock._at_fork_reinit()
    threads[0].wait()
    assert got == [(0, True)]
    lock.release()
    threads[1].wait()
    lock.release()
    assert lock.counter == 1


def test_reinit_forgets_waiters_of_other_os_threads():
    lock = Lock()
    lock.acquire()
    done = []
    other = threading.Thread(target=lambda: done.append(lock.acquire(timeout=0.05)))
    other.start()
    with eventlet.Timeout(10):
        while not lock._waiters:
            eventlet.sleep(0)
    lock._at_fork_reinit()
    assert lock.counter == 1
    assert lock._waiters == ()
    other.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_reinit_in_a_forked_child():
    lock = Lock()
    lock.acquire()
    pid = os.fork()
    if pid == 0:
        lock._at_fork_reinit()
        os._exit(0 if lock.acquire(False) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert lock.locked()


def test_two_os_threads_exclude_each_other():
    lock = Lock()
    inside = 0
    total = 0

    def work():
        nonlocal inside, total
        for _ in range(100):
            with lock:
                inside += 1
                assert inside == 1
                eventlet.sleep(0)
                inside -= 1
                total += 1

    def run():
        for thread in [eventlet.spawn(work) for _ in range(2)]:
            thread.wait()

    other = threading.Thread(target=run)
    other.start()
    with eventlet.Timeout(30):
        run()
        while other.is_alive():
            eventlet.sleep(0)
    assert total == 400
    assert not lock.locked()


def test_the_arguments_of_acquire_are_checked():
    for lock in (Lock(), RLock()):
        with pytest.raises(ValueError, match="non-blocking"):
            lock.acquire(False, 1)
        with pytest.raises(ValueError, match="positive"):
            lock.acquire(timeout=-2)
        with pytest.raises(ValueError, match="NaN"):
            lock.acquire(timeout=math.nan)
        with pytest.raises(OverflowError):
            lock.acquire(timeout=threading.TIMEOUT_MAX * 2)
        assert not lock.locked()
        assert lock.acquire(True, threading.TIMEOUT_MAX)
        assert lock.locked()


def test_a_lock_has_all_that_those_of_the_standard_library_have():
    for ours, theirs in (
        (Lock, type(threading.Lock())),
        (RLock, type(threading.RLock())),
        (Condition, threading.Condition),
    ):
        missing = {name for name in dir(theirs) if not hasattr(ours, name)}
        # What `threading.Condition` has as a class in Python.
        assert missing <= {"__firstlineno__", "__static_attributes__", "__weakref__"}


def test_the_old_names():
    lock = Lock()
    assert lock.acquire_lock(timeout=1) is True
    assert lock.acquire_lock(False) is False
    assert lock.locked_lock()
    lock.release_lock()
    assert not lock.locked_lock()
    with lock as entered:
        assert entered is True


def test_representations():
    lock = Lock()
    assert repr(lock) == f"<unlocked eventlet.lock.Lock object at {id(lock):#x} _w[0]>"
    with lock:
        assert repr(lock).startswith("<locked eventlet.lock.Lock object")
    again = RLock()
    with again, again:
        assert repr(again) == (
            f"<locked eventlet.lock.RLock object owner={get_ident()} count=2 at {id(again):#x}>"
        )
    assert repr(Condition(again)) == f"<Condition({again!r}, 0)>"


@pytest.mark.parametrize("kind", [Lock, RLock, Condition])
def test_weak_references_and_subclasses(kind):
    class Own(kind):
        def __init__(self, note):
            super().__init__()
            self.note = note

    lock = Own("mine")
    assert lock.note == "mine"
    with lock:
        pass
    weak = weakref.ref(lock)
    del lock
    gc.collect()
    assert weak() is None


@pytest.fixture(params=[Lock, RLock, Condition])
def lock(request):
    return request.param()


def test_first_come_first_served(lock):
    order = []

    def work(number):
        with lock:
            order.append(number)
            eventlet.sleep(0)

    with lock:
        threads = [eventlet.spawn(work, number) for number in range(5)]
        eventlet.sleep(0)
        late = eventlet.spawn(work, 5)
    # Free for nobody but those who wait.
    assert lock.acquire(False) is False
    for thread in [*threads, late]:
        thread.wait()
    assert order == [0, 1, 2, 3, 4, 5]
    assert lock.acquire(False) is True


def test_a_waiter_that_is_killed_leaves_the_line(lock):
    with lock:
        killed = eventlet.spawn(lock.acquire)
        other = eventlet.spawn(lock.acquire)
        eventlet.sleep(0)
        killed.kill()
    assert other.wait() is True


def test_a_waiter_that_is_killed_when_it_has_the_lock_hands_it_on(lock):
    with lock:
        killed = eventlet.spawn(lock.acquire)
        other = eventlet.spawn(lock.acquire)
        eventlet.sleep(0)
    # It is ready to run and has not.
    killed.kill()
    assert other.wait() is True


def test_a_timeout_of_a_waiter(lock):
    def wait():
        with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.001):
            lock.acquire()
        return lock.acquire(timeout=0.001)

    with lock:
        assert eventlet.spawn(wait).wait() is False
    assert lock.acquire(False) is True


def test_the_hub_goes_on_while_it_waits(lock, hub):
    order = []

    def callback():
        order.append((lock.acquire(False), lock.acquire(timeout=0.001), "callback"))
        with lock:
            order.append("callback has it")

    def hold():
        with lock:
            hub.schedule_call_global(0, callback)
            spawned.append(eventlet.spawn(order.append, "spawned"))
            for _ in range(3):
                eventlet.sleep(0.001)
            order.append("holder")

    def contend():
        with lock:
            order.append("contender")

    spawned = []
    holder = eventlet.spawn(hold)
    contender = eventlet.spawn(contend)
    holder.wait()
    contender.wait()
    # It comes first, as all others wait for it.
    assert order == [
        "spawned",
        (False, False, "callback"),
        "holder",
        "callback has it",
        "contender",
    ]
    assert lock.acquire(False)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_the_hub_is_interrupted_while_it_waits(lock, hub, error):
    def callback():
        with lock:
            raise AssertionError

    def fail():
        raise error

    with lock:
        hub.schedule_call_global(0, callback)
        hub.schedule_call_global(0.001, fail)
        with pytest.raises(error):
            eventlet.sleep(60)
    assert lock.acquire(False)


def test_os_threads_with_and_without_a_hub_exclude_each_other(lock):
    inside = total = 0

    def work(pause):
        nonlocal inside, total
        for _ in range(50):
            with lock:
                inside += 1
                assert inside == 1
                pause(0)
                inside -= 1
                total += 1

    def green():
        for thread in [eventlet.spawn(work, eventlet.sleep) for _ in range(3)]:
            thread.wait()

    others = [threading.Thread(target=green), threading.Thread(target=work, args=(time.sleep,))]
    for other in others:
        other.start()
    with eventlet.Timeout(30):
        green()
        while any(other.is_alive() for other in others):
            eventlet.sleep(0)
    assert total == 350
    assert lock.acquire(False) is True


@pytest.mark.usefixtures("frozen")
def test_a_finalizer_and_a_signal_handler_use_the_lock_of_the_code_they_interrupt():
    lock = RLock()
    calls = []

    class Finalized:
        def __init__(self):
            self.cycle = self

        def __del__(self):
            with lock:
                calls.append("finalizer")

    def handler(*_args):
        with lock:
            calls.append("handler")

    old = signal.signal(signal.SIGUSR1, handler)
    try:
        for _ in range(10):
            with lock:
                Finalized()
                gc.collect()
                signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert calls == ["finalizer", "handler"] * 10
    assert not lock._is_owned()


def test_a_signal_handler_releases_what_is_waited_for():
    lock = Lock()
    lock.acquire()
    old = signal.signal(signal.SIGUSR1, lambda *_args: lock.release())
    try:
        thread = eventlet.spawn(lock.acquire)
        eventlet.sleep(0)
        signal.raise_signal(signal.SIGUSR1)
        assert thread.wait() is True
    finally:
        signal.signal(signal.SIGUSR1, old)
