"""Queues of all kinds, and green threads that wait for them."""

import collections

import eventlet
from eventlet.queue import LifoQueue, LightQueue, PriorityQueue, Queue

#: What there is.
ALL = [LightQueue, Queue, LifoQueue, PriorityQueue]


class Stop(Exception):
    """What the tests raise on purpose."""


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


#: Several ways to the same behaviour.
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
