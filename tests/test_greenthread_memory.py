"""Green threads leave nothing behind: what they and their outcomes hold is freed."""

import gc
import weakref

import pytest

import eventlet
from eventlet.event import Event
from support.green_threads import Failure

pytestmark = pytest.mark.usefixtures("limit")


class Marker:
    """Something that can be referenced weakly."""


def collected(reference):
    """Whether an object is gone, after the hub has forgotten it and the collector has been."""
    eventlet.sleep(0)
    eventlet.sleep(0)
    gc.collect()
    return reference() is None


@pytest.mark.parametrize("start", [eventlet.spawn, eventlet.spawn_n])
def test_finished_green_threads_are_freed_without_the_collector(start):
    gc.disable()
    try:
        marker = Marker()
        gone = [weakref.ref(marker), weakref.ref(start(lambda _: None, marker))]
        del marker
        eventlet.sleep(0)
        assert [reference() for reference in gone] == [None, None]
    finally:
        gc.enable()


def test_finished_green_thread_keeps_only_its_result():
    marker, result = Marker(), Marker()
    gone, kept = weakref.ref(marker), weakref.ref(result)
    green_thread = eventlet.spawn(lambda _, returned: returned, marker, result)
    del marker, result
    green_thread.wait()
    assert gone() is None
    assert kept() is green_thread.wait()
    del green_thread
    assert collected(kept)


def test_killed_before_the_start_drops_its_call():
    marker = Marker()
    gone = weakref.ref(marker)
    green_thread = eventlet.spawn_after(60, print, marker)
    del marker
    green_thread.kill()
    assert gone() is None


def test_link_cycle_is_collected():
    green_thread = eventlet.spawn_after(60, int)
    green_thread.link(lambda _, other: None, green_thread)
    green_thread.kill()
    green_thread.itself = green_thread
    gone = weakref.ref(green_thread)
    del green_thread
    assert collected(gone)


def test_result_cycle_is_collected():
    holder = Marker()
    gone = weakref.ref(holder)
    holder.green_thread = eventlet.spawn(lambda held: held, holder)
    holder.green_thread.wait()
    del holder
    assert collected(gone)


def test_exception_cycle_is_collected(quiet):
    def wait_for_failure():
        def fail():
            raise Failure

        # The traceback of what is raised here refers to this frame, and so to the green thread.
        green_thread = eventlet.spawn(fail)
        green_thread.marker = Marker()
        try:
            green_thread.wait()
        except Failure:
            return weakref.ref(green_thread.marker)

    assert collected(wait_for_failure())


def test_timer_and_event_cycles_are_collected(hub):
    marker = Marker()
    marker.timer = hub.schedule_call_global(60, print, marker)
    marker.timer.cancel()
    marker.event = Event()
    marker.event.send(marker)
    marker.failed = Event()
    marker.failed.send(exc=(Failure, marker))
    marker.unscheduled = type(marker.timer)(60, print, marker)
    gone = weakref.ref(marker)
    del marker
    assert collected(gone)


def test_many_green_threads_leave_nothing(hub):
    def work(number):
        eventlet.sleep(0)
        return number

    def batch():
        return sum(each.wait() for each in [eventlet.spawn(work, n) for n in range(1000)])

    batch()
    gc.collect()
    before = len(gc.get_objects())
    parked = hub.stats()["parked"]
    for _ in range(5):
        assert batch() == 499_500
    gc.collect()
    assert len(gc.get_objects()) < before + 100
    assert hub.stats()["parked"] == parked
