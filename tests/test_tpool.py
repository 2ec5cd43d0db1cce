"""Calls in OS threads of the pool that all share."""

import copy
import io
import threading
import time

import pytest

import eventlet
from eventlet import queue, tpool

LONG = 20


@pytest.fixture(autouse=True)
def limit():
    """Ends what hangs in a green thread; afterwards there are no threads left."""
    with eventlet.Timeout(LONG):
        yield
        tpool.killall()


def test_calls_are_made_in_other_threads():
    assert tpool.execute(threading.get_ident) != threading.get_ident()
    assert tpool.execute(lambda: threading.current_thread().name).startswith("tpool_thread_")


def test_arguments_and_results():
    assert tpool.execute(lambda *args, **kwargs: (args, kwargs), 1, two=2) == ((1,), {"two": 2})
    # A tuple is a value, whatever is in it.
    assert tpool.execute(lambda: (ValueError, ValueError("x"), None))[0] is ValueError


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, eventlet.Timeout])
def test_exceptions_are_raised_in_the_caller(kind):
    def fail():
        raise kind

    with pytest.raises(kind):
        tpool.execute(fail)
    assert tpool.execute(int) == 0


def test_others_run_meanwhile():
    gate = threading.Event()
    calls = [eventlet.spawn(tpool.execute, gate.wait, LONG) for _ in range(5)]
    eventlet.sleep(0.01)
    assert not any(call.dead for call in calls)
    gate.set()
    assert all(call.wait() for call in calls)


def test_more_calls_than_threads():
    calls = [eventlet.spawn(tpool.execute, lambda n: n * n, n) for n in range(200)]
    assert [call.wait() for call in calls] == [n * n for n in range(200)]


def test_a_timeout_ends_the_wait_only():
    gate = threading.Event()
    with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.01):
        tpool.execute(gate.wait, LONG)
    gate.set()
    assert tpool.execute(gate.is_set)


def test_calls_from_the_pool_are_made_on_the_spot():
    def nested():
        return threading.get_ident(), tpool.execute(threading.get_ident)

    outer, inner = tpool.execute(nested)
    assert outer == inner


def test_no_threads(run_python):
    run_python(
        """
import threading
from eventlet import tpool
tpool.set_num_threads(0)
assert tpool.execute(threading.get_ident) == threading.get_ident()
"""
    )


def test_killall_and_again():
    assert tpool.execute(int) == 0
    tpool.killall()
    assert not tpool._threads
    tpool.killall()
    assert tpool.execute(int) == 0


def test_killall_lets_others_run():
    gate = threading.Event()
    call = eventlet.spawn(tpool.execute, gate.wait, LONG)
    eventlet.sleep(0)
    killer = eventlet.spawn(tpool.killall)
    eventlet.sleep(0.01)
    assert not killer.dead, "it waits for the call"
    gate.set()
    assert call.wait()
    killer.wait()


def test_fork(run_python):
    result = run_python(
        """
import os, warnings
warnings.simplefilter("ignore")
from eventlet import tpool
assert tpool.execute(int, "1") == 1
child = os.fork()
assert tpool.execute(int, "2") == 2
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print("fine")
"""
    )
    assert result.stdout == "fine\n"


def test_proxy():
    class Thing:
        number = 7

        def where(self):
            return threading.get_ident()

        def child(self):
            return Thing()

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return [10, 20, 30][index]

    thing = Thing()
    proxy = tpool.Proxy(thing, autowrap=(Thing,))
    assert proxy.where() != threading.get_ident()
    assert proxy.where(nonblocking=True) == threading.get_ident()
    assert proxy.number == 7
    assert isinstance(proxy.child(), tpool.Proxy)
    assert (len(proxy), proxy[1], bool(proxy)) == (3, 20, True)
    assert proxy == thing
    assert hash(proxy) == hash(thing)
    assert isinstance(tpool.Proxy(thing, autowrap_names=("where",)).where(), tpool.Proxy)
    assert list(tpool.Proxy([1, 2, 3])) == [1, 2, 3]


def test_a_result_that_comes_while_the_hub_is_made(run_python):
    """A thread makes its hub when it first waits; what it waits for may come at that moment."""
    result = run_python(
        """
import os, threading
os.environ["EVENTLET_HUB"] = "__main__:SlowHub"
import eventlet
from eventlet import hubs, queue

class SlowHub(hubs.get_default_hub().Hub):
    def __init__(self):
        arrive()

got = []

def run():
    global arrive
    event = eventlet.Event()
    arrive = lambda: event.send("event")
    got.append(event.wait())

def run_queue():
    global arrive
    items = queue.Queue()
    arrive = lambda: items.put("item")
    got.append(items.get())

def run_join():
    global arrive
    items = queue.Queue()
    items.put("item")
    arrive = items.task_done
    items.join()
    got.append("joined")

for function in (run, run_queue, run_join):
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(10)
print(got)
"""
    )
    assert result.stdout == "['event', 'item', 'joined']\n"


# ------------------------------------------------------------------------------------------------
# What threads see, and what is left of a call


def test_the_traceback_leads_to_the_function():
    def inner():
        raise ValueError("deep")

    with pytest.raises(ValueError) as caught:
        tpool.execute(inner)
    names = [entry.name for entry in caught.traceback]
    assert names[0] == "test_the_traceback_leads_to_the_function"
    assert names[-1] == "inner"
    assert "_run" not in names


def test_keywords_of_any_name():
    kwargs = {"meth": 1, "self": 2, "function": 3}
    assert tpool.execute(lambda **kw: kw, **kwargs) == kwargs


def test_threads_are_shown_and_named():
    tpool.execute(int)
    assert len(tpool._threads) == tpool._nthreads
    worker = tpool._threads[0]
    assert (worker.name, worker.daemon, worker.is_alive()) == ("tpool_thread_0", True, True)
    assert "tpool_thread_0 alive" in repr(worker)
    tpool.killall()
    worker.join()
    assert not worker.is_alive()


def test_no_stand_in_is_left_in_threading():
    idents = [tpool.execute(lambda: threading.current_thread().ident) for _ in range(5)]
    tpool.killall()
    assert not {*idents} & {thread.ident for thread in threading.enumerate()}


def test_trace_functions_are_inherited():
    seen = []
    threading.settrace(lambda frame, event, arg: seen.append(frame.f_code.co_name))
    try:
        tpool.execute(int)
        tpool.execute(lambda: None)
    finally:
        threading.settrace(None)
        tpool.killall()
    assert "<lambda>" in seen


def test_a_call_that_nobody_waits_for_is_not_begun():
    made = []
    gate = threading.Event()
    with tpool.ThreadPool(1) as pool:
        first = eventlet.spawn(pool.execute, gate.wait, LONG)
        eventlet.sleep(0)
        second = eventlet.spawn(pool.execute, made.append, "second")
        third = eventlet.spawn(pool.execute, made.append, "third")
        eventlet.sleep(0)
        assert pool.busy() == 3
        second.kill()
        gate.set()
        first.wait()
        third.wait()
        assert made == ["third"]
    assert pool.busy() == 0


def test_many_interrupted_calls_leave_the_pool_sound():
    gates = [threading.Event() for _ in range(50)]
    with tpool.ThreadPool(3) as pool:
        for gate in gates:
            with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.0001):
                pool.execute(gate.wait, LONG)
        for gate in gates:
            gate.set()
        assert [pool.execute(int, "7") for _ in range(10)] == [7] * 10
        assert len(pool.threads) == 3
    assert not pool.threads


def test_killall_does_not_wait_for_what_nobody_waits_for():
    gate = threading.Event()
    with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.01):
        tpool.execute(gate.wait, LONG)
    tpool.killall()
    assert tpool.execute(int, "7") == 7
    gate.set()


def test_killall_waits_for_what_calls_have_left_behind():
    ended = []

    def linger():
        try:
            eventlet.sleep(LONG)
        finally:
            # A moment in which other OS threads run.
            time.sleep(0.05)
            ended.append(1)

    def leave():
        eventlet.spawn(linger)
        eventlet.sleep(0)

    tpool.execute(leave)
    tpool.killall()
    assert ended == [1]


def test_the_program_ends_though_a_call_does_not(run_python):
    run_python(
        """
import threading, eventlet
from eventlet import tpool
with eventlet.Timeout(0.01, False):
    tpool.execute(threading.Event().wait)
"""
    )


def test_the_program_ends_after_calls_that_are_waited_for(run_python):
    done = run_python(
        """
import os, time, eventlet
from eventlet import tpool
def slow():
    time.sleep(0.1)
    os.write(1, b"done\\n")
eventlet.spawn(tpool.execute, slow)
tpool.Executor().submit(slow)
eventlet.sleep(0.01)
"""
    )
    assert done.stdout == "done\ndone\n"


@pytest.mark.parametrize("number", ["0", "-1", "3"])
def test_the_number_of_threads_from_the_environment(run_python, number):
    run_python(
        f"""
import threading, warnings
from eventlet import tpool
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    try:
        where = tpool.execute(threading.get_ident)
    except AssertionError:
        assert {number} < 0
    else:
        assert (where == threading.get_ident()) == ({number} == 0)
        assert len(tpool._threads) == {number}
assert [str(each.message)[:12] for each in caught] == (["Zero threads"] if {number} == 0 else [])
""",
        env={"EVENTLET_THREADPOOL_SIZE": number},
    )


def test_from_several_os_threads_with_hubs():
    results = []

    def run(number):
        calls = [eventlet.spawn(tpool.execute, lambda n: n, number * 100 + n) for n in range(50)]
        results.extend(call.wait() for call in calls)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        eventlet.sleep(0.001)
    assert sorted(results) == sorted(number * 100 + n for number in range(4) for n in range(50))


def test_primitives_connect_both_worlds():
    items = queue.Queue()
    event = eventlet.Event()

    def work():
        # An OS thread that waits for a green thread, and sends to one.
        items.put(event.wait())

    call = eventlet.spawn(tpool.execute, work)
    eventlet.sleep(0.01)
    event.send("hello")
    assert items.get() == "hello"
    call.wait()


# ------------------------------------------------------------------------------------------------
# Proxies


def test_proxy_in_a_with_statement_and_copied():
    lock = threading.Lock()
    with tpool.Proxy(lock) as entered:
        assert entered is True
        assert lock.locked()
    with io.StringIO() as stream, tpool.Proxy(stream) as entered:
        assert entered == stream
        assert isinstance(entered, tpool.Proxy)
    proxy = tpool.Proxy([[1], [2]])
    shallow, deep = copy.copy(proxy), copy.deepcopy(proxy)
    assert shallow == deep == [[1], [2]]
    assert shallow[0] is proxy[0]
    assert deep[0] is not proxy[0]


def test_proxy_of_functions_and_iterators():
    def numbers():
        yield threading.get_ident()
        yield threading.get_ident()

    proxy = tpool.Proxy(numbers, autowrap_names=("__call__",))
    assert threading.get_ident() not in [*proxy()]
    with pytest.raises(StopIteration):
        next(tpool.Proxy(iter([])))


def test_proxy_raises_what_is_raised():
    proxy = tpool.Proxy([])
    with pytest.raises(IndexError):
        _ = proxy[0]
    with pytest.raises(AttributeError):
        _ = proxy.nothing
    with pytest.raises(TypeError):
        hash(proxy)
