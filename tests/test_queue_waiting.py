"""Queues: who waits to get or to put is served in order, once, and may be killed at any time."""

import gc
import random
import weakref

import pytest

import eventlet
from eventlet import hubs
from eventlet.queue import Empty, Full, ItemWaiter, Queue, Waiter
from support.queues import FIFO, Stop, getters, putters


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
