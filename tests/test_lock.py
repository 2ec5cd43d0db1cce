"""Locks: what those of `threading` do, for green threads."""

import contextlib
import gc
import math
import os
import signal
import threading
import time
import traceback
import weakref

import pytest
from greenlet import GreenletExit

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


# --------------------------------------------------------------------------------------------------
# What holds for every lock


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


# --------------------------------------------------------------------------------------------------
# RLock


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


# --------------------------------------------------------------------------------------------------
# Condition


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
