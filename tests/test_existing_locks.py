"""Locks of the standard library that were made before a program was patched."""

from __future__ import annotations

import os

import pytest

# What every program begins with: locks from before, then Eventlet. `until` and `overlap` are what
# the programs check with.
PROGRAM = """
import faulthandler, gc, logging, os, queue, signal, sys, threading, time, warnings
faulthandler.dump_traceback_later(40, exit=True)
# "This process is multi-threaded": that is what is being tested.
warnings.simplefilter("ignore", DeprecationWarning)
plain, reentrant = threading.Lock(), threading.RLock()
condition, items, event = threading.Condition(), queue.Queue(), threading.Event()
simple = queue.SimpleQueue()
Thread = threading.Thread
both = [plain, reentrant]

import eventlet
from eventlet import hubs
from eventlet.corolocal import get_ident
from eventlet.greenthread import GreenletExit
from eventlet._existing_locks import patch
limit = eventlet.Timeout(30)

def until(predicate):
    while not predicate():
        eventlet.sleep(0)

def raises(kind, function, *args):
    try:
        function(*args)
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind}")

def works(lock, passes=100, threads=3, inside=None, total=None):
    "Green threads that exclude each other."
    inside, total = inside or [0], total or [0]
    def work():
        for _ in range(passes):
            with lock:
                inside[0] += 1
                assert inside[0] == 1
                eventlet.sleep(0)
                inside[0] -= 1
                total[0] += 1
    for thread in [eventlet.spawn(work) for _ in range(threads)]:
        thread.wait()
    return total[0]

"""


@pytest.fixture
def program(run_python):
    """A function that runs the program above with some more lines; stderr must stay empty."""

    def run(code, patch=True, **options):
        start = PROGRAM + ("patch(True)\nhubs.get_hub()\n" if patch else "")
        done = run_python(start + code + "\nprint('fine')\n", timeout=50, **options)
        assert (done.stdout, done.stderr) == ("fine\n", "")

    return run


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


def test_conditions_and_what_is_made_of_them(program):
    program(
        """
def wait(condition, got):
    with condition:
        got.append(condition.wait(10))
for each in (condition, threading.Condition(plain), threading.Condition(threading.RLock())):
    for notify in ("notify_all", "notify"):
        got = []
        threads = [eventlet.spawn(wait, each, got) for _ in range(3)]
        until(lambda: len(each._waiters) == 3)
        each.acquire()
        if notify == "notify":
            each.notify(3)
        else:
            each.notify_all()
        each.release()
        for thread in threads:
            thread.wait()
        assert got == [True] * 3
        with each:
            assert each.wait(0.001) is False
    works(each)

getters = [eventlet.spawn(items.get) for _ in range(3)]
eventlet.sleep(0)
for number in range(3):
    items.put(number)
assert sorted(getter.wait() for getter in getters) == [0, 1, 2]

waiters = [eventlet.spawn(event.wait) for _ in range(3)]
eventlet.sleep(0)
event.set()
assert [waiter.wait() for waiter in waiters] == [True] * 3
"""
    )


def test_simple_queues(program):
    program(
        """
getters = [eventlet.spawn(simple.get) for _ in range(4)]
eventlet.sleep(0)
for number in range(3):
    simple.put(number)
assert simple.qsize() == 3
other = Thread(target=simple.put_nowait, args=(3,))
other.start()
assert [getter.wait() for getter in getters] == [0, 1, 2, 3]
other.join()
for call in (simple.get_nowait, simple.get):
    args = (False,) if call == simple.get else ()
    raises(queue.Empty, call, *args)
raises(queue.Empty, simple.get, True, 0.001)
raises(queue.Empty, simple.get, True, 0)
raises(ValueError, simple.get, True, -1)
simple.put(4, block=False, timeout=-1)
assert simple.get(block=True, timeout=None) == 4
killed = eventlet.spawn(simple.get)
late = eventlet.spawn(raises, queue.Empty, simple.get, True, 0.001)
last = eventlet.spawn(simple.get)
late.wait()
simple.put(5)
killed.kill()
assert last.wait() == 5
got = []
def native():
    while (item := simple.get()) is not None:
        got.append(item)
def green():
    for thread in [eventlet.spawn(native) for _ in range(2)]:
        thread.wait()
others = [Thread(target=native), Thread(target=green)]
for thread in others:
    thread.start()
own = eventlet.spawn(native)
for number in range(200):
    simple.put(number)
    if number % 7 == 0:
        eventlet.sleep(0)
for _ in range(4):
    simple.put(None)
own.wait()
until(lambda: not any(thread.is_alive() for thread in others))
assert sorted(got) == [*range(200)]
"""
    )


def test_an_executor_from_before(program):
    program(
        """
import concurrent.futures
executor = concurrent.futures.ThreadPoolExecutor(2)
executor.submit(int).result()
patch(True)
futures = [executor.submit(time.sleep, 0.01) for _ in range(4)]
ticks = []
def tick():
    while True:
        ticks.append(1)
        eventlet.sleep(0.001)
thread = eventlet.spawn(tick)
for future in futures:
    eventlet.spawn(future.result).wait()
thread.kill()
assert len(ticks) > 3
eventlet.spawn(executor.shutdown).wait()
""",
        patch=False,
    )


def test_attributes_of_conditions(program):
    program(
        """
class Own(threading.Condition):
    def _is_owned(self):
        return super()._is_owned()
own = Own()
with own:
    own.notify()
own.acquire = len
assert own.acquire is len
del own.acquire
raises(AttributeError, getattr, own, "acquire")
raises(AttributeError, delattr, own, "acquire")
raises(AttributeError, getattr, threading.Condition, "acquire")
assert callable(threading.Condition._is_owned)
assert condition.release == condition._lock.release
"""
    )


def test_logging_to_a_handler_that_waits(program):
    program(
        """
lines, most = [], [0]
class Slow(logging.Handler):
    inside = 0
    def emit(self, record):
        self.inside += 1
        most[0] = max(most[0], self.inside)
        eventlet.sleep(0)
        lines.append(record.getMessage())
        self.inside -= 1
logging.basicConfig(handlers=[Slow()], level=logging.INFO)
patch(True)
threads = [eventlet.spawn(logging.info, "%d", number) for number in range(10)]
other = Thread(target=logging.info, args=("other",))
other.start()
for thread in threads:
    thread.wait()
until(lambda: not other.is_alive())
assert most == [1]
assert sorted(lines) == sorted([*map(str, range(10)), "other"])
child = os.fork() if hasattr(os, "fork") else None
if child == 0:
    logging.info("child")
    os._exit(lines[-1] != "child")
if child:
    assert os.waitpid(child, 0)[1] == 0
""",
        patch=False,
    )


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
