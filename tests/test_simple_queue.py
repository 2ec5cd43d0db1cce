"""`SimpleQueue`: items without a limit, that may be put in from anywhere."""

import _queue
import gc
import queue
import signal
import threading
import weakref

import pytest

import eventlet
from eventlet.queue import Empty, SimpleQueue


def until(predicate):
    with eventlet.Timeout(10):
        while not predicate():
            eventlet.sleep(0)


def test_first_in_first_out():
    items = SimpleQueue()
    assert items.empty()
    for number in range(5):
        items.put(number)
    items.put_nowait(5)
    items.put(6, block=False, timeout=3)
    assert items.qsize() == 7
    assert [items.get() for _ in range(6)] == [0, 1, 2, 3, 4, 5]
    assert not items.empty()
    assert items.get_nowait() == 6
    assert items.empty()


def test_empty():
    assert Empty is _queue.Empty
    items = SimpleQueue()
    with pytest.raises(queue.Empty):
        items.get_nowait()
    with pytest.raises(queue.Empty):
        items.get(False)
    with pytest.raises(queue.Empty):
        items.get(block=False, timeout=-5)
    with pytest.raises(queue.Empty):
        items.get(timeout=0.001)
    with pytest.raises(queue.Empty):
        items.get(True, 0)
    with pytest.raises(ValueError, match="non-negative"):
        items.get(timeout=-1)


def test_it_has_all_that_the_standard_library_s_has():
    assert {name for name in dir(_queue.SimpleQueue) if not hasattr(SimpleQueue, name)} == set()
    assert SimpleQueue[int].__origin__ is SimpleQueue

    class Own(SimpleQueue):
        pass

    items = Own()
    items.put(items)
    weak = weakref.ref(items)
    del items
    gc.collect()
    assert weak() is None


def test_getters_are_served_in_the_order_in_which_they_came():
    items = SimpleQueue()
    getters = [eventlet.spawn(items.get) for _ in range(4)]
    eventlet.sleep(0)
    for number in range(4):
        items.put(number)
    # They are theirs already.
    assert items.empty()
    with pytest.raises(queue.Empty):
        items.get_nowait()
    assert [getter.wait() for getter in getters] == [0, 1, 2, 3]


def test_a_killed_getter_takes_nothing():
    items = SimpleQueue()
    early = eventlet.spawn(items.get)
    late = eventlet.spawn(items.get)
    other = eventlet.spawn(items.get)
    eventlet.sleep(0)
    early.kill()
    items.put("item")
    late.kill()
    assert other.wait() == "item"
    assert items.empty()
    alone = eventlet.spawn(items.get)
    eventlet.sleep(0)
    items.put("left")
    alone.kill()
    assert items.qsize() == 1
    assert items.get_nowait() == "left"


def test_a_timeout_of_a_getter():
    items = SimpleQueue()
    with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.001):
        items.get()
    items.put(1)
    assert items.get() == 1


@pytest.mark.usefixtures("frozen")
def test_a_put_that_interrupts_a_get():
    items = SimpleQueue()

    class Finalized:
        def __init__(self):
            self.cycle = self

        def __del__(self):
            items.put("finalizer")

    old = signal.signal(signal.SIGUSR1, lambda *_args: items.put("handler"))
    try:
        for _ in range(100):
            items.put(Finalized())
            items.get()
            signal.raise_signal(signal.SIGUSR1)
            gc.collect()
            assert {items.get(timeout=10), items.get(timeout=10)} == {"handler", "finalizer"}
    finally:
        signal.signal(signal.SIGUSR1, old)


def test_the_hub_puts_and_does_not_wait(hub):
    items = SimpleQueue()
    outcome = eventlet.Event()

    def callback():
        try:
            items.get()
        except RuntimeError as error:
            outcome.send(str(error))

    hub.schedule_call_global(0, callback)
    assert outcome.wait() == "do not call blocking functions from the mainloop"
    hub.schedule_call_global(0, items.put, "item")
    assert items.get() == "item"


def test_between_os_threads():
    items, total = SimpleQueue(), 300
    got = []

    def take():
        while (item := items.get()) is not None:
            got.append(item)

    def green():
        for thread in [eventlet.spawn(take) for _ in range(2)]:
            thread.wait()

    def give(first):
        for number in range(first, total, 3):
            items.put(number)

    takers = [threading.Thread(target=green), threading.Thread(target=take)]
    givers = [threading.Thread(target=give, args=(first,)) for first in range(3)]
    for thread in [*takers, *givers]:
        thread.start()
    own = eventlet.spawn(take)
    with eventlet.Timeout(30):
        for thread in givers:
            until(lambda thread=thread: not thread.is_alive())
        for _ in range(4):
            items.put(None)
        own.wait()
        for thread in takers:
            until(lambda thread=thread: not thread.is_alive())
    assert sorted(got) == [*range(total)]
    assert items.empty()
