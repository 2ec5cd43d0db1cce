"""Greenlets that are not green threads, and what others do to green threads by hand."""

import greenlet
import pytest

import eventlet
from eventlet import hubs
from eventlet.event import Event
from support.green_threads import Failure

pytestmark = pytest.mark.usefixtures("limit")


def test_plain_greenlets_may_sleep():
    log = []
    done = Event()

    def plain(name):
        eventlet.sleep(0.001)
        log.append(name)
        if len(log) == 3:
            done.send()

    hub = hubs.get_hub()
    for name in "abc":
        hub.schedule_call_global(0, greenlet.greenlet(plain).switch, name)
    done.wait()
    assert sorted(log) == ["a", "b", "c"]


def test_plain_greenlet_that_sleeps_becomes_the_hubs_child():
    hub = hubs.get_hub()
    parents = Event()

    def plain():
        eventlet.sleep(0)
        parents.send(greenlet.getcurrent().parent)

    # Its parent is this one, which must not be resumed when it ends.
    raw = greenlet.greenlet(plain)
    assert raw.parent is greenlet.getcurrent()
    eventlet.spawn(raw.switch)
    assert parents.wait() is hub.greenlet


def test_exception_of_a_plain_greenlet_is_reported(hub, capsys):
    def plain():
        eventlet.sleep(0)
        raise Failure("in a plain greenlet")

    raw = greenlet.greenlet(plain)
    hub.schedule_call_global(0, raw.switch)
    eventlet.sleep(0)
    eventlet.sleep(0)
    eventlet.sleep(0)
    assert raw.dead
    assert "Failure: in a plain greenlet" in capsys.readouterr().err


def test_switching_into_a_parked_green_thread_ends_its_wait():
    # What it waited for may still happen, and must not reach its next wait.
    log = []

    def sleeper():
        eventlet.sleep(0.01)
        log.append("woken by hand")
        eventlet.sleep(0.05)
        log.append("slept")

    hub = hubs.get_hub()
    begun = hub.clock()
    green_thread = eventlet.spawn(sleeper)
    eventlet.sleep(0)
    hub.schedule_call_global(0, green_thread.switch)
    green_thread.wait()
    assert log == ["woken by hand", "slept"]
    assert hub.clock() - begun >= 0.05
