"""`eventlet.wait` and `iwait`."""

import threading
import time

import pytest

import eventlet
from eventlet.event import Event
from eventlet.lock import Lock
from eventlet.queue import LightQueue, Queue
from eventlet.semaphore import CappedSemaphore, Semaphore


def test_in_the_order_in_which_they_become_ready():
    slow = eventlet.spawn(eventlet.sleep, 0.01)
    fast = eventlet.spawn(eventlet.sleep, 0.001)
    failed = eventlet.spawn_after(0.005, event_that_fails().wait)
    failed.link(lambda _: None)
    assert eventlet.wait([slow, fast, failed]) == [fast, failed, slow]


def event_that_fails():
    event = Event()
    event.send(exc=KeyError)
    return event


def test_what_is_ready_already():
    event, lock, queue = Event(), Lock(), Queue()
    event.send(None)
    queue.put(None)
    ended = eventlet.spawn(int)
    ended.wait()
    killed = eventlet.spawn(int)
    killed.kill()
    everything = [event, lock, queue, ended, killed]
    assert eventlet.wait(everything) == everything
    assert eventlet.wait(everything, timeout=0) == everything
    assert not lock.locked()
    assert queue.qsize() == 1


def test_a_semaphore_with_a_limit():
    free, full = CappedSemaphore(1, 2), CappedSemaphore(0, 2)
    assert eventlet.wait([free, full], timeout=0) == [free]
    eventlet.spawn(full.release)
    assert eventlet.wait([full]) == [full]
    assert not full.locked()
    # Its units are what is waited for, not its room.
    full.acquire()
    eventlet.spawn(full.acquire)
    eventlet.sleep(0)
    assert eventlet.wait([full], timeout=0) == []
    full.release()


def test_nothing():
    assert eventlet.wait([]) == []
    assert eventlet.wait([Event()], count=0) == []


def test_the_same_twice():
    event = Event()
    event.send()
    assert eventlet.wait([event, event]) == [event]


def test_count():
    events = [Event() for _ in range(4)]
    eventlet.spawn(events[2].send)
    eventlet.spawn(events[0].send)
    eventlet.spawn(events[3].send)
    assert eventlet.wait(events, count=2) == [events[2], events[0]]


def test_timeout():
    events = [Event(), Event()]
    events[1].send()
    started = time.monotonic()
    assert eventlet.wait(events, timeout=0.02) == [events[1]]
    assert 0.02 <= time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("target", "make_ready"),
    [
        (Event(), lambda event: event.send()),
        (Semaphore(0), lambda semaphore: semaphore.release()),
        (Semaphore(0), lambda semaphore: setattr(semaphore, "counter", 1)),
        (LightQueue(), lambda queue: queue.put(1)),
        (Queue(1), lambda queue: queue.put(1)),
        (Queue(0), lambda queue: eventlet.spawn(queue.put, 1)),
    ],
)
def test_each_kind(target, make_ready):
    waiting = eventlet.spawn(eventlet.wait, [target])
    eventlet.sleep(0.001)
    assert not waiting.dead
    make_ready(target)
    assert waiting.wait() == [target]


def test_somebody_else_was_faster():
    semaphore = Semaphore(0)
    waiting = eventlet.spawn(eventlet.wait, [semaphore])
    eventlet.sleep(0)
    semaphore.release()
    assert semaphore.acquire(blocking=False)
    eventlet.sleep(0.001)
    assert not waiting.dead
    semaphore.release()
    assert waiting.wait() == [semaphore]


def test_from_another_os_thread():
    event, queue = Event(), Queue()
    thread = threading.Timer(0.005, lambda: (queue.put(1), event.send()))
    thread.start()
    assert eventlet.wait([event, queue]) == [queue, event]
    thread.join()


def test_iwait_may_be_left():
    events = [Event() for _ in range(3)]
    for event in events[1:]:
        eventlet.spawn(event.send)
    for found in eventlet.iwait(events):
        assert found is events[1]
        break
    events[0].send()
    assert eventlet.wait(events) == events


def test_killed_while_waiting():
    threads = [eventlet.spawn(Event().wait) for _ in range(2)]
    waiting = eventlet.spawn(eventlet.wait, threads)
    eventlet.sleep(0)
    waiting.kill()
    for thread in threads:
        thread.kill()
    assert waiting.dead


def test_many():
    threads = [eventlet.spawn(eventlet.sleep, 0.001) for _ in range(5000)]
    assert len(eventlet.wait(threads)) == 5000


@pytest.mark.parametrize("thing", [None, 5, "event", object()])
def test_other_kinds(thing):
    with pytest.raises(TypeError, match="can be waited for"):
        eventlet.wait([thing])
    with pytest.raises(TypeError, match="can be waited for"):
        eventlet.iwait([thing])
