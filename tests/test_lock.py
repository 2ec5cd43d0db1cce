"""Locks: what `threading.Lock` does, for green threads."""

import os
import threading

import pytest

import eventlet
from eventlet.lock import Lock
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
