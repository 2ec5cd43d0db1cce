"""eventlet.green.threading, and threading after monkey patching."""

import signal
import sys

import pytest

from support.patched import PATCHED


def test_threads_are_green(run_python):
    run_python(
        PATCHED
        + """
turns = []
def work(name):
    go.wait()
    for _ in range(3):
        turns.append(name)
        time.sleep(0)
go = threading.Event()
native = threading.get_native_id()
natives = set()
threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
threads.append(threading.Thread(target=lambda: natives.add(threading.get_native_id())))
for thread in threads:
    thread.start()
go.set()
for thread in threads:
    thread.join()
    assert not thread.is_alive()
assert natives == {native}
assert turns == list("ababab"), turns
assert threading.enumerate() == [threading.main_thread()]
"""
    )


def test_unpatched_green_threads_leave_the_standard_library_alone(run_python):
    run_python(
        """
import threading, time
from eventlet.green import threading as green, time as green_time
real = threading.Thread
seen = []
def run():
    green_time.sleep(0)
    seen.append((green.get_native_id(), green.current_thread()))
thread = green.Thread(target=run)
thread.start()
thread.join(5)
assert not thread.is_alive()
assert seen == [(threading.get_native_id(), thread)]
assert threading.Thread is real is not green.Thread
native = []
other = threading.Thread(target=lambda: native.append(threading.get_native_id()))
other.start()
other.join()
assert native != [threading.get_native_id()]
assert green.current_thread() is green.main_thread()
assert {*green.__all__} <= {*dir(green)}
from eventlet.green.threading import *
"""
    )


def test_current_thread_in_all_kinds_of_threads(run_python):
    run_python(
        PATCHED
        + """
import _thread
from eventlet import tpool
real = eventlet.patcher.original("threading")
main = threading.current_thread()
assert main is threading.main_thread() and main.ident == threading.get_ident()

def look():
    thread = threading.current_thread()
    assert thread is threading.current_thread() and thread is not main
    assert isinstance(thread, (threading.Thread, real.Thread))
    assert thread.ident == threading.get_ident() != main.ident
    assert thread.is_alive() and thread.name and repr(thread)
    return thread

def in_spawn_n():
    seen.append(look())

seen = []
spawned = [eventlet.spawn(look) for _ in range(3)]
seen += [green.wait() for green in spawned]
for _ in range(3):
    eventlet.spawn_n(in_spawn_n)
_thread.start_new_thread(in_spawn_n, ())
for _ in range(3):
    eventlet.sleep(0)
assert len({*seen}) == 7, seen
assert len({thread.ident for thread in seen}) == 7
assert len({thread.name for thread in seen}) == 7, seen

class Named(threading.Thread):
    def run(self):
        assert look() is self
        seen.append(self)
thread = Named(name="mine")
thread.start()
thread.join()
assert seen[-1] is thread and thread.name == "mine"

worker = tpool.execute(look)
assert worker.name.startswith("tpool_thread_") and worker.daemon
assert worker.native_id != main.native_id and worker.is_alive()
tpool.killall()
worker.join(5)
while worker.is_alive():
    time.sleep(0.001)  # The OS thread has been told to end, and is about to.

found = []
other = real.Thread(target=lambda: found.append(look()))
other.start()
other.join()
assert found == [other]
# Nobody has been added to the table, which is for threads that end.
assert threading.enumerate() == [main]
"""
    )


def test_current_thread_outlives_the_green_thread_and_names_go_both_ways(run_python):
    run_python(
        PATCHED
        + """
import gc, weakref
def run():
    thread = threading.current_thread()
    thread.name = "changed"
    eventlet.sleep(0)
    return thread
green = eventlet.spawn(run)
thread = green.wait()
assert thread.name == thread.getName() == thread.get_name() == green.name == "changed"
assert thread.daemon and thread.isDaemon() and thread.is_daemon()
assert thread._g is green
thread.join()
gone = weakref.ref(green)
del green
assert gone() is None, "only the garbage collector would free it"
assert not thread.is_alive() and not thread.isAlive() and thread._g is None
thread.join()
for refused in (thread.start, lambda: thread.setDaemon(False)):
    try:
        refused()
    except RuntimeError:
        pass
    else:
        raise AssertionError
"""
    )


def test_joining_a_spawned_green_thread(run_python):
    run_python(
        PATCHED
        + """
current = []
def run():
    current.append(threading.current_thread())
    try:
        threading.current_thread().join()
    except RuntimeError:
        pass
    else:
        raise AssertionError
    go.wait()
go = threading.Event()
green = eventlet.spawn(run)
eventlet.sleep(0)
(thread,) = current
thread.join(0.001)
assert thread.is_alive()
go.set()
thread.join()
assert green.dead and not thread.is_alive()
eventlet.spawn_n(run)
go.clear()
eventlet.sleep(0)
try:
    current[1].join()
except RuntimeError as error:
    assert "spawn_n" in str(error)
"""
    )


def test_join_with_a_timeout(run_python):
    run_python(
        PATCHED
        + """
go = threading.Event()
thread = threading.Thread(target=go.wait)
try:
    thread.join()
except RuntimeError:
    pass
else:
    raise AssertionError
thread.start()
thread.join(0)
thread.join(-1)
thread.join(0.001)
assert thread.is_alive()
go.set()
thread.join(5)
assert not thread.is_alive()
thread.join()
try:
    thread.start()
except RuntimeError:
    pass
else:
    raise AssertionError
"""
    )


def test_join_by_several_at_once(run_python):
    code = """
import eventlet
eventlet.monkey_patch()
import threading
import time

failures = []
threading.excepthook = failures.append
for limits in ((None, None, None), (10, 10, 10), (0.001, None, 10)):
    thread = threading.Thread(target=time.sleep, args=(0.05,))
    thread.start()
    joiners = [threading.Thread(target=thread.join, args=(limit,)) for limit in limits]
    for joiner in joiners:
        joiner.start()
    for joiner in joiners:
        joiner.join()
    assert not thread.is_alive()
    thread.join()
assert not failures, failures
"""
    run_python(code)


def test_primitives_between_green_threads(run_python):
    run_python(
        PATCHED
        + """
import queue
# Condition
condition, items = threading.Condition(), []
def consume():
    with condition:
        assert condition.wait_for(lambda: items, timeout=5)
        items.pop()
threads = [threading.Thread(target=consume) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in threads:
    with condition:
        items.append(1)
        condition.notify()
    time.sleep(0)
for thread in threads:
    thread.join()
# Barrier
barrier, passed = threading.Barrier(3), []
def meet():
    passed.append(barrier.wait(5))
threads = [threading.Thread(target=meet) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert sorted(passed) == [0, 1, 2]
# Semaphores
semaphore, most, now, go = threading.BoundedSemaphore(2), [0], [0], threading.Event()
def limited():
    with semaphore:
        now[0] += 1
        most[0] = max(most[0], now[0])
        go.wait()
        time.sleep(0)
        now[0] -= 1
threads = [threading.Thread(target=limited) for _ in range(6)]
for thread in threads:
    thread.start()
go.set()
for thread in threads:
    thread.join()
assert most == [2]
# Timer
fired = threading.Event()
timer, cancelled = threading.Timer(0.001, fired.set), threading.Timer(60, os._exit, (1,))
timer.start()
cancelled.start()
assert fired.wait(5)
cancelled.cancel()
cancelled.join()
# Queues
for kind in (queue.Queue, queue.LifoQueue, queue.PriorityQueue, queue.SimpleQueue):
    made, got = kind(), []
    thread = threading.Thread(target=lambda: got.append(made.get(timeout=5)))
    thread.start()
    made.put(7)
    thread.join()
    assert got == [7]
    try:
        made.get(timeout=0.001)
    except queue.Empty:
        pass
    else:
        raise AssertionError(kind)
bounded = queue.Queue(1)
thread = threading.Thread(target=lambda: [bounded.put(n) for n in range(5)])
thread.start()
assert [bounded.get(timeout=5) for _ in range(5)] == list(range(5))
# local
values = threading.local()
values.x = "main"
def own():
    assert not hasattr(values, "x")
    values.x = threading.get_ident()
    time.sleep(0)
    assert values.x == threading.get_ident()
threads = [threading.Thread(target=own) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert values.x == "main"
"""
    )


def test_the_hub_runs_in_the_thread_that_it_is_of(run_python):
    run_python(
        PATCHED
        + """
import signal
from eventlet.hubs import get_hub
seen = []
def look(*_):
    seen.append(threading.current_thread())
get_hub().schedule_call_global(0, look)
time.sleep(0)
signal.signal(signal.SIGALRM, look)
signal.setitimer(signal.ITIMER_REAL, 0.001)
while len(seen) < 2:
    time.sleep(1)
real = eventlet.patcher.original("threading")
def run():
    get_hub().schedule_call_global(0, look)
    eventlet.sleep(0)
thread = real.Thread(target=run)
thread.start()
thread.join()
assert seen == [threading.main_thread()] * 2 + [thread], seen
"""
    )


def test_threads_do_not_share_context_variables(run_python):
    run_python(
        PATCHED
        + """
import contextvars, decimal
variable = contextvars.ContextVar("variable", default="default")
variable.set("main")
decimal.getcontext().prec = 5
seen = []
def look():
    seen.append((variable.get(), decimal.getcontext().prec))
    variable.set("thread")
    decimal.getcontext().prec = 7
for _ in range(2):
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
inherit = getattr(sys.flags, "thread_inherit_context", 0)
assert seen == [("main", 5) if inherit else ("default", 28)] * 2, seen
assert (variable.get(), decimal.getcontext().prec) == ("main", 5)
"""
    )


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="not on this system")
def test_signals_for_threads(run_python):
    run_python(
        PATCHED
        + """
import signal
got = []
signal.signal(signal.SIGUSR1, lambda *_: got.append(1))
go = threading.Event()
thread = threading.Thread(target=go.wait)
thread.start()
for ident in (thread.ident, threading.main_thread().ident):
    signal.pthread_kill(ident, signal.SIGUSR1)
    while not got:
        time.sleep(0.001)
    got.clear()
go.set()
thread.join()
spawned = eventlet.spawn(threading.get_ident).wait()
for ident in (thread.ident, spawned):
    try:
        signal.pthread_kill(ident, 0)
    except ProcessLookupError:
        pass
    else:
        raise AssertionError
"""
    )


def test_a_green_thread_may_be_the_first_to_use_the_unpatched_module(run_python):
    run_python(
        """
import eventlet
from eventlet.green import threading
assert not hasattr(threading, "__path__") and not hasattr(threading, "nothing")
def use():
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    return threading.main_thread()
main = eventlet.spawn(use).wait()
assert main is threading.current_thread() and threading.enumerate() == [main]
import threading as standard
assert main.ident == standard.main_thread().ident == threading.get_ident()
"""
    )


def test_trace_functions_are_for_threads_only(run_python):
    run_python(
        PATCHED
        + """
def here(): pass
def there(): pass
def work():
    there()
    time.sleep(0.001)
    there()
    go.wait()
    there()
seen = set()
def tracer(frame, event, arg):
    seen.add((frame.f_code.co_name, "trace", threading.get_ident()))
def profiler(frame, event, arg):
    seen.add((frame.f_code.co_name, "profile", threading.get_ident()))
threading.settrace(tracer)
threading.setprofile(profiler)
go = threading.Event()
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
here()
time.sleep(0.01)
here()
assert sys.gettrace() is sys.getprofile() is None
go.set()
idents = [thread.ident for thread in threads]
for thread in threads:
    thread.join()
assert sys.gettrace() is sys.getprofile() is None
threading.settrace(None)
threading.setprofile(None)
for kind in ("trace", "profile"):
    assert {ident for name, how, ident in seen if (name, how) == ("there", kind)} == {*idents}
    assert not [ident for name, how, ident in seen if (name, how) == ("here", kind)]
import greenlet
assert greenlet.gettrace() is None
"""
    )


def test_executors(run_python):
    run_python(
        PATCHED
        + """
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
native = threading.get_native_id()
at_work = []
most = 0
def work(n):
    global most
    at_work.append(n)
    most = max(most, len(at_work))
    time.sleep(0.05)
    at_work.remove(n)
    assert threading.get_native_id() == native
    return n * n
with ThreadPoolExecutor(20) as executor:
    futures = [executor.submit(work, n) for n in range(20)]
    assert sorted(future.result() for future in as_completed(futures)) == [n * n for n in range(20)]
    assert list(executor.map(work, range(5))) == [0, 1, 4, 9, 16]
    done, pending = wait([executor.submit(work, 1)], timeout=5)
    assert done and not pending
    try:
        executor.submit(work, "x").result(timeout=5)
    except TypeError:
        pass
    else:
        raise AssertionError
    try:
        executor.submit(time.sleep, 0.05).result(timeout=0.001)
    except TimeoutError:
        pass
    except Exception as error:
        assert type(error).__name__ == "TimeoutError", error
    else:
        raise AssertionError
assert most == 20
assert threading.active_count() == 1
"""
    )


def test_logging_from_everywhere_at_once(run_python):
    done = run_python(
        """
import logging, signal
handler = logging.StreamHandler()
logging.basicConfig(handlers=[handler], format="%(threadName)s %(message)s")
"""
        + PATCHED
        + """
from eventlet import tpool
log = logging.getLogger()
class Slow(logging.Handler):
    def emit(self, record):
        time.sleep(0)
        lines.append(record.getMessage())
lines = []
log.addHandler(Slow())
log.setLevel(logging.INFO)
handler.setLevel(logging.CRITICAL)
signal.signal(signal.SIGALRM, lambda *_: log.info("signal"))
signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
def work(name):
    for n in range(100):
        log.info("%s %d", name, n)
        if n % 10 == 0:
            time.sleep(0)
def in_os_thread(name):
    tpool.execute(work, name)
pile = [eventlet.spawn(work, f"green{n}") for n in range(5)]
pile += [eventlet.spawn(in_os_thread, f"tpool{n}") for n in range(5)]
threads = [threading.Thread(target=work, args=(f"thread{n}",)) for n in range(5)]
for thread in threads:
    thread.start()
for green in pile:
    green.wait()
for thread in threads:
    thread.join()
signal.setitimer(signal.ITIMER_REAL, 0)
counted = [line for line in lines if line != "signal"]
assert len(counted) == 1500 == len({*counted}), len(counted)
print("signals", lines.count("signal"))
""",
        timeout=50,
    )
    assert int(done.stdout.split()[1]) > 0
    assert done.stderr == ""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there is no such function")
def test_daemon_threads_are_allowed(run_python):
    run_python(PATCHED + "import _thread\nassert _thread.daemon_threads_allowed()\n")
