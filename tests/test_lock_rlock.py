"""Locks that their owner takes again, and forks while locks are held."""

import contextlib
import os
import threading
import traceback

import pytest
from greenlet import GreenletExit

import eventlet
from eventlet.lock import Condition, RLock


def test_the_owner_takes_it_again():
    lock = RLock()
    assert not lock._is_owned()
    assert lock._recursion_count() == 0
    with lock as entered:
        assert entered is True
        assert lock.acquire() is True
        assert lock.acquire(False) is True
        assert lock._is_owned()
        assert lock._recursion_count() == 3
        other = eventlet.spawn(lambda: (lock._is_owned(), lock._recursion_count()))
        assert other.wait() == (False, 0)
        assert eventlet.spawn(lock.acquire, False).wait() is False
        lock.release()
        lock.release()
        assert lock.locked()
    assert not lock.locked()


def test_only_the_owner_releases_it():
    lock = RLock()
    with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
        lock.release()
    with lock:
        thread = eventlet.spawn(lock.release)
        with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
            thread.wait()
        assert lock.locked()
    assert eventlet.spawn(lock.acquire).wait() is True
    with pytest.raises(RuntimeError):
        lock.release()


def test_a_later_green_thread_is_not_taken_for_one_that_died_with_the_lock():
    lock = RLock()
    eventlet.spawn(lock.acquire).wait()
    for _ in range(20):
        # Some have the address of the first.
        assert eventlet.spawn(lock.acquire, False).wait() is False


def test_release_save_and_acquire_restore():
    lock = RLock()
    with pytest.raises(RuntimeError):
        lock._release_save()
    with lock, lock:
        saved = lock._release_save()
        assert not lock.locked()
        lock._acquire_restore(saved)
        assert lock._recursion_count() == 2


def test_what_is_thrown_into_acquire_restore_waits_for_the_lock():
    lock = RLock()
    seen = []

    def restore():
        saved = (1, 0)
        try:
            lock._acquire_restore(saved)
        except GreenletExit:
            seen.append(lock._is_owned())
            lock.release()

    with lock:
        thread = eventlet.spawn(restore)
        eventlet.sleep(0)
        thread.kill()
        eventlet.sleep(0)
        assert seen == []
    thread.wait()
    assert seen == [True]
    assert not lock.locked()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("kind", [RLock, Condition])
def test_a_fork_leaves_a_lock_with_a_green_thread_that_lives_on(kind):
    lock = kind()
    entered, leave = eventlet.Event(), eventlet.Event()

    def hold():
        with lock:
            entered.send()
            leave.wait()

    holder = eventlet.spawn(hold)
    entered.wait()
    pid = os.fork()
    if pid == 0:
        with exiting(), eventlet.Timeout(10):
            lock._at_fork_reinit()
            assert lock.acquire(False) is False
            leave.send()
            assert lock.acquire() is True
            holder.wait()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    leave.send()
    holder.wait()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_frees_a_lock_that_another_os_thread_holds():
    lock = RLock()
    held, done = threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            done.wait()

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    waiter = eventlet.spawn(lock.acquire)
    eventlet.sleep(0)
    pid = os.fork()
    if pid == 0:
        with exiting(), eventlet.Timeout(10):
            lock._at_fork_reinit()
            assert waiter.wait() is True
            assert lock.acquire(False) is False
    done.set()
    other.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert waiter.wait() is True


@contextlib.contextmanager
def exiting():
    """End this process, a forked child, after the block; successfully if that was so."""
    try:
        yield
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
