"""The rounds of hubs, and the hub's own greenlet."""

import contextlib
import socket
import time
import weakref

import greenlet
import pytest

import eventlet
from eventlet.event import Event
from eventlet.hubs import trampoline
from eventlet.hubs.hub import Timer
from support.hubs import Failure, no_tb

# ------------------------------------------------------------------------------------------------
# Rounds


def test_busy_green_threads_starve_nobody(hub, pair):
    left, right = pair
    stop, seen = [], []

    def busy():
        while not stop:
            eventlet.sleep(0)

    def reader():
        for _ in range(20):
            trampoline(left, read=True)
            seen.append(left.recv(1))

    for _ in range(5):
        eventlet.spawn(busy)
    read = eventlet.spawn(reader)
    turns = hub.stats()["turns"]
    for number in range(20):
        right.send(bytes([number]))
        eventlet.sleep(0)
        eventlet.sleep(0)
    read.wait()
    assert hub.stats()["turns"] - turns < 200
    begun = hub.clock()
    eventlet.sleep(0.01)
    assert hub.clock() - begun < 1
    stop.append(True)
    assert seen == [bytes([number]) for number in range(20)]


def test_busy_descriptors_starve_nobody(hub, pair):
    left, right = pair
    right.send(b"x")
    # Always ready, as nobody reads.
    calls = []
    listener = hub.add(hub.READ, left.fileno(), calls.append, no_tb)
    begun = hub.clock()
    eventlet.sleep(0.005)
    assert hub.clock() - begun < 1
    for _ in range(10):
        eventlet.sleep(0)
    fired = Event()
    hub.schedule_call_global(0, fired.send)
    fired.wait()
    assert eventlet.spawn(int).wait() == 0
    hub.remove(listener)
    assert len(calls) > 5


def test_busy_timers_starve_nobody(hub, pair):
    left, right = pair
    stop = []

    def again():
        if not stop:
            hub.schedule_call_global(0, again)

    again()
    eventlet.spawn_after(0.002, right.send, b"x")
    assert trampoline(left, read=True, timeout=5)
    for _ in range(10):
        eventlet.sleep(0)
    stop.append(True)


def test_sleepers_take_turns(hub):
    log = []

    def worker(name):
        for _ in range(3):
            log.append(name)
            eventlet.sleep(0)

    workers = [eventlet.spawn(worker, name) for name in "abc"]
    for each in workers:
        each.wait()
    assert "".join(log) == "abcabcabc"


def test_stats_balance(hub):
    def work():
        eventlet.sleep(0)
        eventlet.sleep(0.001)

    start = hub.stats()
    green_threads = [eventlet.spawn(work) for _ in range(100)]
    for _ in range(100):
        eventlet.spawn_n(work)
    eventlet.sleep(0)
    middle = hub.stats()
    assert middle["spawned"] - start["spawned"] == 200
    assert middle["green_threads"] - start["green_threads"] == 200
    assert middle["parked"] == 200
    for green_thread in green_threads:
        green_thread.wait()
    green_threads = [eventlet.spawn(work) for _ in range(10)]
    for green_thread in green_threads[:5]:
        green_thread.kill()
    for green_thread in green_threads[5:]:
        green_thread.wait()
    eventlet.sleep(0.005)
    end = hub.stats()
    assert end["spawned"] - start["spawned"] == 210
    for key in ("green_threads", "parked", "timers", "queued"):
        assert end[key] == start[key], key
    for key in ("turns", "polls", "switches"):
        assert end[key] > middle[key] > start[key]


def test_clock(hub):
    before = time.monotonic()
    assert before <= hub.clock() <= time.monotonic()


# ------------------------------------------------------------------------------------------------
# The hub's greenlet


def test_switch_returns_what_is_passed(hub):
    me = eventlet.getcurrent()
    hub.schedule_call_global(0, me.switch, 5)
    assert hub.switch() == 5
    hub.schedule_call_global(0, me.throw, Failure)
    with pytest.raises(Failure):
        hub.switch()


def test_switch_in_the_hub_is_refused(hub, capsys):
    hub.schedule_call_global(0, hub.switch)
    eventlet.sleep(0)
    assert "Cannot switch to MAINLOOP from MAINLOOP" in capsys.readouterr().err


def test_switch_out_hook(hub):
    class Noticing(greenlet.greenlet):
        def switch_out(self):
            log.append(self)

    def body():
        hub.schedule_call_global(0, raw.switch)
        hub.switch()

    log = []
    raw = Noticing(body)
    hub.schedule_call_global(0, raw.switch)
    eventlet.sleep(0)
    eventlet.sleep(0)
    assert log == [raw]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("started", [True, False])
def test_hub_killed_from_the_main_greenlet(hub, started, error):
    if started:
        eventlet.sleep(0)
    waiting = eventlet.spawn_after(0.002, int, "5")
    old = hub.greenlet
    with pytest.raises(error):
        old.throw(error())
    assert old.dead
    hub.ensure_greenlet()
    assert hub.greenlet is not old
    assert not hub.running
    assert waiting.wait() == 5
    assert hub.running


def test_other_exceptions_do_not_kill_the_hub(hub, capsys):
    eventlet.sleep(0)
    old = hub.greenlet
    hub.schedule_call_global(0.001, eventlet.getcurrent().switch, "back")
    assert old.throw(Failure("thrown into the hub")) == "back"
    assert hub.greenlet is old
    assert not old.dead
    assert "Failure: thrown into the hub" in capsys.readouterr().err


def test_children_of_a_dead_hub_return_to_the_new_one(hub):
    go = Event()
    green_threads = [eventlet.spawn(go.wait) for _ in range(3)]
    eventlet.sleep(0)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            hub.greenlet.throw(KeyboardInterrupt())
        eventlet.sleep(0)
    go.send(1)
    # If one of them returned to the main greenlet when it ends, this sleep would be cut short.
    begun = hub.clock()
    eventlet.sleep(0.01)
    assert hub.clock() - begun >= 0.01
    for green_thread in green_threads:
        assert green_thread.dead
        assert green_thread.wait() == 1
    ran = []
    eventlet.spawn(ran.append, 1)
    eventlet.sleep(0)
    assert ran == [1]


def test_abort_and_restart(hub):
    eventlet.sleep(0)
    assert hub.running
    old = hub.greenlet
    for _ in range(3):
        hub.abort(wait=True)
        assert old.dead
        assert not hub.running
        assert not hub.stopping
        eventlet.sleep(0)
        assert hub.running
        assert hub.greenlet is not old
        old = hub.greenlet


def test_abort_without_waiting(hub):
    eventlet.sleep(0)
    hub.abort()
    assert hub.stopping
    assert hub.running
    log = []
    eventlet.spawn(log.append, 1)
    # The loop ends and with it this sleep.
    eventlet.sleep(10)
    assert not hub.running
    eventlet.sleep(0)
    assert log == [1]


def test_abort_of_one_that_does_not_run(hub):
    hub.abort()
    hub.abort(wait=True)
    assert eventlet.spawn(int).wait() == 0


def test_abort_in_the_hub(hub, capsys):
    hub.schedule_call_global(0, hub.abort, True)
    eventlet.sleep(0)
    assert "AssertionError" in capsys.readouterr().err
    hub.schedule_call_global(0.001, hub.abort)
    eventlet.sleep(10)
    assert not hub.running


def test_run_twice_is_refused(hub, capsys):
    hub.schedule_call_global(0, hub.run)
    eventlet.sleep(0)
    assert "RuntimeError: Already running!" in capsys.readouterr().err


def test_hub_dies_while_killing(hub):
    # The killer is queued in front; it goes on when the new hub runs.
    log = []

    def victim():
        try:
            Event().wait()
        finally:
            raise KeyboardInterrupt

    def killer():
        green_thread.kill()
        log.append("killer")

    green_thread = eventlet.spawn(victim)
    eventlet.sleep(0)
    eventlet.spawn(killer)
    with pytest.raises(KeyboardInterrupt):
        eventlet.sleep(10)
    assert green_thread.dead
    eventlet.sleep(0)
    assert log == ["killer"]


def test_destructors_may_use_the_hub(hub):
    # They run wherever a reference is dropped, so also in the middle of the hub's own work.
    log = []

    class Busy:
        def __init__(self, name):
            self.name = name

        def __call__(self, *args):
            pass

        def __del__(self):
            log.append(self.name)
            hub.schedule_call_global(0, log.append, self.name)
            eventlet.spawn(log.append, self.name).link(log.append)
            Timer(1, print, self).schedule().cancel()
            hub.get_readers()
            hub.stats()
            with contextlib.suppress(RuntimeError):
                eventlet.sleep(0)

    hub.schedule_call_global(0, Busy("timer"))
    hub.schedule_call_global(10, Busy("cancelled")).cancel()
    hub.call_soon_threadsafe(Busy("call"))
    eventlet.spawn(Busy("green thread"))
    eventlet.spawn_n(Busy("plain"))
    eventlet.spawn_after(10, Busy("killed")).kill()
    event = Event()
    event.send(Busy("event"))
    event.reset()
    left, right = socket.socketpair()
    listener = hub.add(hub.READ, left.fileno(), Busy("listener"), no_tb)
    hub.remove(listener)
    del listener
    hub.add(hub.READ, left.fileno(), no_tb, Busy("closed"))
    hub.notify_close(left.fileno())
    green_thread = eventlet.spawn(int)
    green_thread.link(Busy("link"))
    green_thread.unlink(None)
    green_thread.wait()
    del green_thread
    for _ in range(5):
        eventlet.sleep(0)
    names = {name for name in log if isinstance(name, str)}
    assert names == {
        "timer", "cancelled", "call", "green thread", "plain", "killed", "event", "listener",
        "closed", "link",
    }  # fmt: skip
    left.close()
    right.close()


def test_weakref_callbacks_may_use_the_hub(hub):
    woken = Event()

    def gone(_):
        eventlet.spawn(woken.send)

    green_thread = eventlet.spawn(int)
    reference = weakref.ref(green_thread, gone)
    del green_thread
    woken.wait()
    assert reference() is None
