"""Events: one value, or one exception, for everybody who waits."""

import gc
import sys
import threading
import weakref

import pytest

import eventlet
from eventlet import hubs
from eventlet.event import NOT_USED, Event


class Stop(Exception):
    pass


def waiters(event, count):
    got = []

    def wait(name):
        got.append((name, event.wait()))

    threads = [eventlet.spawn(wait, name) for name in range(count)]
    eventlet.sleep(0)
    return threads, got


def test_value():
    event = Event()
    assert not event.ready()
    assert not event.has_result()
    assert not event.has_exception()
    event.send("x")
    assert event.ready()
    assert event.has_result()
    assert event.wait() == "x"
    assert event.wait() == "x"
    assert event.poll() == event.poll_result() == "x"
    assert event.poll_exception("none") == "none"


def test_nothing_sent():
    event = Event()
    assert event.poll() is None
    assert event.poll("no") == event.poll_result("no") == event.poll_exception("no") == "no"
    assert repr(NOT_USED) == "NOT_USED"


def test_waiters_wake_in_order_and_send_does_not_switch():
    event = Event()
    threads, got = waiters(event, 5)
    assert event.waiting() == 5
    event.send(1)
    assert got == []
    for thread in threads:
        thread.wait()
    assert got == [(number, 1) for number in range(5)]


def test_sent_once_only():
    event = Event()
    event.send(1)
    with pytest.raises(AssertionError):
        event.send(2)
    with pytest.raises(AssertionError):
        event.send_exception(Stop())
    assert event.wait() == 1


@pytest.mark.parametrize(
    "send",
    [
        lambda event: event.send(exc=Stop("x")),
        lambda event: event.send(None, (Stop("x"),)),
        lambda event: event.send(exc=(Stop, "x")),
        lambda event: event.send_exception(Stop("x")),
        lambda event: event.send_exception(Stop, "x"),
        lambda event: event.send_exception(Stop, Stop("x"), None),
    ],
)
def test_exception(send):
    event = Event()

    def wait():
        with pytest.raises(Stop, match="x"):
            event.wait()

    thread = eventlet.spawn(wait)
    eventlet.sleep(0)
    send(event)
    thread.wait()
    assert event.has_exception()
    assert not event.has_result()
    assert event.ready()
    for ask in (event.wait, event.poll, event.poll_exception):
        with pytest.raises(Stop, match="x"):
            ask()
    assert event.poll_result("no") == "no"


def test_exception_with_its_traceback():
    event = Event()

    def origin():
        raise Stop

    try:
        origin()
    except Stop:
        event.send_exception(*sys.exc_info())
    with pytest.raises(Stop) as caught:
        event.wait()
    assert "origin" in [entry.name for entry in caught.traceback]


def test_timeout():
    event = Event()
    clock = hubs.get_hub().clock
    began = clock()
    assert event.wait(0.02) is None
    assert clock() - began >= 0.02
    assert event.wait(timeout=0) is None
    assert event.waiting() == 0
    event.send("late")
    assert event.wait(timeout=0) == "late"


def test_timeout_can_be_told_from_none():
    late = object()
    event = Event()
    assert event.wait(0.001, late) is late
    assert event.wait(timeout=0.001, timeout_value=late) is late
    eventlet.spawn(event.send, None)
    assert event.wait(10, late) is None


def test_reset():
    event = Event()
    with pytest.raises(AssertionError):
        event.reset()
    event.send(1)
    event.reset()
    assert not event.ready()
    event.send_exception(Stop())
    event.reset()
    assert event.wait(0.001) is None
    event.send(2)
    assert event.wait() == 2


def test_reset_before_the_waiters_have_run():
    event = Event()
    threads, got = waiters(event, 2)
    event.send("first")
    event.reset()
    event.send("second")
    for thread in threads:
        thread.wait()
    assert got == [(0, "first"), (1, "first")]
    assert event.wait() == "second"


def test_killed_while_waiting():
    event = Event()
    threads, got = waiters(event, 2)
    threads[0].kill()
    assert event.waiting() == 1
    event.send(1)
    threads[1].wait()
    assert got == [(1, 1)]


def test_killed_after_it_was_sent():
    event = Event()
    threads, got = waiters(event, 2)
    event.send(1)
    threads[0].kill()
    threads[1].wait()
    assert got == [(1, 1)]
    event.reset()
    assert event.wait(0.001, "late") == "late"


def test_resumed_by_a_stranger_waits_on():
    event = Event()
    threads, got = waiters(event, 1)
    hubs.get_hub().schedule_call_global(0, threads[0].switch)
    eventlet.sleep(0)
    eventlet.sleep(0)
    assert got == []
    event.send(1)
    threads[0].wait()


def test_in_the_hub():
    results = []
    event = Event()

    def use():
        try:
            event.wait()
        except RuntimeError as error:
            results.append(str(error))
        event.send(1)
        results.append(event.wait())

    hubs.get_hub().schedule_call_global(0, use)
    eventlet.sleep(0)
    assert results == ["do not call blocking functions from the mainloop", 1]
    assert event.waiting() == 0


def test_subclass():
    class Named(Event):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def send(self, result=None, exc=None):
            super().send((self.name, result), exc)

    event = Named("n")
    event.send(1)
    assert event.wait() == ("n", 1)
    assert weakref.ref(event)() is event


def test_text():
    event = Event()
    assert "not sent" in repr(event)
    event.send([1])
    assert "result=[1]" in repr(event)


def test_cycles_are_collected():
    event = Event()
    event.send([event])
    seen = weakref.ref(event)
    del event
    gc.collect()
    assert seen() is None


def test_across_os_threads():
    there, back = Event(), Event()

    def run():
        back.send(there.wait())

    thread = threading.Thread(target=run)
    thread.start()
    with eventlet.Timeout(10):
        there.send("x")
        assert back.wait() == "x"
    thread.join()


def test_waiters_of_two_os_threads():
    event = Event()
    got = []

    def run():
        threads = [eventlet.spawn(lambda: got.append(event.wait())) for _ in range(3)]
        for thread in threads:
            thread.wait()

    other = threading.Thread(target=run)
    other.start()
    with eventlet.Timeout(10):
        here = eventlet.spawn(run)
        while event.waiting() < 6:
            eventlet.sleep(0)
        event.send("x")
        here.wait()
        while other.is_alive():
            eventlet.sleep(0)
    assert got == ["x"] * 6
