"""Green threads that are killed or cancelled: when, by whom, with what, and what comes of it."""

import sys
import threading
import traceback

import greenlet
import pytest

import eventlet
from eventlet import greenthread, hubs
from eventlet.event import Event
from support.green_threads import Failure, never_sent

pytestmark = pytest.mark.usefixtures("limit")

THROWN = {
    "nothing": ((), greenlet.GreenletExit, ()),
    "class": ((Failure,), Failure, ()),
    "instance": ((Failure("a", 1),), Failure, ("a", 1)),
    "class and value": ((Failure, "b"), Failure, ("b",)),
    "class and arguments": ((Failure, ("b", 2)), Failure, ("b", 2)),
    "class and instance": ((Failure, Failure("c")), Failure, ("c",)),
    "class, value and None": ((Failure, Failure("d"), None), Failure, ("d",)),
}

thrown = pytest.mark.parametrize(("args", "kind", "values"), THROWN.values(), ids=THROWN)

killers = pytest.mark.parametrize(
    "kill",
    [lambda g, *args: g.kill(*args), greenthread.kill],
    ids=["method", "function"],
)


@thrown
@killers
def test_kill_before_the_start(quiet, kill, args, kind, values):
    ran = []
    green_thread = eventlet.spawn(ran.append, 1)
    assert kill(green_thread, *args) is None
    assert green_thread.dead
    for _ in range(2):
        with pytest.raises(kind) as caught:
            green_thread.wait()
        assert caught.value.args == values
    eventlet.sleep(0)
    assert ran == []


@thrown
@killers
def test_kill_a_parked_one(quiet, kill, args, kind, values):
    caught_inside = []

    def victim():
        try:
            never_sent()
        except BaseException as error:
            caught_inside.append(error)
            raise

    green_thread = eventlet.spawn(victim)
    eventlet.sleep(0)
    assert kill(green_thread, *args) is None
    assert green_thread.dead
    with pytest.raises(kind) as caught:
        green_thread.wait()
    assert caught.value.args == values
    assert caught_inside == [caught.value]


def test_kill_with_a_traceback(quiet):
    try:
        raise Failure("from afar")
    except Failure:
        info = sys.exc_info()
    green_thread = eventlet.spawn(never_sent)
    eventlet.sleep(0)
    green_thread.kill(*info)
    with pytest.raises(Failure) as caught:
        green_thread.wait()
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert "test_kill_with_a_traceback" in names[1:]


def test_kill_before_the_start_wakes_waiters_and_calls_links():
    green_thread = eventlet.spawn_after(60, never_sent)
    linked = []
    green_thread.link(linked.append)
    waiter = eventlet.spawn(green_thread.wait)
    eventlet.sleep(0)
    green_thread.kill()
    assert linked == [green_thread]
    with pytest.raises(greenlet.GreenletExit):
        waiter.wait()


def test_link_that_waits_when_killed_before_the_start(hub):
    # Its start is queued and comes up during the wait.
    started = []
    green_thread = eventlet.spawn(started.append, 1)
    green_thread.link(lambda _: eventlet.sleep(0.001))
    before = hub.stats()["green_threads"]
    green_thread.kill(Failure, "early")
    assert green_thread.dead
    assert started == []
    assert hub.stats()["green_threads"] == before - 1
    with pytest.raises(Failure, match="early"):
        green_thread.wait()


def test_kill_of_a_delayed_start_leaves_no_timer(clean_hub):
    before = clean_hub.get_timers_count()
    green_thread = eventlet.spawn_after(60, never_sent)
    assert clean_hub.get_timers_count() == before + 1
    green_thread.kill()
    assert clean_hub.get_timers_count() == before


def test_victim_runs_before_the_killer_goes_on():
    log = []

    def victim():
        try:
            never_sent()
        finally:
            log.append("victim")

    def killer():
        green_thread.kill()
        log.append("killer")

    green_thread = eventlet.spawn(victim)
    eventlet.sleep(0)
    eventlet.spawn(log.append, "first")
    in_between = eventlet.spawn(killer)
    eventlet.spawn(log.append, "last")
    in_between.wait()
    assert log == ["first", "victim", "killer", "last"]


def test_killer_goes_on_before_everything_else_if_the_victim_parks():
    log = []

    def victim():
        try:
            never_sent()
        except greenlet.GreenletExit:
            log.append("caught")
            eventlet.sleep(0)
            log.append("victim ends")

    green_thread = eventlet.spawn(victim)
    eventlet.sleep(0)
    eventlet.spawn(log.append, "other")
    green_thread.kill()
    log.append("killer")
    green_thread.wait()
    assert log == ["caught", "killer", "other", "victim ends"]


def test_victim_may_refuse():
    refusals = []

    def victim():
        while True:
            try:
                return never_sent()
            except Failure as error:
                refusals.append(error)
                if len(refusals) == 3:
                    return "enough"

    green_thread = eventlet.spawn(victim)
    eventlet.sleep(0)
    for count in (1, 2, 3):
        assert not green_thread.dead
        green_thread.kill(Failure)
        assert len(refusals) == count
    assert green_thread.wait() == "enough"


def test_kill_one_that_is_ready_to_run():
    # It has been woken, and its wake-up must not reach it in what it does next.
    event, second = Event(), Event()
    log = []

    def victim():
        try:
            log.append(event.wait())
        except Failure:
            log.append("killed")
        log.append(second.wait())

    green_thread = eventlet.spawn(victim)
    eventlet.sleep(0)
    event.send("never seen")
    green_thread.kill(Failure)
    for _ in range(3):
        eventlet.sleep(0)
    assert log == ["killed"]
    second.send("done")
    green_thread.wait()
    assert log == ["killed", "done"]


def test_kill_a_sleeper_leaves_no_timer(clean_hub):
    before = clean_hub.stats()["timers"]
    green_thread = eventlet.spawn(eventlet.sleep, 60)
    eventlet.sleep(0)
    assert clean_hub.stats()["timers"] == before + 1
    green_thread.kill()
    assert clean_hub.stats()["timers"] == before


@killers
def test_kill_oneself(quiet, kill):
    log = []

    def suicide():
        log.append("before")
        kill(eventlet.getcurrent(), Failure, "me")
        log.append("after")

    green_thread = eventlet.spawn(suicide)
    with pytest.raises(Failure, match="me"):
        green_thread.wait()
    assert log == ["before"]


def test_kill_the_running_main_greenlet():
    with pytest.raises(Failure):
        greenthread.kill(eventlet.getcurrent(), Failure)


def test_kill_the_main_greenlet_from_a_green_thread():
    main = eventlet.getcurrent()
    log = []

    def killer():
        greenthread.kill(main, Failure)
        log.append("killer")

    green_thread = eventlet.spawn(killer)
    with pytest.raises(Failure):
        eventlet.sleep(60)
    assert log == []
    green_thread.wait()
    assert log == ["killer"]


@killers
def test_kill_a_dead_one(kill):
    green_thread = eventlet.spawn(int, "5")
    assert green_thread.wait() == 5
    kill(green_thread, Failure)
    assert green_thread.wait() == 5
    plain = eventlet.spawn_n(int)
    eventlet.sleep(0)
    greenthread.kill(plain, Failure)


@killers
def test_kill_from_the_hub(hub, quiet, kill):
    parked = eventlet.spawn(never_sent)
    eventlet.sleep(0)
    unstarted = eventlet.spawn_after(60, never_sent)
    done = Event()

    def in_hub():
        kill(parked, Failure, 1)
        kill(unstarted, Failure, 2)
        done.send((parked.dead, unstarted.dead))

    hub.schedule_call_global(0, in_hub)
    assert done.wait() == (True, True)
    for green_thread, number in ((parked, 1), (unstarted, 2)):
        with pytest.raises(Failure) as caught:
            green_thread.wait()
        assert caught.value.args == (number,)


def test_kill_a_plain_greenlet(quiet):
    log = []

    def victim():
        try:
            never_sent()
        finally:
            log.append("unwound")

    started = eventlet.spawn_n(victim)
    eventlet.sleep(0)
    unstarted = eventlet.spawn_n(victim)
    greenthread.kill(started)
    greenthread.kill(unstarted, Failure)
    assert started.dead
    assert unstarted.dead
    assert log == ["unwound"]


def test_kill_a_greenlet_of_another_parent():
    # It is not the hub's child; its death still goes back to the killer, not to its parent.
    log = []
    raw = greenlet.greenlet(lambda: log.append("ran"), parent=greenlet.getcurrent())
    killer = eventlet.spawn(lambda: (greenthread.kill(raw), log.append("killer")))
    eventlet.sleep(0.01)
    log.append("main")
    assert raw.dead
    assert log == ["killer", "main"]
    killer.wait()


def test_kill_each_other():
    log = []

    def first():
        try:
            never_sent()
        except Failure:
            log.append("first")
            second.kill(Failure)
            log.append("first again")

    def killer():
        try:
            one.kill(Failure)
            log.append("unreachable")
        except Failure:
            log.append("second")

    one = eventlet.spawn(first)
    eventlet.sleep(0)
    second = eventlet.spawn(killer)
    second.wait()
    one.wait()
    assert log == ["first", "second", "first again"]


def test_kill_while_killing_the_killer_waits_for_its_turn():
    # Three green threads kill one another in a row, then all of them are gone.
    log = []

    def victim(name, then):
        try:
            never_sent()
        finally:
            log.append(name)
            if then is not None:
                then.kill()
            log.append(f"{name} ends")

    c = eventlet.spawn(victim, "c", None)
    b = eventlet.spawn(victim, "b", c)
    a = eventlet.spawn(victim, "a", b)
    eventlet.sleep(0)
    a.kill()
    assert log[:3] == ["a", "b", "c"]
    for _ in range(3):
        eventlet.sleep(0)
    assert sorted(log[3:]) == ["a ends", "b ends", "c ends"]
    assert a.dead
    assert b.dead
    assert c.dead


def test_kill_with_what_is_no_exception_raises_type_error(quiet):
    green_thread = eventlet.spawn(never_sent)
    eventlet.sleep(0)
    green_thread.kill(Failure, None, None)
    with pytest.raises(Failure):
        green_thread.wait()
    another = eventlet.spawn(never_sent)
    eventlet.sleep(0)
    another.kill(42)
    with pytest.raises(TypeError):
        another.wait()


def test_kill_takes_only_greenlets():
    for wrong in (None, object(), lambda: None):
        with pytest.raises(TypeError):
            greenthread.kill(wrong)


@pytest.mark.parametrize("started", [True, False], ids=["parked", "unstarted"])
def test_kill_in_another_os_thread(started):
    ready, done = threading.Event(), threading.Event()
    seen = {}

    def thread():
        if started:
            seen["green thread"] = eventlet.spawn(never_sent)
            eventlet.sleep(0)
        else:
            seen["green thread"] = eventlet.spawn_after(60, never_sent)
        hubs.get_hub().debug_exceptions = False
        ready.set()
        try:
            seen["green thread"].wait()
        except BaseException as error:
            seen["error"] = error
        seen["dead"] = seen["green thread"].dead
        done.set()

    os_thread = threading.Thread(target=thread, daemon=True)
    os_thread.start()
    assert ready.wait(10)
    # kill() does not wait for a green thread that only another OS thread can run.
    seen["green thread"].kill(Failure, "from afar")
    assert done.wait(10)
    os_thread.join(10)
    assert repr(seen["error"]) == "Failure('from afar')"
    assert seen["dead"]


def test_cancel(clean_hub):
    ran = []
    before = clean_hub.get_timers_count()
    for cancel in (lambda g, *args: g.cancel(*args), greenthread.cancel):
        green_thread = eventlet.spawn_after(60, ran.append, 1)
        cancel(green_thread)
        assert green_thread.dead
        assert clean_hub.get_timers_count() == before
        with pytest.raises(greenlet.GreenletExit):
            green_thread.wait()

        green_thread = eventlet.spawn(ran.append, 2)
        cancel(green_thread, Failure, "cancelled")
        with pytest.raises(Failure, match="cancelled"):
            green_thread.wait()
    eventlet.sleep(0)
    assert ran == []


def test_cancel_leaves_alone_what_has_begun():
    go = Event()
    green_thread = eventlet.spawn(go.wait)
    eventlet.sleep(0)
    green_thread.cancel()
    greenthread.cancel(green_thread)
    assert not green_thread.dead
    go.send(9)
    assert green_thread.wait() == 9
    green_thread.cancel()
    assert green_thread.wait() == 9
