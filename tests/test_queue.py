"""Queues: what goes in comes out, in the order of its kind; limits, tasks, subclasses."""

import collections
import gc
import heapq
import queue as standard
import types
import weakref

import pytest

import eventlet
from eventlet import hubs
from eventlet.queue import Empty, Full, LifoQueue, LightQueue, PriorityQueue, Queue
from support.queues import ALL, FIFO, Hooked, Stop, getters, opened, putters


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
