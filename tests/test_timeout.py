"""Time limits."""

import gc
import weakref

import pytest

import eventlet
from eventlet import timeout
from eventlet.event import Event
from eventlet.timeout import Timeout, is_timeout, with_timeout, wrap_is_timeout


class Failure(Exception):
    """What the tests raise on purpose."""


@pytest.fixture(autouse=True)
def limit(hub):
    """A limit for the tests of limits: not itself one of those."""
    guard = hub.schedule_call_global(20, eventlet.getcurrent().throw, Failure("hangs"))
    yield
    guard.cancel()


@pytest.fixture
def live_timers(hub):
    """How many timers have been added since the test began."""
    before = hub.stats()["timers"]
    return lambda: hub.stats()["timers"] - before


# ------------------------------------------------------------------------------------------------
# What is raised


def test_raises_itself(hub):
    limit = Timeout(0.01)
    begun = hub.clock()
    with pytest.raises(Timeout) as caught:
        eventlet.sleep(10)
    assert caught.value is limit
    assert 0.01 <= hub.clock() - begun < 1


def test_is_no_exception():
    assert issubclass(Timeout, BaseException)
    assert not issubclass(Timeout, Exception)


@pytest.mark.parametrize("seconds", [0, 0.0, -1, 0.001])
def test_short_limits(seconds):
    with pytest.raises(Timeout), Timeout(seconds):
        eventlet.sleep(10)


def test_does_not_raise_before_the_green_thread_gives_way():
    limit = Timeout(0)
    log = ["still here"]
    with pytest.raises(Timeout):
        eventlet.sleep(0)
    assert log == ["still here"]
    assert not limit.pending


def test_none_never_expires(live_timers):
    limit = Timeout()
    assert live_timers() == 0
    assert not limit.pending
    eventlet.sleep(0.005)
    limit.cancel()
    with Timeout(None) as limit:
        assert not limit.pending
        eventlet.sleep(0.005)


def test_given_instance():
    failure = Failure(1)
    with pytest.raises(Failure) as caught, Timeout(0.001, failure):
        eventlet.sleep(10)
    assert caught.value is failure


def test_given_class():
    with pytest.raises(Failure) as caught, Timeout(0.001, Failure):
        eventlet.sleep(10)
    assert caught.value.args == ()


def test_true_is_as_good_as_none():
    with pytest.raises(Timeout) as caught, Timeout(0.001, True) as limit:
        eventlet.sleep(10)
    assert caught.value is limit


def test_false_is_silent():
    log = []
    with Timeout(0.001, False):
        log.append("before")
        eventlet.sleep(10)
        log.append("after")
    assert log == ["before"]


def test_false_is_silent_about_itself_only():
    with pytest.raises(Failure), Timeout(10, False):
        raise Failure
    with pytest.raises(Timeout) as caught, Timeout(10, False), Timeout(0.001) as inner:
        eventlet.sleep(10)
    assert caught.value is inner


def test_silent_outside_of_a_block_raises_itself():
    limit = Timeout(0.001, False)
    with pytest.raises(Timeout) as caught:
        eventlet.sleep(10)
    assert caught.value is limit


# ------------------------------------------------------------------------------------------------
# Blocks


def test_block_that_ends_in_time(live_timers):
    with Timeout(10) as limit:
        assert limit.pending
        assert live_timers() == 1
        eventlet.sleep(0)
    assert not limit.pending
    assert live_timers() == 0


def test_block_that_raises_something_else(live_timers):
    with pytest.raises(Failure), Timeout(10):
        raise Failure
    assert live_timers() == 0


@pytest.mark.parametrize("outer_first", [True, False])
def test_nested(outer_first, live_timers):
    outer, inner = Timeout(0.005 if outer_first else 10), Timeout(10 if outer_first else 0.005)
    with pytest.raises(Timeout) as caught, outer, inner:
        eventlet.sleep(20)
    assert caught.value is (outer if outer_first else inner)
    assert live_timers() == 0


def test_inner_one_caught_and_outer_one_still_runs():
    with pytest.raises(Timeout) as caught, Timeout(0.02) as outer:  # noqa: PT012
        with pytest.raises(Timeout) as inner_caught, Timeout(0.001) as inner:
            eventlet.sleep(10)
        assert inner_caught.value is inner
        assert outer.pending
        eventlet.sleep(10)
    assert caught.value is outer


def test_block_may_be_entered_again(live_timers):
    limit = Timeout(0.001, False)
    for _ in range(3):
        with limit:
            assert limit.pending
            eventlet.sleep(10)
            pytest.fail("did not expire")
        assert not limit.pending
    assert live_timers() == 0


# ------------------------------------------------------------------------------------------------
# start, cancel, pending


def test_cancel(live_timers):
    limit = Timeout(0.001)
    assert limit.pending
    limit.cancel()
    assert not limit.pending
    assert limit.timer is None
    assert live_timers() == 0
    limit.cancel()
    eventlet.sleep(0.005)


def test_cancel_when_it_is_due():
    # It is in the round already, behind the one that cancels it.
    limit = Timeout(0)
    eventlet.getcurrent()
    eventlet.spawn_n(limit.cancel)
    another = Timeout(0)
    with pytest.raises(Timeout):
        eventlet.sleep(0)
    another.cancel()

    waiter = Event()
    cancelled = []

    def limited():
        mine = Timeout(0)
        cancelled.append(mine)
        return waiter.wait(0.02)

    def canceller():
        cancelled[0].cancel()

    green_thread = eventlet.spawn(limited)
    eventlet.spawn_n(canceller)
    assert green_thread.wait() is None


def test_start_twice():
    limit = Timeout(10)
    with pytest.raises(AssertionError, match="already started"):
        limit.start()
    limit.cancel()
    limit.start()
    assert limit.pending
    limit.cancel()


def test_start_again_after_it_has_expired():
    limit = Timeout(0.001)
    for _ in range(3):
        with pytest.raises(Timeout) as caught:
            eventlet.sleep(10)
        assert caught.value is limit
        assert not limit.pending
        limit.start()
    limit.cancel()


def test_in_its_own_green_thread_only():
    def limited():
        with pytest.raises(Timeout), Timeout(0.001):
            eventlet.sleep(10)
        return "limited"

    green_thread = eventlet.spawn(limited)
    eventlet.sleep(0.005)
    assert green_thread.wait() == "limited"


def test_of_a_green_thread_that_has_ended():
    limits = []
    eventlet.spawn(lambda: limits.append(Timeout(0.001))).wait()
    eventlet.sleep(0.005)
    assert not limits[0].pending


def test_green_thread_that_is_ready_when_it_expires():
    # The event was sent before the limit fired, but its waiter has not run: the limit comes
    # first in the round. The wake-up that is left over must not end the next wait.
    event = Event()
    log = []

    def limited():
        limit = Timeout(0.002)
        try:
            log.append(event.wait())
        except Timeout as error:
            log.append(error is limit)
        begun = hub.clock()
        eventlet.sleep(0.01)
        log.append(hub.clock() - begun >= 0.01)

    hub = eventlet.hubs.get_hub()
    green_thread = eventlet.spawn(limited)
    eventlet.sleep(0)
    until = hub.clock() + 0.004
    while hub.clock() < until:
        pass
    event.send("too late")
    green_thread.wait()
    assert log == [True, True]


def test_equal_limits_expire_in_the_order_they_were_set():
    log = []

    def limited(number):
        try:
            with Timeout(0):
                eventlet.sleep(10)
        except Timeout:
            log.append(number)

    green_threads = [eventlet.spawn(limited, number) for number in range(20)]
    for green_thread in green_threads:
        green_thread.wait()
    assert log == list(range(20))


def test_many_limits_in_time_leave_no_timer(live_timers):
    def limited():
        with Timeout(60):
            eventlet.sleep(0)

    green_threads = [eventlet.spawn(limited) for _ in range(500)]
    eventlet.sleep(0)
    assert live_timers() == 500
    for green_thread in green_threads:
        green_thread.wait()
    assert live_timers() == 0


def test_of_a_killed_green_thread_is_cancelled_by_its_block(live_timers):
    def limited():
        with Timeout(60):
            eventlet.sleep(60)

    green_thread = eventlet.spawn(limited)
    eventlet.sleep(0)
    assert live_timers() == 2
    green_thread.kill()
    assert live_timers() == 0


def test_is_collected_with_its_traceback():
    def expire():
        limit = Timeout(0.001)
        with pytest.raises(Timeout):
            eventlet.sleep(10)
        limit.itself = limit
        return weakref.ref(limit)

    reference = expire()
    eventlet.sleep(0)
    gc.collect()
    assert reference() is None


# ------------------------------------------------------------------------------------------------
# Text, subclasses


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), ""),
        ((1,), "1 second"),
        ((2,), "2 seconds"),
        ((0.5,), "0.5 seconds"),
        ((5, False), "5 seconds (silent)"),
        ((5, True), "5 seconds"),
        ((5, Failure("no")), "5 seconds (no)"),
        ((1, Failure("no")), "1 second (no)"),
    ],
)
def test_str(arguments, text):
    limit = Timeout(*arguments)
    limit.cancel()
    assert str(limit) == text


def test_repr():
    limit = Timeout(10)
    assert repr(limit) == f"<Timeout at {hex(id(limit))} seconds=10 pending>"
    limit.cancel()
    assert repr(limit) == f"<Timeout at {hex(id(limit))} seconds=10>"
    limit = Timeout(10, ValueError)
    assert repr(limit).endswith(f" seconds=10 exception={ValueError!r} pending>")
    limit.cancel()


def test_attributes():
    failure = Failure()
    limit = Timeout(3, failure)
    assert (limit.seconds, limit.exception, limit.is_timeout) == (3, failure, True)
    assert limit.timer.seconds == 3
    limit.cancel()
    limit = Timeout(exception=Failure, seconds=None)
    assert (limit.seconds, limit.exception) == (None, Failure)


class MessageTimeout(Timeout):
    """Calls the constructor and str() of its parent by name, as programs do."""

    def __init__(self, seconds=None, msg=None):
        Timeout.__init__(self, seconds=seconds)
        self.msg = msg

    def __str__(self):
        return f"{Timeout.__str__(self)}: {self.msg}"


def test_subclass():
    with pytest.raises(MessageTimeout, match=r"0\.001 seconds: too slow") as caught:
        with MessageTimeout(0.001, "too slow"):
            eventlet.sleep(10)
    assert repr(caught.value).startswith("<MessageTimeout at ")
    assert is_timeout(caught.value)


# ------------------------------------------------------------------------------------------------
# Functions


def test_with_timeout_in_time(live_timers):
    assert with_timeout(10, divmod, 7, 2) == (3, 1)
    assert with_timeout(10, dict, a=1, timeout_value=5) == {"a": 1}
    assert with_timeout(None, int, "3") == 3
    assert live_timers() == 0


def test_with_timeout_expired(live_timers):
    with pytest.raises(Timeout):
        with_timeout(0.001, eventlet.sleep, 10)
    assert with_timeout(0.001, eventlet.sleep, 10, timeout_value="late") == "late"
    assert with_timeout(0.001, eventlet.sleep, 10, timeout_value=None) is None
    assert live_timers() == 0


def test_with_timeout_lets_other_exceptions_pass(live_timers):
    with pytest.raises(ZeroDivisionError):
        with_timeout(10, divmod, 1, 0, timeout_value=1)
    # Another limit is another exception.
    with pytest.raises(Timeout) as caught, Timeout(0.001) as outer:
        with_timeout(10, eventlet.sleep, 20, timeout_value="inner")
    assert caught.value is outer
    assert live_timers() == 0


def test_is_timeout():
    limit = Timeout()
    assert is_timeout(limit)
    assert is_timeout(TimeoutError())
    assert not is_timeout(Failure())
    assert not is_timeout(None)


def test_wrap_is_timeout_class():
    @wrap_is_timeout
    class Late(Exception):
        """Marked."""

    assert Late.__name__ == "Late"
    assert Late().is_timeout
    assert is_timeout(Late())


def test_wrap_is_timeout_function():
    @wrap_is_timeout
    def make(text, *, number):
        """Make one."""
        return Failure(text, number)

    made = make("a", number=1)
    assert is_timeout(made)
    assert made.args == ("a", 1)
    assert make.__doc__ == "Make one."
    assert not is_timeout(Failure())


def test_names():
    assert eventlet.Timeout is timeout.Timeout
    for name in ("with_timeout", "wrap_is_timeout", "is_timeout"):
        assert getattr(eventlet, name) is getattr(timeout, name)
