"""Conditions: who waits is notified in order, and leaves with the lock."""

import gc
import threading
import weakref

import pytest
from greenlet import GreenletExit

import eventlet
from eventlet.lock import Condition, Lock, RLock
from eventlet.semaphore import Semaphore


class Plain:
    """A lock with no methods but those that every lock has."""

    def __init__(self):
        self.lock = Lock()
        self.acquire = self.lock.acquire
        self.release = self.lock.release

    def __enter__(self):
        return self.lock.__enter__()

    def __exit__(self, *args):
        return self.lock.__exit__(*args)


class Nosy(RLock):
    """A lock that lets others run when it is released, as one in Python may."""

    def _release_save(self):
        state = super()._release_save()
        eventlet.sleep(0)
        return state


@pytest.fixture(params=[lambda: None, RLock, Lock, Plain, Nosy, Semaphore])
def condition(request):
    return Condition(request.param())


def waiting(condition, number, **kw):
    """Start so many green threads that wait; return them and a list of what comes of it."""
    got = []

    def wait(index):
        with condition:
            got.append((index, condition.wait(**kw)))

    threads = [eventlet.spawn(wait, index) for index in range(number)]
    until(lambda: len(condition._waiters) == number and None not in condition._waiters)
    return threads, got


def until(predicate):
    with eventlet.Timeout(10):
        while not predicate():
            eventlet.sleep(0)


def test_notified_in_order(condition):
    threads, got = waiting(condition, 4)
    with condition:
        condition.notify()
    until(lambda: len(got) == 1)
    with condition:
        condition.notify(2)
    until(lambda: len(got) == 3)
    with condition:
        condition.notify(7)
    for thread in threads:
        thread.wait()
    assert got == [(0, True), (1, True), (2, True), (3, True)]
    assert condition._waiters == ()


def test_notify_all(condition):
    threads, got = waiting(condition, 3)
    assert [*condition._waiters] == threads
    with condition:
        condition.notify_all()
    for thread in threads:
        thread.wait()
    assert got == [(0, True), (1, True), (2, True)]


def test_a_time_limit(condition):
    threads, got = waiting(condition, 2, timeout=0.001)
    for thread in threads:
        thread.wait()
    assert sorted(got) == [(0, False), (1, False)]
    with condition:
        assert condition.wait(0) is False
        assert condition.wait(-1) is False
        assert condition._is_owned()
        condition.notify()
    assert condition._waiters == ()


def test_a_killed_waiter_does_not_swallow_a_notification(condition):
    threads, got = waiting(condition, 2)
    with condition:
        condition.notify()
        # It has been notified, and is killed before it can do anything about it.
        threads[0].kill()
    threads[1].wait()
    assert got == [(1, True)]
    until(lambda: threads[0].dead)
    with condition:
        pass


def test_a_killed_waiter_leaves_with_the_lock(condition):
    owned = []

    def wait():
        with condition:
            try:
                condition.wait()
            finally:
                owned.append(condition._is_owned())

    thread = eventlet.spawn(wait)
    until(lambda: any(condition._waiters))
    thread.kill()
    until(lambda: thread.dead)
    assert owned == [True]
    assert condition._waiters == ()
    assert condition.acquire(False) is True


def test_a_waiter_that_is_killed_while_it_takes_the_lock_again_has_it_when_it_leaves():
    condition = Condition()
    threads, got = waiting(condition, 2)
    with condition:
        condition.notify()
        eventlet.sleep(0)
        threads[0].kill()
        assert not threads[0].dead
        assert got == []
    threads[1].wait()
    assert threads[0].dead
    assert got == [(1, True)]
    with pytest.raises(GreenletExit):
        threads[0].wait()


def test_the_lock_is_needed():
    condition = Condition()
    for call in (condition.wait, condition.notify, condition.notify_all):
        with pytest.raises(RuntimeError, match="un-acquired lock"):
            call()
    assert condition._waiters == ()


def test_waiting_with_a_lock_that_was_taken_twice():
    condition = Condition()
    with condition, condition:
        thread = eventlet.spawn(notify_one, condition)
        assert condition.wait(10) is True
        assert condition._lock._recursion_count() == 2
    thread.wait()


def notify_one(condition):
    with condition:
        condition.notify()


def test_wait_for():
    condition = Condition()
    values = []

    def give():
        for value in ("", 0, "this"):
            with condition:
                values.append(value)
                condition.notify()
            eventlet.sleep(0)

    thread = eventlet.spawn(give)
    with condition:
        assert condition.wait_for(lambda: values and values[-1]) == "this"
        assert condition.wait_for(lambda: 0, timeout=0.001) == 0
        assert condition.wait_for(list, timeout=0) == []
    thread.wait()


def test_methods_that_a_subclass_replaces_are_used():
    calls = []

    class Own(Condition):
        def _is_owned(self):
            calls.append("owned")
            return True

        def _release_save(self):
            calls.append("release")
            return "saved"

        def _acquire_restore(self, state):
            calls.append(state)

        def wait(self, timeout=None):
            calls.append("wait")
            return super().wait(0)

    condition = Own()
    assert condition.wait_for(lambda: len(calls) > 4)
    assert calls == ["wait", "owned", "release", "saved", "wait", "owned", "release", "saved"]


def test_a_lock_that_cannot_be_released():
    class Stuck(RLock):
        def _release_save(self):
            notify_one(condition)
            raise ArithmeticError

    condition = Condition(Stuck())
    threads, got = [], []

    def wait():
        with Condition(), condition:
            got.append(Condition.wait(condition, 0.01))

    threads = [eventlet.spawn(wait)]
    with condition, pytest.raises(ArithmeticError):
        condition.wait()
    with pytest.raises(ArithmeticError):
        threads[0].wait()
    assert condition._waiters == ()
    assert got == []


def test_the_old_name_of_notify_all():
    condition = Condition()
    with condition, pytest.warns(DeprecationWarning, match="notify_all"):
        condition.notifyAll()


def test_the_hub_does_not_wait_for_a_condition(hub):
    condition = Condition()
    outcome = eventlet.Event()

    def callback():
        with condition:
            try:
                condition.wait()
            except RuntimeError as error:
                outcome.send((str(error), condition._is_owned()))

    hub.schedule_call_global(0, callback)
    assert outcome.wait() == ("do not call blocking functions from the mainloop", True)


def test_a_condition_between_os_threads():
    condition = Condition()
    turn = 0
    rounds = 60

    def work(me, workers):
        nonlocal turn

        def ready():
            return turn % workers == me or turn >= rounds

        while True:
            with condition:
                condition.wait_for(ready)
                if turn >= rounds:
                    return
                turn += 1
                condition.notify_all()

    def green():
        for thread in [eventlet.spawn(work, me, 4) for me in (0, 1)]:
            thread.wait()

    others = [
        threading.Thread(target=green),
        threading.Thread(target=work, args=(2, 4)),
    ]
    for other in others:
        other.start()
    with eventlet.Timeout(30):
        work(3, 4)
        while any(other.is_alive() for other in others):
            eventlet.sleep(0)
    assert turn == rounds


def test_the_collector_sees_what_they_refer_to():
    class Owner:
        def __init__(self):
            lock = RLock()
            self.condition = Condition(lock)
            self.condition.owner = self
            self.other = Condition(Plain())
            self.other._lock.owner = self

    weak = weakref.ref(Owner())
    gc.collect()
    assert weak() is None
