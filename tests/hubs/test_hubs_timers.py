"""The timers of hubs."""

import time

import pytest

import eventlet
from eventlet.event import Event
from eventlet.hubs.hub import Timer
from support.hubs import Failure


def test_timer(hub):
    done = Event()
    timer = hub.schedule_call_global(0.01, done.send, 5)
    assert isinstance(timer, Timer)
    assert timer.pending
    assert not timer.called
    assert timer.seconds == 0.01
    assert timer.tpl == (done.send, (5,), {})
    assert 0 < timer.scheduled_time - hub.clock() <= 0.01
    before = hub.get_timers_count()
    assert done.wait() == 5
    assert hub.get_timers_count() == before - 1
    assert timer.called
    assert not timer.pending
    assert timer.tpl is None
    timer.cancel()
    timer()


def test_timers_fire_in_order_of_deadline_and_submission(hub):
    log = []
    for number in range(10):
        hub.schedule_call_global(0, log.append, number)
    hub.schedule_call_global(-1, log.append, 10)
    eventlet.sleep(0)
    assert log == list(range(11))
    log.clear()
    for number in (5, 3, 4, 1, 2):
        hub.schedule_call_global(number / 500, log.append, number)
    eventlet.sleep(0.015)
    assert log == [1, 2, 3, 4, 5]


def test_timer_of_nothing_runs_in_the_next_turn(hub):
    log = []

    def first():
        log.append("first")
        hub.schedule_call_global(0, log.append, "child")

    hub.schedule_call_global(0, first)
    eventlet.sleep(0)
    assert log == ["first"]
    eventlet.sleep(0)
    assert log == ["first", "child"]


def test_cancel(hub):
    log = []
    timers = [hub.schedule_call_global(seconds, log.append, seconds) for seconds in (0, 0.001)]
    count = hub.stats()["timers"]
    for timer in timers:
        timer.cancel()
        assert timer.called
        assert not timer.pending
    assert hub.stats()["timers"] == count - 1
    eventlet.sleep(0.005)
    assert log == []
    timers[0].cancel()


def test_cancel_from_another_timer_of_the_round(hub):
    log = []

    def first():
        log.append("first")
        second.cancel()

    hub.schedule_call_global(0, first)
    second = hub.schedule_call_global(0, log.append, "second")
    eventlet.sleep(0)
    assert log == ["first"]


def test_copy_and_schedule(hub):
    log = []
    timer = Timer(0.001, log.append, 1)
    eventlet.sleep(0.003)
    assert log == []
    assert timer.pending
    copy = timer.copy()
    assert copy is not timer
    assert copy.tpl == timer.tpl
    assert copy.seconds == timer.seconds
    assert timer.schedule() is not None
    assert hub.add_timer(copy) is not None
    eventlet.sleep(0.005)
    assert log == [1, 1]
    with pytest.raises((ValueError, AttributeError)):
        timer.copy()


def test_timer_called_by_hand(hub):
    log = []
    timer = hub.schedule_call_global(0.001, log.append, 1)
    timer()
    assert log == [1]
    assert timer.called
    eventlet.sleep(0.003)
    assert log == [1]


def test_timer_scheduled_twice_fires_once(hub):
    log = []
    timer = Timer(0.001, log.append, 1)
    timer.schedule()
    timer.schedule()
    eventlet.sleep(0.005)
    assert log == [1]
    timer = Timer(10, log.append, 2)
    before = hub.stats()["timers"]
    timer.schedule()
    timer.schedule()
    timer.cancel()
    assert hub.stats()["timers"] == before


def test_timer_of_the_program(hub):
    class Mine:
        seconds = 0.001
        called = False

        def __call__(self):
            done.send("mine")

    done = Event()
    hub.add_timer(Mine())
    assert done.wait() == "mine"
    with pytest.raises(TypeError):
        hub.add_timer(object())
    with pytest.raises(AttributeError):
        hub.add_timer(print)


def test_timers_compare(hub):
    timers = [Timer(1, print), Timer(1, print)]
    assert timers[0] < timers[1] or timers[1] < timers[0]
    assert repr(timers[0]).startswith("Timer(1, (<built-in function print>")


def test_local_timer(hub):
    log = []
    hold = Event()

    def owner(hold):
        hub.schedule_call_local(0.002, log.append, "local")
        hub.schedule_call_global(0.002, log.append, "global")
        if hold is not None:
            hold.wait()

    eventlet.spawn(owner, None).wait()
    eventlet.sleep(0.01)
    assert log == ["global"]
    log.clear()
    eventlet.spawn(owner, hold)
    eventlet.sleep(0.01)
    assert log == ["local", "global"]
    hold.send()


def test_timer_that_raises(hub, capsys):
    def fail():
        raise Failure("in a timer")

    log = []
    hub.schedule_call_global(0, fail)
    hub.schedule_call_global(0, log.append, 1)
    eventlet.sleep(0)
    assert log == [1]
    assert "Failure: in a timer" in capsys.readouterr().err
    hub.debug_exceptions = False
    hub.schedule_call_global(0, fail)
    eventlet.sleep(0)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_timer_that_ends_the_program(hub, kind):
    def leave():
        raise kind

    hub.schedule_call_global(0, leave)
    with pytest.raises(kind):
        eventlet.sleep(10)
    eventlet.sleep(0)


def test_timer_for_a_dead_greenlet(hub, capsys):
    green_thread = eventlet.spawn(int)
    green_thread.wait()
    hub.schedule_call_global(0, green_thread.switch)
    eventlet.sleep(0.001)
    assert capsys.readouterr().err == ""


def test_blocking_in_a_timer_is_refused(hub, capsys):
    log = []

    def block():
        eventlet.sleep(0)
        log.append("sleep(0) does nothing")
        eventlet.sleep(0.1)
        log.append("not reached")

    hub.schedule_call_global(0, block)
    eventlet.sleep(0)
    assert log == ["sleep(0) does nothing"]
    assert "do not call blocking functions from the mainloop" in capsys.readouterr().err


def test_ten_thousand_timers(hub):
    log = []
    timers = [hub.schedule_call_global(n % 97 / 10_000, log.append, n) for n in range(10_000)]
    for timer in timers[::2]:
        timer.cancel()
    eventlet.sleep(0.05)
    assert sorted(log) == list(range(1, 10_000, 2))
    assert [number for number in log if number % 97 == 50] == sorted(
        number for number in log if number % 97 == 50
    )


@pytest.mark.parametrize("seconds", [0.0005, 0.001, 0.0123, 0.05])
def test_sleep_is_never_early_and_hardly_late(hub, seconds):
    # The best of several: the machine may have other things to do.
    for _ in range(100):
        begun = time.monotonic()
        eventlet.sleep(seconds)
        late = time.monotonic() - begun - seconds
        assert late >= 0
        if late < 0.005:
            break
    assert late < 0.005


@pytest.mark.parametrize("seconds", [1e10, 1e300, float("inf")])
def test_sleep_for_ever(hub, seconds):
    with pytest.raises(Failure), eventlet.Timeout(0.005, Failure):
        eventlet.sleep(seconds)
    assert hub.stats()["timers"] == 1


@pytest.mark.parametrize("seconds", [-1, 0, 0.0, float("-inf"), float("nan"), True])
def test_sleep_that_is_short(hub, seconds):
    log = []
    eventlet.spawn(log.append, 1)
    if seconds is True:
        seconds = False
    eventlet.sleep(seconds)
    assert log == [1]


def test_sleep_of_nonsense(hub):
    for wrong in ("1", None, object()):
        with pytest.raises(TypeError):
            eventlet.sleep(wrong)
