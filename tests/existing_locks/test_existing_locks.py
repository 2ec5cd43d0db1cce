"""Locks of the standard library that were made before a program was patched: who waits for whom."""

from __future__ import annotations


def test_green_threads_take_turns(program):
    program(
        """
for lock in both:
    order = []
    def work(number):
        with lock:
            order.append(number)
            eventlet.sleep(0.001)
            order.append(number)
    with lock:
        threads = [eventlet.spawn(work, number) for number in range(5)]
        eventlet.sleep(0)
    # It is free, but one who waits does not overtake the others.
    with lock:
        assert order == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4], order
    for thread in threads:
        thread.wait()
    assert order == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4], order
    works(lock)
    assert lock.acquire(False) is True
"""
    )


def test_arguments_and_results(program):
    program(
        """
for lock in both:
    assert lock.acquire() is True
    assert eventlet.spawn(lock.acquire, False).wait() is False
    assert eventlet.spawn(lock.acquire, True, 0.001).wait() is False
    assert eventlet.spawn(lock.acquire, timeout=0).wait() is False
    lock.release()
    assert lock.acquire(blocking=True, timeout=-1) is True
    lock.release()
    raises(ValueError, lock.acquire, False, 1)
    raises(ValueError, lock.acquire, True, -2)
    raises(OverflowError, lock.acquire, True, 1e300)
    raises(TypeError, lock.acquire, True, "1")
    raises(RuntimeError, lock.release)
    with lock as entered:
        assert entered is True
assert plain.acquire_lock()
assert plain.locked()
plain.release_lock()
"""
    )


def test_waiters_that_are_killed_or_late(program):
    program(
        """
for lock in both:
    with lock:
        killed = eventlet.spawn(lock.acquire)
        late = eventlet.spawn(lock.acquire, timeout=0.001)
        called = eventlet.spawn(lock.acquire)
        last = eventlet.spawn(lock.acquire)
        eventlet.sleep(0)
        killed.kill()
        assert late.wait() is False
    # It has been woken and has not run.
    called.kill()
    assert last.wait() is True
    assert lock.acquire(False) is False
"""
    )


def test_an_os_thread_without_a_hub_holds_it(program):
    program(
        """
for lock in both:
    held, leave = threading.Event(), threading.Event()
    def hold():
        with lock:
            held.set()
            leave.wait()
    other = Thread(target=hold)
    other.start()
    held.wait()
    waiter = eventlet.spawn(lock.acquire)
    eventlet.sleep(0.01)
    assert not waiter.dead
    leave.set()
    assert waiter.wait() is True
    other.join()
"""
    )


def test_a_green_thread_holds_it(program):
    program(
        """
for lock in both:
    entered, leave = eventlet.Event(), eventlet.Event()
    def hold():
        with lock:
            entered.send()
            leave.wait()
    holder = eventlet.spawn(hold)
    entered.wait()
    got = []
    def other_thread():
        assert lock.acquire(False) is False
        got.append(lock.acquire(timeout=0.001))
        got.append(lock.acquire())
        lock.release()
    other = Thread(target=other_thread)
    other.start()
    until(lambda: got)
    leave.send()
    holder.wait()
    other.join()
    assert got == [False, True]
"""
    )


def test_several_os_threads(program):
    program(
        """
for lock in both:
    inside, total = [0], [0]
    def green():
        works(lock, 40, 3, inside, total)
    def native():
        for _ in range(40):
            with lock:
                inside[0] += 1
                assert inside[0] == 1
                time.sleep(0)
                inside[0] -= 1
                total[0] += 1
    others = [Thread(target=green), Thread(target=green), Thread(target=native)]
    for other in others:
        other.start()
    green()
    until(lambda: not any(other.is_alive() for other in others))
    assert total == [400], total
    assert lock.acquire(False) is True
"""
    )


def test_what_c_code_releases_is_noticed(program):
    program(
        """
# The original method, which goes past everything.
release = plain.release
assert type(release).__name__ == "builtin_function_or_method"
plain.acquire()
patch(True)
waiter = eventlet.spawn(plain.acquire)
late = eventlet.spawn(plain.acquire)
eventlet.sleep(0)
release()
assert waiter.wait() is True
release()
assert late.wait() is True
""",
        patch=False,
    )


def test_the_owner_of_a_reentrant_lock_is_a_green_thread(program):
    program(
        """
lock = reentrant
counts = hasattr(lock, "_recursion_count")
with lock, lock:
    assert lock._is_owned()
    assert not counts or lock._recursion_count() == 2
    assert eventlet.spawn(lock._is_owned).wait() is False
    assert not counts or eventlet.spawn(lock._recursion_count).wait() == 0
    text = "cannot release un-acquired lock"
    assert eventlet.spawn(raises, RuntimeError, lock.release).wait() == text
    assert eventlet.spawn(raises, RuntimeError, lock._release_save).wait() == text
    assert eventlet.spawn(lock.acquire, False).wait() is False
assert not lock._is_owned()
assert raises(RuntimeError, lock.release) == text
assert eventlet.spawn(lock.acquire).wait() is True
assert lock.acquire(False) is False
"""
    )


def test_release_save_and_acquire_restore(program):
    program(
        """
lock = reentrant
seen = []
def restore():
    with lock, lock:
        saved = lock._release_save()
        eventlet.sleep(0)
        try:
            lock._acquire_restore(saved)
        except GreenletExit:
            # It has come when the lock was there, and not before.
            seen.append(lock._is_owned())
with lock:
    thread = eventlet.spawn(restore)
    eventlet.sleep(0)
with lock:
    eventlet.sleep(0)
    eventlet.sleep(0)
    thread.kill()
    assert seen == [] and not thread.dead
thread.wait()
assert seen == [True]
assert lock.acquire(False) is True
"""
    )


def test_locks_that_are_held_when_the_types_change(program):
    program(
        """
def held_by_the_main_greenlet(lock):
    other = eventlet.spawn(lock.acquire)
    eventlet.sleep(0.01)
    assert not other.dead
    if lock is reentrant:
        ran = []
        eventlet.spawn(ran.append, 1)
        with lock:
            assert not ran, "it waited"
        assert lock._is_owned()
    lock.release()
    assert other.wait() is True
for lock in both:
    lock.acquire()
patch(True)
for lock in both:
    held_by_the_main_greenlet(lock)
# And without a hub yet.
both = [threading.Lock(), threading.RLock()]
plain, reentrant = both
hubs.use_hub(None)
for lock in both:
    lock.acquire()
hubs.get_hub()
for lock in both:
    held_by_the_main_greenlet(lock)
""",
        patch=False,
    )


def test_types_that_a_green_thread_changes(program):
    program(
        """
def green():
    with reentrant:
        patch(True)
        with reentrant:
            assert reentrant._is_owned()
        eventlet.sleep(0)
eventlet.spawn(green).wait()
works(reentrant)
""",
        patch=False,
    )


def test_it_can_be_undone(program):
    program(
        """
types = [type(plain), type(reentrant), threading.Condition, queue.SimpleQueue]
before = [dict(vars(kind)) for kind in types]
def use():
    # Often enough for the interpreter to make assumptions.
    for _ in range(200):
        for lock in both:
            with lock:
                pass
            lock.acquire()
            lock.release()
        with condition:
            condition.notify()
        simple.put(1)
        simple.get()
use()
for _ in range(2):
    patch(True)
    patch(True)
    assert [dict(vars(kind)) for kind in types] != before
    use()
    works(plain)
    works(reentrant)
    patch(False)
    assert [dict(vars(kind)) for kind in types] == before
    use()
""",
        patch=False,
    )
