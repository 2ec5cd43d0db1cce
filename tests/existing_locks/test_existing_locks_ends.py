"""Locks from before patching: in the hub, in signal handlers, after a fork, at the end."""

from __future__ import annotations

import os

import pytest


def test_in_the_hub(program):
    program(
        """
def in_hub(function, *args):
    outcome = eventlet.Event()
    def call():
        try:
            outcome.send(function(*args))
        except RuntimeError as error:
            outcome.send(str(error))
    hubs.get_hub().schedule_call_global(0, call)
    return outcome.wait()
for lock in both:
    assert in_hub(lock.acquire) is True
    assert in_hub(lock.release) is None
for lock in both:
    # Others run while the hub waits, and come after it.
    order = []
    def hold():
        with lock:
            threads.append(eventlet.spawn(contend))
            threads.append(eventlet.spawn(in_hub, call))
            eventlet.sleep(0.01)
            order.append("holder")
    def contend():
        with lock:
            order.append("contender")
    def call():
        with lock:
            order.append("hub")
    threads = []
    eventlet.spawn(hold).wait()
    for thread in threads:
        thread.wait()
    assert order == ["holder", "hub", "contender"], order
assert in_hub(plain.acquire, True, 0.001) is True
assert in_hub(plain.acquire, True, 0.001) is False
plain.release()
for lock in both:
    held, leave = threading.Event(), threading.Event()
    def hold():
        with lock:
            held.set()
            leave.wait()
    other = Thread(target=hold)
    other.start()
    held.wait()
    # It is released while the hub waits.
    releasing = threading.Timer(0.02, leave.set)
    releasing.start()
    assert in_hub(lock.acquire) is True
    assert in_hub(lock.release) is None
    other.join()
    releasing.join()
"""
    )


def test_signal_handlers_and_finalizers(program):
    program(
        """
calls = []
class Finalized:
    def __init__(self):
        self.cycle = self
    def __del__(self):
        with reentrant:
            calls.append("finalizer")
def handler(*_args):
    with reentrant:
        calls.append("handler")
signal.signal(signal.SIGUSR1, handler)
def green():
    with reentrant:
        Finalized()
        gc.collect()
        signal.raise_signal(signal.SIGUSR1)
green()
eventlet.spawn(green).wait()
assert calls == ["finalizer", "handler"] * 2
assert reentrant.acquire(False) is True
"""
    )


def test_locks_that_are_dropped_while_they_are_held(program):
    program(
        """
def drop(number):
    for _ in range(50):
        lock = threading.RLock()
        for _ in range(number):
            lock.acquire()
        if number == 1:
            with lock:
                pass
for number in range(3):
    eventlet.spawn(drop, number).wait()
    for _ in range(50):
        # Some have the address of one of those.
        lock = threading.RLock()
        assert lock.acquire(timeout=5) is True
        other = eventlet.spawn(lock.acquire)
        eventlet.sleep(0)
        assert not other.dead
        lock.release()
        assert other.wait() is True
        del lock
    drop(number)
"""
    )


def test_references(program):
    program(
        """
import weakref
locks = [threading.RLock() for _ in range(10)]
for lock in locks:
    works(lock, 3)
    lock.acquire()
weak = [weakref.ref(lock) for lock in locks]
del lock
assert {sys.getrefcount(lock) for lock in locks} == {sys.getrefcount(threading.RLock()) + 2}
del locks
gc.collect()
assert not any(ref() for ref in weak)
"""
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork(program):
    program(
        """
def child_of(check):
    pid = os.fork()
    if pid == 0:
        try:
            check()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return lambda: os.waitpid(pid, 0)[1]

# A green thread holds them and lives on.
entered, leave = eventlet.Event(), eventlet.Event()
def hold():
    with plain, reentrant:
        entered.send()
        leave.wait()
holder = eventlet.spawn(hold)
entered.wait()
waiters = [eventlet.spawn(works, lock, 1) for lock in both]
eventlet.sleep(0)
def check():
    reentrant._at_fork_reinit()
    assert reentrant.acquire(False) is False
    leave.send()
    for thread in [holder, *waiters]:
        thread.wait()
status = child_of(check)
assert status() == 0
leave.send()
for thread in [holder, *waiters]:
    thread.wait()

# Another OS thread holds them, and one with a hub waits as well.
held, done = threading.Event(), threading.Event()
def other_thread():
    with plain, reentrant:
        held.set()
        done.wait()
waiting = []
def waiting_thread():
    eventlet.sleep(0)
    threads = [eventlet.spawn(works, lock, 1) for lock in both]
    waiting.append(1)
    for thread in threads:
        thread.wait()
others = [Thread(target=other_thread), Thread(target=waiting_thread)]
others[0].start()
held.wait()
others[1].start()
until(lambda: waiting)
waiters = [eventlet.spawn(works, lock, 1) for lock in both]
eventlet.sleep(0.01)
def check():
    for lock in both:
        lock._at_fork_reinit()
    for thread in waiters:
        thread.wait()
    for lock in both:
        works(lock)
status = child_of(check)
assert status() == 0
done.set()
until(lambda: not any(other.is_alive() for other in others))
for thread in waiters:
    thread.wait()
"""
    )


def test_the_end_of_an_os_thread(program):
    program(
        """
leave = threading.Event()
other = Thread(target=leave.wait)
other.start()
patch(True)
joining = [eventlet.spawn(other.join) for _ in range(3)]
assert eventlet.spawn(other.join, 0.001).wait() is None
assert eventlet.spawn(other.join, 0).wait() is None
leave.set()
for thread in joining:
    thread.wait()
assert not other.is_alive()
""",
        patch=False,
    )


def test_the_end_of_the_program(program):
    program(
        """
import atexit, concurrent.futures
executor = concurrent.futures.ThreadPoolExecutor(2)
futures = [executor.submit(time.sleep, 0) for _ in range(5)]
eventlet.spawn(reentrant.acquire)
eventlet.spawn(plain.acquire)
eventlet.sleep(0)
eventlet.spawn(plain.acquire)
eventlet.spawn(reentrant.acquire)
eventlet.sleep(0)
atexit.register(works, threading.RLock())
Thread(target=time.sleep, args=(0.01,)).start()
limit.cancel()
"""
    )


def test_our_own_threads_do_not_come_by(program):
    program(
        """
from eventlet import tpool
from eventlet._os_threads import RLock
lock = RLock()
assert type(lock.acquire).__name__ == "builtin_function_or_method"
# It knows OS threads only.
with lock:
    assert eventlet.spawn(lock.acquire, False).wait() is True
    lock.release()
assert [tpool.execute(int, "7") for _ in range(3)] == [7] * 3
"""
    )
