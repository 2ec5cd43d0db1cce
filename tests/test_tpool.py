"""Calls in OS threads."""

import threading

import pytest

import eventlet
from eventlet import tpool
from eventlet._os_threads import ThreadPool

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


def test_thread_pools_start_threads_when_they_are_needed():
    pool = ThreadPool(2)
    gate = threading.Event()
    assert pool.execute(int) == 0
    calls = [eventlet.spawn(pool.execute, gate.wait, LONG) for _ in range(5)]
    eventlet.sleep(0.01)
    assert len(pool.threads) == 2
    gate.set()
    assert all(call.wait() for call in calls)
