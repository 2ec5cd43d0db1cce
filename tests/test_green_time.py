"""eventlet.green.time."""

import time
from decimal import Decimal

import pytest

import eventlet
from eventlet import tpool
from eventlet.green import time as green_time


def test_sleep_lets_others_run():
    order = []

    def run(name):
        for _ in range(2):
            order.append(name)
            green_time.sleep(0)

    for green in [eventlet.spawn(run, name) for name in "ab"]:
        green.wait()
    assert order == ["a", "b", "a", "b"]


@pytest.mark.parametrize("seconds", [0.01, Decimal("0.01")])
def test_sleep_lasts_as_long_as_it_is_told(seconds):
    before = time.monotonic()
    green_time.sleep(seconds)
    assert time.monotonic() - before >= 0.01


@pytest.mark.parametrize(
    ("seconds", "error"),
    [(-1, ValueError), (-0.001, ValueError), (None, TypeError), ("1", TypeError)],
)
def test_sleep_refuses_what_the_standard_one_does(seconds, error):
    for sleep in (time.sleep, green_time.sleep):
        with pytest.raises(error):
            sleep(seconds)


def test_an_os_thread_without_green_threads_just_sleeps():
    def sleep():
        green_time.sleep(0.001)
        from eventlet._core import has_hub

        return has_hub()

    assert tpool.execute(sleep) is False
    tpool.killall()


def test_the_rest_is_the_standard_module():
    assert green_time.monotonic is time.monotonic
    assert green_time.__patched__ == ["sleep"]
    assert {name for name in dir(time) if not name.startswith("__")} <= {*dir(green_time)}


def test_the_hub_does_not_sleep(hub):
    outcome = eventlet.Event()

    def callback():
        green_time.sleep(0)
        try:
            green_time.sleep(1)
        except RuntimeError as error:
            outcome.send(str(error))

    hub.schedule_call_global(0, callback)
    assert outcome.wait() == "do not call blocking functions from the mainloop"
