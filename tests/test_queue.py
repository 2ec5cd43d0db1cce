"""Queues: what goes in comes out, in order, once, to those who asked first."""

import collections
import gc
import heapq
import queue as standard
import random
import threading
import types
import weakref

import pytest

import eventlet
from eventlet import hubs
from eventlet.queue import (
    Empty,
    Full,
    ItemWaiter,
    LifoQueue,
    LightQueue,
    PriorityQueue,
    Queue,
    Waiter,
)

ALL = [LightQueue, Queue, LifoQueue, PriorityQueue]


class Stop(Exception):
    pass


class Hooked(Queue):
    """Keeps its items in a list of its own."""

    def _init(self, maxsize):
        self.queue = []

    def _put(self, item):
        self.queue.append(item)
        self._put_bookkeeping()

    def _get(self):
        return self.queue.pop(0)


def opened(maxsize=None):
    """A queue whose items are in a `deque` that the program has seen."""
    queue = Queue(maxsize)
    assert isinstance(queue.queue, collections.deque)
    return queue


#: Three ways to the same behaviour.
FIFO = [LightQueue, Queue, Hooked, opened]


def getters(queue, count, **kw):
    """Start green threads that get from `queue`, and let them get in line."""
    got = []

    def get(name):
        got.append((name, queue.get(**kw)))

    threads = [eventlet.spawn(get, name) for name in range(count)]
    eventlet.sleep(0)
    return threads, got


def putters(queue, count):
    """Start green threads that put their number into `queue`, and let them get in line."""
    done = []

    def put(item):
        queue.put(item)
        done.append(item)

    threads = [eventlet.spawn(put, item) for item in range(count)]
    eventlet.sleep(0)
    return threads, done


def test_exceptions_are_the_standard_ones():
    assert Empty is standard.Empty
    assert Full is standard.Full


@pytest.mark.parametrize("cls", FIFO)
def test_in_order(cls):
    queue = cls()
    for item in range(5):
        queue.put(item)
    assert (queue.qsize(), queue.empty(), queue.full()) == (5, False, False)
    assert list(queue.queue) == list(range(5))
    assert [queue.get() for _ in range(5)] == list(range(5))
    assert queue.empty()
    with pytest.raises(Empty):
        queue.get_nowait()
    with pytest.raises(Empty):
        queue.get(block=False)
    with pytest.raises(Empty):
        queue.get(timeout=0.001)


@pytest.mark.parametrize("maxsize", [None, -1, -5])
def test_unlimited(maxsize):
    queue = Queue(maxsize)
    assert queue.maxsize is None
    for item in range(100):
        queue.put_nowait(item)
    assert not queue.full()


@pytest.mark.parametrize("cls", FIFO)
def test_limited(cls):
    queue = cls(2)
    assert queue.maxsize == 2
    queue.put(1)
    queue.put(2)
    assert queue.full()
    with pytest.raises(Full):
        queue.put_nowait(3)
    with pytest.raises(Full):
        queue.put(3, timeout=0.001)
    threads, done = putters(queue, 3)
    assert queue.putting() == 3
    assert queue.putters == tuple(threads)
    assert [queue.get() for _ in range(5)] == [1, 2, 0, 1, 2]
    for thread in threads:
        thread.wait()
    assert done == [0, 1, 2]
    assert queue.empty()


@pytest.mark.parametrize("cls", FIFO)
def test_getters_are_served_in_order(cls):
    queue = cls()
    threads, got = getters(queue, 8)
    assert queue.getting() == 8
    assert queue.getters == tuple(threads)
    for item in range(8):
        queue.put(item)
    assert got == []
    for thread in threads:
        thread.wait()
    assert got == [(number, number) for number in range(8)]
    assert queue.getting() == 0


@pytest.mark.parametrize("cls", FIFO)
def test_a_promised_item_cannot_be_snatched(cls):
    queue = cls()
    threads, got = getters(queue, 1)
    queue.put("x")
    assert queue.qsize() == 0
    with pytest.raises(Empty):
        queue.get_nowait()
    threads[0].wait()
    assert got == [(0, "x")]


@pytest.mark.parametrize("cls", FIFO)
def test_a_promised_item_takes_no_room(cls):
    queue = cls(1)
    threads, got = getters(queue, 1)
    queue.put("a")
    assert not queue.full()
    queue.put_nowait("b")
    assert queue.full()
    with pytest.raises(Full):
        queue.put_nowait("c")
    threads[0].wait()
    assert got == [(0, "a")]
    assert queue.get_nowait() == "b"


@pytest.mark.parametrize("cls", FIFO)
def test_getter_killed_while_waiting(cls):
    queue = cls()
    threads, got = getters(queue, 3)
    threads[1].kill()
    queue.put("a")
    queue.put("b")
    threads[0].wait()
    threads[2].wait()
    assert got == [(0, "a"), (2, "b")]


@pytest.mark.parametrize("cls", FIFO)
def test_getter_killed_after_it_was_called(cls):
    queue = cls()
    threads, got = getters(queue, 2)
    queue.put("a")
    threads[0].kill()
    threads[1].wait()
    assert got == [(1, "a")]
    threads, got = getters(queue, 1)
    queue.put("b")
    queue.put("c")
    threads[0].kill()
    assert (queue.get_nowait(), queue.get_nowait()) == ("b", "c")


@pytest.mark.parametrize("cls", FIFO)
def test_getter_interrupted_after_it_was_called(cls):
    queue = cls()

    def get():
        with pytest.raises(Stop):
            queue.get()

    thread = eventlet.spawn(get)
    eventlet.sleep(0)
    hubs.get_hub().schedule_call_global(0, thread.throw, Stop())
    queue.put("x")
    thread.wait()
    assert queue.get_nowait() == "x"


@pytest.mark.parametrize("cls", FIFO)
def test_timeout_and_put_in_the_same_round(cls):
    queue = cls()
    results = []

    def get():
        try:
            results.append(queue.get(timeout=0.001))
        except Empty:
            results.append(None)

    thread = eventlet.spawn(get)
    eventlet.sleep(0)
    hub = hubs.get_hub()
    end = hub.clock() + 0.005
    while hub.clock() < end:
        pass
    queue.put("x")
    thread.wait()
    assert results == ["x"] or (results == [None] and queue.get_nowait() == "x")


@pytest.mark.parametrize("cls", FIFO)
def test_resumed_by_a_stranger_keeps_its_place(cls):
    queue = cls(1)
    threads, got = getters(queue, 2)
    hubs.get_hub().schedule_call_global(0, threads[0].switch)
    eventlet.sleep(0)
    eventlet.sleep(0)
    assert queue.getters == tuple(threads)
    queue.put("a")
    threads[0].wait()
    queue.put("b")
    threads[1].wait()
    assert got == [(0, "a"), (1, "b")]
    queue.put("full")
    threads, _done = putters(queue, 2)
    hubs.get_hub().schedule_call_global(0, threads[0].switch)
    eventlet.sleep(0)
    eventlet.sleep(0)
    assert queue.putters == tuple(threads)
    assert [queue.get() for _ in range(3)] == ["full", 0, 1]


@pytest.mark.parametrize("cls", FIFO)
def test_putter_killed_while_waiting(cls):
    queue = cls(1)
    queue.put("first")
    threads, done = putters(queue, 3)
    threads[1].kill()
    assert [queue.get() for _ in range(3)] == ["first", 0, 2]
    threads[2].wait()
    assert done == [0, 2]
    assert queue.empty()


@pytest.mark.parametrize("cls", FIFO)
def test_putter_killed_after_its_item_moved_up(cls):
    queue = cls(1)
    queue.put("first")
    threads, done = putters(queue, 1)
    assert queue.get() == "first"
    threads[0].kill()
    assert done == []
    assert queue.get_nowait() == 0
    assert queue.empty()


@pytest.mark.parametrize("cls", FIFO)
def test_item_of_a_killed_putter_is_not_kept(cls):
    class Item:
        pass

    queue = cls(0)
    item = Item()
    seen = weakref.ref(item)
    thread = eventlet.spawn(queue.put, item)
    eventlet.sleep(0)
    thread.kill()
    del item, thread
    gc.collect()
    assert seen() is None
    assert queue.putting() == 0


@pytest.mark.parametrize("cls", FIFO)
def test_channel(cls):
    channel = cls(0)
    assert channel.full()
    assert channel.empty()
    with pytest.raises(Full):
        channel.put_nowait(1)
    with pytest.raises(Full):
        channel.put(1, timeout=0.001)
    threads, done = putters(channel, 2)
    assert done == []
    assert channel.get() == 0
    assert done == []
    assert channel.get_nowait() == 1
    for thread in threads:
        thread.wait()
    assert done == [0, 1]


@pytest.mark.parametrize("cls", FIFO)
def test_channel_put_returns_after_the_getter_has_the_item(cls):
    channel = cls(0)
    log = []
    thread = eventlet.spawn(lambda: log.append(channel.get()))
    eventlet.sleep(0)
    channel.put("x")
    log.append("put")
    assert log == ["x", "put"]
    thread.wait()


@pytest.mark.parametrize("cls", FIFO)
@pytest.mark.parametrize("block", [True, False])
def test_channel_put_when_the_getter_dies(cls, block):
    channel = cls(0)
    threads, got = getters(channel, 3)
    for thread in threads[:2]:
        hubs.get_hub().schedule_call_global(0, thread.throw)
    channel.put("x", block)
    threads[2].wait()
    assert got == [(2, "x")]


@pytest.mark.parametrize("cls", FIFO)
def test_channel_put_when_all_getters_die(cls):
    channel = cls(0)
    threads, _got = getters(channel, 3)
    for thread in threads:
        hubs.get_hub().schedule_call_global(0, thread.throw)
    with pytest.raises(Full):
        channel.put_nowait("x")
    assert channel.putting() == channel.getting() == 0
    threads, _got = getters(channel, 1)
    hubs.get_hub().schedule_call_global(0, threads[0].throw)
    thread = eventlet.spawn(channel.put, "y")
    eventlet.sleep(0)
    eventlet.sleep(0)
    assert channel.putting() == 1
    assert channel.get() == "y"
    thread.wait()


@pytest.mark.parametrize("cls", FIFO)
def test_in_the_hub(cls):
    results = []
    limited, channel = cls(1), cls(0)

    def tried(function, *args):
        try:
            results.append(function(*args))
        except Exception as error:
            results.append(type(error))

    def use():
        tried(limited.put, 1)
        tried(limited.put_nowait, 2)
        tried(limited.put, 2)
        tried(limited.get)
        tried(limited.get_nowait)
        tried(limited.get)
        tried(channel.put_nowait, 1)

    hubs.get_hub().schedule_call_global(0, use)
    eventlet.sleep(0)
    assert results == [None, Full, RuntimeError, 1, Empty, RuntimeError, Full]
    assert limited.getting() == limited.putting() == 0
    results.clear()
    threads, got = getters(channel, 2)
    hubs.get_hub().schedule_call_global(0, tried, channel.put_nowait, "x")
    threads[0].wait()
    assert (results, got) == ([None], [(0, "x")])
    threads[1].kill()
    results.clear()
    threads, done = putters(channel, 1)
    hubs.get_hub().schedule_call_global(0, tried, channel.get_nowait)
    eventlet.sleep(0)
    assert (results, done) == ([0], [0])


@pytest.mark.parametrize("cls", FIFO)
def test_channel_getter_killed_after_a_put_in_the_hub(cls):
    channel = cls(0)
    threads, got = getters(channel, 1)
    hub = hubs.get_hub()
    hub.schedule_call_global(0, channel.put_nowait, "x")
    hub.schedule_call_global(0, threads[0].throw)
    eventlet.sleep(0)
    eventlet.sleep(0)
    assert got == []
    assert channel.get_nowait() == "x"


@pytest.mark.parametrize("cls", FIFO)
@pytest.mark.parametrize("how", ["resize", "maxsize"])
def test_resize(cls, how):
    def resize(size):
        if how == "resize":
            queue.resize(size)
        else:
            queue.maxsize = size

    queue = cls(0)
    threads, done = putters(queue, 5)
    resize(1)
    assert queue.putting() == 4
    resize(3)
    assert queue.putting() == 2
    eventlet.sleep(0)
    assert done == [0, 1, 2]
    resize(1)
    assert list(queue.queue) == [0, 1, 2]
    assert queue.get() == 0
    assert queue.putting() == 2
    resize(None)
    assert queue.maxsize is None
    assert [queue.get() for _ in range(4)] == [1, 2, 3, 4]
    for thread in threads:
        thread.wait()


def test_lifo():
    queue = LifoQueue(3)
    for item in (1, 2, 3):
        queue.put(item)
    assert queue.full()
    assert queue.get() == 3
    assert queue.queue == [1, 2]
    queue.put(4)
    assert [queue.get() for _ in range(3)] == [4, 2, 1]


def test_priority():
    queue = PriorityQueue(3)
    for item in (3, 1, 2):
        queue.put(item)
    thread = eventlet.spawn(queue.put, 0)
    eventlet.sleep(0)
    assert [queue.get() for _ in range(4)] == [1, 0, 2, 3]
    thread.wait()
    threads, got = getters(queue, 1)
    for item in (3, 1, 2):
        queue.put(item)
    threads[0].wait()
    assert got == [(0, 1)]


def test_priority_of_what_cannot_be_compared():
    queue = PriorityQueue()
    queue.put((1, object))
    with pytest.raises(TypeError):
        queue.put((1, object()))
    assert queue.get() == (1, object)


@pytest.mark.parametrize("cls", [Queue, Hooked, LifoQueue, PriorityQueue, opened])
def test_tasks(cls):
    queue = cls()
    queue.join()
    queue.put(1)
    queue.put(2)
    assert queue.unfinished_tasks == 2
    joined = []
    joiners = [eventlet.spawn(lambda n=n: joined.append((n, queue.join()))) for n in range(2)]
    eventlet.sleep(0)
    queue.get()
    queue.get()
    eventlet.sleep(0)
    assert joined == []
    queue.task_done()
    queue.task_done()
    for joiner in joiners:
        joiner.wait()
    assert joined == [(0, None), (1, None)]
    with pytest.raises(ValueError):
        queue.task_done()
    queue.put(3)
    joiner = eventlet.spawn(queue.join)
    eventlet.sleep(0)
    joiner.kill()
    queue.unfinished_tasks = 0
    queue.join()


@pytest.mark.parametrize("cls", [Queue, Hooked, opened])
def test_tasks_of_a_channel(cls):
    queue = cls(0)
    thread = eventlet.spawn(queue.put, 1)
    assert queue.unfinished_tasks == 0
    assert queue.get() == 1
    assert queue.unfinished_tasks == 1
    queue.task_done()
    thread.wait()
    queue = cls(1)
    _threads, _ = putters(queue, 2)
    assert queue.unfinished_tasks == 1
    queue.get()
    assert queue.unfinished_tasks == 2
    queue.get()
    assert queue.unfinished_tasks == 2


def test_light_queue_has_no_tasks():
    for name in ("task_done", "join", "unfinished_tasks"):
        assert not hasattr(LightQueue(), name)


def test_the_attribute_queue_is_the_real_thing():
    queue = Queue(3)
    queue.put(1)
    queue.put(2)
    items = queue.queue
    assert items is queue.queue
    items.clear()
    assert queue.empty()
    with pytest.raises(Empty):
        queue.get_nowait()
    queue.put(3)
    items.append(4)
    assert queue.qsize() == 2
    queue.queue = collections.deque([7])
    assert queue.get() == 7


def test_a_getter_whose_item_was_taken_back_waits_on():
    queue = Queue()
    threads, got = getters(queue, 2)
    items = queue.queue
    queue.put("gone")
    items.clear()
    eventlet.sleep(0)
    eventlet.sleep(0)
    assert got == []
    assert queue.getters == tuple(threads)
    queue.put("a")
    queue.put("b")
    for thread in threads:
        thread.wait()
    assert got == [(0, "a"), (1, "b")]


def test_subclass_hooks():
    class Unique(Queue):
        """Forgets what it has already."""

        def __init__(self, tag, maxsize=None):
            super().__init__(maxsize)
            self.tag = tag

        def _put(self, item):
            if item not in self.queue:
                super()._put(item)

    queue = Unique("t", 10)
    assert queue.tag == "t"
    for item in (1, 1, 2):
        queue.put(item)
    assert queue.qsize() == 2
    assert queue.unfinished_tasks == 2
    assert [queue.get(), queue.get()] == [1, 2]
    thread = eventlet.spawn(queue.get)
    eventlet.sleep(0)
    queue.put(5)
    assert thread.wait() == 5

    class Heap(LightQueue):
        def _init(self, maxsize):
            assert maxsize == 2
            self.queue = []

        def _put(self, item):
            heapq.heappush(self.queue, item)

        def _get(self):
            return heapq.heappop(self.queue)

    heap = Heap(2)
    heap.put(2)
    heap.put(1)
    assert heap.full()
    assert heap.get() == 1


def test_subclass_with_a_store_of_its_own():
    class Sizes(LightQueue):
        def _init(self, maxsize):
            self.items = {}

        def qsize(self):
            return len(self.items)

        def _put(self, item):
            self.items[item] = None

        def _get(self):
            return self.items.popitem()[0]

    queue = Sizes(1)
    queue.put("a")
    assert queue.full()
    assert not queue.empty()
    with pytest.raises(Full):
        queue.put_nowait("b")
    assert queue.get() == "a"


def test_subclass_put_and_get_are_used():
    calls = []

    class Logged(Queue):
        def put(self, item, block=True, timeout=None):
            calls.append(("put", block))
            super().put(item, block, timeout)

        def get(self, block=True, timeout=None):
            calls.append(("get", block))
            return super().get(block, timeout)

    queue = Logged()
    queue.put_nowait(1)
    assert queue.get_nowait() == 1
    assert calls == [("put", False), ("get", False)]


def test_an_error_of_a_hook_is_raised():
    class Picky(Queue):
        def _put(self, item):
            if item is None:
                raise Stop
            super()._put(item)

    queue = Picky()
    with pytest.raises(Stop):
        queue.put(None)
    queue.put(1)
    assert queue.get() == 1


@pytest.mark.parametrize("cls", ALL)
def test_text_and_generic_alias(cls):
    queue = cls(2)
    assert str(queue) == f"<{cls.__name__} maxsize=2>"
    queue.put(1)
    items = queue.queue
    assert f"queue={items!r}" in repr(queue)
    assert repr(queue).startswith(f"<{cls.__name__} at {id(queue):#x} maxsize=2")
    assert cls[int] == types.GenericAlias(cls, int)
    queue.get()
    thread = eventlet.spawn(queue.get)
    eventlet.sleep(0)
    assert "getters[1]" in str(queue)
    thread.kill()


def test_cycles_are_collected():
    class Node:
        pass

    for cls in ALL:
        queue = cls()
        node = Node()
        node.queue = queue
        queue.put(node)
        seen = weakref.ref(node)
        del queue, node
        gc.collect()
        assert seen() is None, cls


def test_waiter():
    waiter = Waiter()
    assert not waiter
    assert not waiter.waiting
    thread = eventlet.spawn(waiter.wait)
    eventlet.sleep(0)
    assert waiter.waiting
    assert "waiting" in repr(waiter)
    with pytest.raises(AssertionError):
        waiter.switch(1)
    hubs.get_hub().schedule_call_global(0, waiter.switch, 5)
    assert thread.wait() == 5
    thread = eventlet.spawn(waiter.wait)
    eventlet.sleep(0)
    hubs.get_hub().schedule_call_global(0, waiter.throw, Stop)
    with pytest.raises(Stop):
        thread.wait()
    assert str(waiter) == "<Waiter greenlet=None>"
    assert ItemWaiter("x", True).item == "x"


def across(work_here, work_there):
    """Run the one here and the other in an OS thread with a hub of its own."""
    outcome = []

    def run():
        try:
            outcome.append(work_there())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        with eventlet.Timeout(30):
            result = work_here()
            while thread.is_alive():
                eventlet.sleep(0)
    finally:
        thread.join(10)
    return result, outcome[0]


@pytest.mark.parametrize("cls", FIFO)
@pytest.mark.parametrize("maxsize", [None, 0, 1, 3])
def test_across_os_threads(cls, maxsize):
    queue = cls(maxsize)
    count = 300

    def put():
        for item in range(count):
            queue.put(item)

    def get():
        return [queue.get() for _ in range(count)]

    assert across(put, get)[1] == list(range(count))
    assert across(get, put)[0] == list(range(count))


def test_many_on_both_sides_of_two_os_threads():
    queue = Queue(2)
    back = Queue()
    each, workers = 60, 3

    def run(first):
        def put(start):
            for item in range(start, start + each):
                queue.put(item)

        def get():
            for _ in range(each):
                back.put(queue.get())

        threads = []
        for number in range(workers):
            threads.append(eventlet.spawn(put, first + number * each))
            threads.append(eventlet.spawn(get))
        for thread in threads:
            thread.wait()

    across(lambda: run(0), lambda: run(workers * each))
    total = 2 * workers * each
    assert sorted(back.get_nowait() for _ in range(total)) == list(range(total))
    assert queue.empty()
    assert back.empty()
    assert queue.getting() == queue.putting() == 0


def test_an_os_thread_without_a_hub_may_wait():
    queue = Queue()
    assert across(lambda: queue.put("x"), queue.get) == (None, "x")


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("cls", FIFO)
def test_items_are_neither_lost_nor_doubled(cls, seed):
    rng = random.Random(seed)
    queue = cls(rng.choice([None, 0, 1, 2, 5]))
    numbers = iter(range(10**9))
    sent, maybe, received = [], [], []

    def put():
        while True:
            item = next(numbers)
            how = rng.random()
            # A put that is killed may have delivered its item; one that raises Full has not.
            maybe.append(item)
            try:
                if how < 0.2:
                    queue.put_nowait(item)
                elif how < 0.5:
                    queue.put(item, timeout=rng.choice([0, 0.0001]))
                else:
                    queue.put(item)
            except Full:
                maybe.remove(item)
            else:
                maybe.remove(item)
                sent.append(item)
            if rng.random() < 0.3:
                eventlet.sleep(0)

    def get():
        while True:
            how = rng.random()
            try:
                if how < 0.2:
                    item = queue.get_nowait()
                elif how < 0.5:
                    item = queue.get(timeout=rng.choice([0, 0.0001]))
                else:
                    item = queue.get()
            except Empty:
                eventlet.sleep(0)
            else:
                received.append(item)
                if rng.random() < 0.5:
                    eventlet.sleep(0)

    threads = [(kind, eventlet.spawn(kind)) for kind in [put, get] * 4]
    with eventlet.Timeout(30):
        for _ in range(300):
            eventlet.sleep(0)
            if rng.random() < 0.4:
                victim = rng.randrange(len(threads))
                kind, thread = threads[victim]
                thread.kill()
                threads[victim] = (kind, eventlet.spawn(kind))
            if rng.random() < 0.05 and queue.maxsize is not None:
                queue.resize(rng.randrange(5))
        for _, thread in threads:
            thread.kill()
        eventlet.sleep(0)
    while not queue.empty():
        received.append(queue.get_nowait())
    assert len(received) == len(set(received))
    assert set(sent) <= set(received)
    assert set(received) <= set(sent) | set(maybe)
    assert queue.getting() == queue.putting() == 0
