"""eventlet.green.Queue: the standard queues between green threads."""

import queue

import pytest

import eventlet
from eventlet.green import Queue

KINDS = ["Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_getter_waits_for_a_putter(kind):
    made = getattr(Queue, kind)()
    getter = eventlet.spawn(made.get)
    eventlet.sleep(0)
    made.put(1)
    assert getter.wait() == 1
    assert made.empty()


@pytest.mark.parametrize("kind", KINDS)
def test_timeouts(kind):
    made = getattr(Queue, kind)()
    with pytest.raises(queue.Empty):
        made.get(timeout=0.001)
    with pytest.raises(Queue.Empty):
        made.get_nowait()


@pytest.mark.parametrize("kind", KINDS[:3])
def test_size_zero_is_no_limit(kind):
    made = getattr(Queue, kind)(0)
    for number in range(10):
        made.put_nowait(number)
    assert made.qsize() == 10


def test_a_putter_waits_for_room():
    made = Queue.Queue(1)
    done = []

    def put():
        for number in range(3):
            made.put(number)
            done.append(number)

    putter = eventlet.spawn(put)
    eventlet.sleep(0)
    assert done == [0]
    with pytest.raises(Queue.Full):
        made.put(9, timeout=0.001)
    assert [made.get() for _ in range(3)] == [0, 1, 2]
    putter.wait()


def test_join():
    made = Queue.Queue()
    made.put(1)
    waiter = eventlet.spawn(made.join)
    eventlet.sleep(0)
    assert not waiter.dead
    made.get()
    made.task_done()
    waiter.wait()


def test_the_standard_module_is_left_alone():
    assert Queue.Queue is not queue.Queue
    assert Queue.Queue(1).__class__.__name__ == "Queue"
    assert Queue.Empty is queue.Empty
    assert {*Queue.__all__} == {*queue.__all__}
    assert {*queue.__all__} <= {*dir(Queue)}
    with pytest.raises(AttributeError):
        Queue.nothing  # noqa: B018


def test_after_patching_there_is_one_of_each(run_python):
    run_python(
        """
import queue
before = queue.Queue
from eventlet import monkey_patch, spawn
from eventlet.green import Queue
monkey_patch()
assert Queue.Queue is queue.Queue is before
assert Queue.SimpleQueue is queue.SimpleQueue
made = queue.SimpleQueue()
getter = spawn(made.get)
made.put(1)
assert getter.wait() == 1
"""
    )
