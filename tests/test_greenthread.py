"""Green threads: how they start, what comes of them, how they are killed."""

import contextvars
import gc
import sys
import threading
import traceback
import weakref

import greenlet
import pytest

import eventlet
from eventlet import greenthread, hubs
from eventlet.event import Event


class Failure(Exception):
    """What the tests raise on purpose."""


@pytest.fixture(autouse=True)
def limit():
    """No test here waits for anything but other green threads, so none takes long."""
    with eventlet.Timeout(20):
        yield


@pytest.fixture
def quiet(hub):
    """Exceptions that nobody catches are not printed."""
    hub.debug_exceptions = False
    yield
    hub.debug_exceptions = True


def never_sent():
    """Something to wait for in vain."""
    return Event().wait()


# ------------------------------------------------------------------------------------------------
# Starting


def test_spawn_starts_later_and_in_order():
    started = []
    for number in range(5):
        eventlet.spawn(started.append, number)
    assert started == []
    eventlet.sleep(0)
    assert started == [0, 1, 2, 3, 4]


def test_all_ways_to_spawn_share_one_order():
    started = []
    eventlet.spawn(started.append, "spawn")
    eventlet.spawn_n(started.append, "spawn_n")
    eventlet.spawn_after(0, started.append, "spawn_after")
    eventlet.spawn_after_local(0, started.append, "spawn_after_local")
    eventlet.spawn(started.append, "spawn again")
    eventlet.sleep(0)
    assert started == ["spawn", "spawn_n", "spawn_after", "spawn_after_local", "spawn again"]


def test_spawned_during_a_turn_starts_in_the_next():
    log = []

    def parent():
        eventlet.spawn(log.append, "child")
        log.append("parent")

    eventlet.spawn(parent)
    eventlet.spawn(log.append, "sibling")
    eventlet.sleep(0)
    assert log == ["parent", "sibling"]
    eventlet.sleep(0)
    assert log == ["parent", "sibling", "child"]


@pytest.mark.parametrize(
    "start",
    [
        eventlet.spawn,
        eventlet.spawn_n,
        lambda *args, **kwargs: eventlet.spawn_after(0.001, *args, **kwargs),
        lambda *args, **kwargs: eventlet.spawn_after_local(0.001, *args, **kwargs),
    ],
    ids=["spawn", "spawn_n", "spawn_after", "spawn_after_local"],
)
def test_arguments(start):
    got = Event()

    def function(*args, **kwargs):
        got.send((args, kwargs))

    start(function, 1, "two", three=3, self=4, args=5)
    assert got.wait() == ((1, "two"), {"three": 3, "self": 4, "args": 5})


def test_function_as_keyword():
    assert eventlet.spawn(func=dict, a=1).wait() == {"a": 1}
    assert eventlet.spawn_after(seconds=0, func=dict, a=1).wait() == {"a": 1}
    assert eventlet.spawn_after_local(seconds=0, func=dict, a=1).wait() == {"a": 1}
    done = Event()
    eventlet.spawn_n(func=done.send, result=2)
    assert done.wait() == 2


def test_spawn_needs_a_function():
    for start in (eventlet.spawn, eventlet.spawn_n):
        with pytest.raises(TypeError):
            start()


def test_calling_what_cannot_be_called_fails_in_the_green_thread(quiet):
    green_thread = eventlet.spawn(None)
    with pytest.raises(TypeError):
        green_thread.wait()


def test_kinds():
    assert type(eventlet.spawn(int)) is eventlet.GreenThread
    assert type(eventlet.spawn_after(0, int)) is eventlet.GreenThread
    assert type(eventlet.spawn_n(int)) is greenlet.greenlet
    assert issubclass(eventlet.GreenThread, greenlet.greenlet)
    eventlet.sleep(0)


def test_getcurrent_in_a_green_thread():
    green_thread = eventlet.spawn(eventlet.getcurrent)
    assert green_thread.wait() is green_thread
    seen = Event()
    plain = eventlet.spawn_n(lambda: seen.send(greenthread.getcurrent()))
    assert seen.wait() is plain


def test_parent_is_the_hub(hub):
    parents = Event()
    eventlet.spawn(lambda: parents.send(eventlet.getcurrent().parent))
    assert parents.wait() is hub.greenlet
    assert hub.greenlet.parent is greenlet.getcurrent()


def test_spawn_after_waits(hub):
    begun = hub.clock()
    times = []
    late = eventlet.spawn_after(0.04, lambda: times.append(("late", hub.clock() - begun)))
    early = eventlet.spawn_after(0.02, lambda: times.append(("early", hub.clock() - begun)))
    late.wait()
    early.wait()
    assert [name for name, _ in times] == ["early", "late"]
    assert times[0][1] >= 0.02
    assert times[1][1] >= 0.04


def test_spawn_after_with_negative_delay_starts_next():
    assert eventlet.spawn_after(-1, int, "3").wait() == 3


def test_spawn_after_local_dies_with_its_spawner():
    ran = []
    made = Event()

    def spawner(hold):
        made.send(eventlet.spawn_after_local(0.01, ran.append, 1))
        if hold is not None:
            hold.wait()

    eventlet.spawn(spawner, None)
    orphan = made.wait()
    with pytest.raises(greenlet.GreenletExit):
        orphan.wait()
    assert ran == []

    made.reset()
    hold = Event()
    eventlet.spawn(spawner, hold)
    made.wait().wait()
    assert ran == [1]
    hold.send()


def test_spawn_after_survives_its_spawner():
    made = Event()
    eventlet.spawn(lambda: made.send(eventlet.spawn_after(0.01, int, "7")))
    assert made.wait().wait() == 7


def test_chain_of_spawns_does_not_nest():
    depths = []
    done = Event()

    def link_of_chain(left):
        depth = 0
        frame = sys._getframe()
        while frame is not None:
            depth, frame = depth + 1, frame.f_back
        depths.append(depth)
        if left:
            eventlet.spawn(link_of_chain, left - 1)
        else:
            done.send()

    eventlet.spawn(link_of_chain, 10_000)
    done.wait()
    assert len(depths) == 10_001
    assert set(depths) == {1}


def test_chain_of_waiting_spawns_does_not_nest():
    # Each is parked in wait() while the next one runs, so they are all alive together.
    def link_of_chain(left):
        return eventlet.spawn(link_of_chain, left - 1).wait() + 1 if left else 0

    assert eventlet.spawn(link_of_chain, 10_000).wait() == 10_000


def test_recursion_limit_is_per_green_thread(quiet):
    def recurse(depth):
        if depth == 300:
            eventlet.sleep(0)
            return depth
        return recurse(depth + 1)

    green_threads = [eventlet.spawn(recurse, 0) for _ in range(20)]
    assert [green_thread.wait() for green_thread in green_threads] == [300] * 20

    def for_ever():
        return for_ever() + 1

    with pytest.raises(RecursionError):
        eventlet.spawn(for_ever).wait()
    assert eventlet.spawn(recurse, 0).wait() == 300


# ------------------------------------------------------------------------------------------------
# Results


def test_wait_returns_the_result_again_and_again():
    result = object()
    green_thread = eventlet.spawn(lambda: result)
    assert green_thread.wait() is result
    assert green_thread.dead
    assert green_thread.wait() is result


def test_wait_raises_the_exception_again_and_again(quiet):
    failure = Failure("on purpose")

    def fail():
        raise failure

    green_thread = eventlet.spawn(fail)
    for _ in range(3):
        with pytest.raises(Failure) as caught:
            green_thread.wait()
        assert caught.value is failure
        assert any(frame.name == "fail" for frame in caught.traceback)


def test_traceback_does_not_grow_with_each_wait(quiet):
    def fail():
        raise Failure

    green_thread = eventlet.spawn(fail)
    lengths = set()
    for _ in range(5):
        with pytest.raises(Failure) as caught:
            green_thread.wait()
        lengths.add(len(traceback.extract_tb(caught.value.__traceback__)))
    assert len(lengths) == 1


def test_waiters_are_woken_in_order(quiet):
    go = Event()
    log = []

    def waiter(name):
        try:
            log.append((name, worker.wait()))
        except Failure:
            log.append((name, "failure"))

    worker = eventlet.spawn(go.wait)
    waiters = [eventlet.spawn(waiter, name) for name in "abc"]
    eventlet.sleep(0)
    go.send(1)
    for each in waiters:
        each.wait()
    assert log == [("a", 1), ("b", 1), ("c", 1)]

    log.clear()
    go = Event()
    worker = eventlet.spawn(go.wait)
    waiters = [eventlet.spawn(waiter, name) for name in "abc"]
    eventlet.sleep(0)
    go.send(exc=Failure())
    for each in waiters:
        each.wait()
    assert log == [("a", "failure"), ("b", "failure"), ("c", "failure")]


def test_killed_waiter_does_not_disturb_the_others():
    go = Event()
    worker = eventlet.spawn(go.wait)
    waiters = [eventlet.spawn(worker.wait) for _ in range(3)]
    eventlet.sleep(0)
    waiters[1].kill()
    go.send("done")
    assert waiters[0].wait() == waiters[2].wait() == "done"
    with pytest.raises(greenlet.GreenletExit):
        waiters[1].wait()


def test_wait_with_a_time_limit():
    worker = eventlet.spawn(never_sent)
    with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.01):
        worker.wait()
    worker.kill()


def test_wait_in_the_hub_is_refused(hub):
    worker = eventlet.spawn(never_sent)
    answer = Event()

    def in_hub():
        try:
            worker.wait()
        except RuntimeError as error:
            answer.send(str(error))

    hub.schedule_call_global(0, in_hub)
    assert "mainloop" in answer.wait()
    worker.kill()


def test_exception_is_reported(hub, capsys):
    def fail():
        raise Failure("seen by everybody")

    with pytest.raises(Failure):
        eventlet.spawn(fail).wait()
    report = capsys.readouterr().err
    assert report.startswith("Traceback")
    assert "in fail" in report
    assert "Failure: seen by everybody" in report

    eventlet.spawn_n(fail)
    eventlet.sleep(0)
    assert "Failure: seen by everybody" in capsys.readouterr().err


def test_exception_is_not_reported_unless_wanted(hub, quiet, capsys):
    def fail():
        raise Failure

    with pytest.raises(Failure):
        eventlet.spawn(fail).wait()
    eventlet.spawn_n(fail)
    eventlet.sleep(0)
    assert capsys.readouterr() == ("", "")


def test_exit_is_not_reported(capsys):
    def leave():
        raise greenlet.GreenletExit("quietly")

    green_thread = eventlet.spawn(leave)
    eventlet.spawn_n(leave)
    with pytest.raises(greenlet.GreenletExit, match="quietly"):
        green_thread.wait()
    eventlet.sleep(0)
    assert capsys.readouterr() == ("", "")


def test_report_that_fails_ends_nothing(hub, capsys, monkeypatch):
    class Broken:
        def write(self, text):
            raise Failure("cannot even report")

        flush = write

    def fail():
        raise Failure

    hooked = []
    monkeypatch.setattr(sys, "unraisablehook", hooked.append)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", Broken())
        green_thread = eventlet.spawn(fail)
        with pytest.raises(Failure):
            green_thread.wait()
    assert len(hooked) == 1
    assert eventlet.spawn(int).wait() == 0


# ------------------------------------------------------------------------------------------------
# Killing

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


# ------------------------------------------------------------------------------------------------
# Links


def test_links_are_called_in_order_with_their_arguments():
    calls = []

    def link(green_thread, *args, **kwargs):
        calls.append((green_thread, args, kwargs, eventlet.getcurrent()))

    green_thread = eventlet.spawn(int)
    green_thread.link(link)
    green_thread.link(link, 1, 2, key=3)
    green_thread.wait()
    assert calls == [
        (green_thread, (), {}, green_thread),
        (green_thread, (1, 2), {"key": 3}, green_thread),
    ]


def test_links_see_the_outcome(quiet):
    results = []

    def fail():
        raise Failure("for the link")

    def link(green_thread):
        try:
            results.append(green_thread.wait())
        except Failure as error:
            results.append(error.args)

    for function in (lambda: 1, fail):
        green_thread = eventlet.spawn(function)
        green_thread.link(link)
        eventlet.sleep(0)
    assert results == [1, ("for the link",)]


def test_links_added_by_links():
    log = []

    def first(green_thread):
        log.append("first")
        green_thread.link(lambda _: log.append("at once"))
        log.append("first ends")

    green_thread = eventlet.spawn(int)
    green_thread.link(first)
    green_thread.link(lambda _: log.append("second"))
    green_thread.wait()
    eventlet.sleep(0)
    assert sorted(log) == sorted(["first", "at once", "first ends", "second"])
    assert log.index("first ends") < log.index("second")


def test_link_after_the_end_is_called_at_once():
    green_thread = eventlet.spawn(int)
    green_thread.wait()
    log = []
    green_thread.link(lambda *args, **kwargs: log.append((args, kwargs)), 1, k=2)
    assert log == [((green_thread, 1), {"k": 2})]
    with pytest.raises(ZeroDivisionError):
        green_thread.link(lambda _: 1 / 0)


def test_link_that_raises_does_not_stop_the_others(hub, capsys):
    log = []

    def fail(green_thread):
        raise Failure("in a link")

    green_thread = eventlet.spawn(int, "4")
    green_thread.link(fail)
    green_thread.link(lambda _: log.append("next"))
    assert green_thread.wait() == 4
    eventlet.sleep(0)
    assert log == ["next"]
    assert "Failure: in a link" in capsys.readouterr().err


def test_link_may_wait():
    log = []

    def slow(green_thread):
        eventlet.sleep(0.01)
        log.append("slow")

    green_thread = eventlet.spawn(int)
    green_thread.link(slow)
    green_thread.link(lambda _: log.append("after"))
    assert green_thread.wait() == 0
    assert log == []
    while not green_thread.dead:
        eventlet.sleep(0.001)
    assert log == ["slow", "after"]


def test_unlink():
    log = []

    def link(green_thread, *args, **kwargs):
        log.append((args, kwargs))

    green_thread = eventlet.spawn(int)
    green_thread.link(link)
    green_thread.link(link, 1, k=2)
    green_thread.link(link, [3])
    assert green_thread.unlink(link, 1) is False
    assert green_thread.unlink(link, 1, k=3) is False
    assert green_thread.unlink(print) is False
    assert green_thread.unlink(link, 1, k=2) is True
    assert green_thread.unlink(link, 1, k=2) is False
    assert green_thread.unlink(link, [3]) is True
    green_thread.wait()
    assert log == [((), {})]
    assert green_thread.unlink(link) is False


def test_unlink_of_equal_links_takes_one():
    log = []
    green_thread = eventlet.spawn(int)
    for _ in range(3):
        green_thread.link(log.append)
    assert green_thread.unlink(log.append)
    green_thread.wait()
    assert log == [green_thread] * 2


def test_unlink_while_its_comparison_changes_the_links():
    log = []

    class Odd:
        def __eq__(self, other):
            green_thread.link(log.append)
            return self is other

        __hash__ = None

    mine = Odd()
    green_thread = eventlet.spawn(int)
    green_thread.link(print, Odd())
    green_thread.link(print, mine)
    assert green_thread.unlink(print, mine)
    green_thread.unlink(print, mine)
    green_thread.kill()
    assert set(log) == {green_thread}


# ------------------------------------------------------------------------------------------------
# The object


def test_attributes_hash_and_weak_references():
    green_thread = eventlet.spawn(int)
    green_thread.anything = 1
    assert green_thread.anything == 1
    assert {green_thread: 2}[green_thread] == 2
    assert weakref.ref(green_thread)() is green_thread
    assert green_thread == green_thread
    assert green_thread != eventlet.spawn(int)
    green_thread.wait()
    assert green_thread.anything == 1


def test_truth():
    go = Event()
    green_thread = eventlet.spawn(go.wait)
    assert not green_thread
    assert not green_thread.dead
    eventlet.sleep(0)
    assert green_thread
    go.send()
    green_thread.wait()
    assert not green_thread
    assert green_thread.dead


class Counted(eventlet.GreenThread):
    """A subclass with its own constructor and methods."""

    def __init__(self, number):
        super().__init__(hubs.get_hub().greenlet)
        self.number = number

    def main(self, function, args, kwargs):
        self.entered = True
        return super().main(function, args, kwargs)


def test_subclass():
    green_thread = Counted(5)
    assert isinstance(green_thread, eventlet.GreenThread)
    hubs.get_hub().schedule_call_global(0, green_thread.switch, int, ("6",), {})
    assert green_thread.wait() == 6
    assert green_thread.number == 5


def test_by_hand():
    hub = hubs.get_hub()
    green_thread = eventlet.GreenThread()
    assert green_thread.parent is hub.greenlet
    assert not green_thread
    linked = []
    green_thread.link(linked.append)
    hub.schedule_call_global(0, green_thread.switch, dict, (), {"a": 1})
    assert green_thread.wait() == {"a": 1}
    assert linked == [green_thread]
    assert green_thread.dead


def test_by_hand_with_a_parent():
    log = []
    green_thread = eventlet.GreenThread(greenlet.getcurrent())
    green_thread.switch(log.append, (1,), {})
    assert log == [1]
    assert green_thread.dead
    assert green_thread.wait() is None


def test_by_hand_with_wrong_arguments(quiet):
    green_thread = eventlet.GreenThread()
    hubs.get_hub().schedule_call_global(0, green_thread.switch)
    with pytest.raises((TypeError, ValueError)):
        green_thread.wait()


def test_by_hand_and_killed_before_the_start():
    green_thread = eventlet.GreenThread()
    linked = []
    green_thread.link(linked.append)
    green_thread.kill(Failure, "early")
    assert green_thread.dead
    with pytest.raises(Failure, match="early"):
        green_thread.wait()
    assert linked == [green_thread]


def test_started_by_hand_before_its_time():
    # The hub finds it begun and does not start it again.
    log = []

    def function():
        log.append("started")
        eventlet.sleep(0.005)
        return 1

    green_thread = eventlet.spawn(function)
    hubs.get_hub().schedule_call_global(0, log.append, "hub")
    relay = eventlet.spawn_n(green_thread.switch)
    greenthread.kill(relay)
    assert green_thread.wait() == 1
    assert log.count("started") == 1

    later = eventlet.spawn_after(0.01, function)
    hubs.get_hub().schedule_call_global(0, later.switch)
    assert later.wait() == 1
    eventlet.sleep(0.02)
    assert log.count("started") == 2


# ------------------------------------------------------------------------------------------------
# The end of the program


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("start", [eventlet.spawn, eventlet.spawn_n])
def test_the_end_of_the_program_reaches_the_main_greenlet(start, kind, capsys):
    def leave():
        raise kind("the end")

    green_thread = start(leave)
    with pytest.raises(kind, match="the end"):
        eventlet.sleep(60)
    assert green_thread.dead
    if start is eventlet.spawn:
        with pytest.raises(kind):
            green_thread.wait()
    # A new hub greenlet takes over.
    assert eventlet.spawn(int).wait() == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_program_in_a_link(kind):
    def leave(green_thread):
        raise kind("in a link")

    green_thread = eventlet.spawn(int)
    green_thread.link(leave)
    with pytest.raises(kind, match="in a link"):
        eventlet.sleep(60)
    assert green_thread.wait() == 0


def test_others_survive_the_death_of_the_hub():
    go = Event()
    log = []

    def worker(name):
        log.append((name, go.wait()))

    def leave():
        raise KeyboardInterrupt

    workers = [eventlet.spawn(worker, name) for name in "abc"]
    sleeper = eventlet.spawn(eventlet.sleep, 0.01)
    eventlet.sleep(0)
    for _ in range(5):
        eventlet.spawn(leave)
        with pytest.raises(KeyboardInterrupt):
            eventlet.sleep(60)
    go.send(1)
    for each in workers:
        each.wait()
    sleeper.wait()
    assert log == [("a", 1), ("b", 1), ("c", 1)]


def test_rest_of_the_round_survives_the_death_of_the_hub():
    log = []

    def leave():
        raise KeyboardInterrupt

    eventlet.spawn(log.append, 1)
    eventlet.spawn(leave)
    eventlet.spawn(log.append, 2)
    with pytest.raises(KeyboardInterrupt):
        eventlet.sleep(60)
    assert log == [1]
    eventlet.sleep(0)
    assert log == [1, 2]


# ------------------------------------------------------------------------------------------------
# Context variables

variable = contextvars.ContextVar("variable", default="default")


@pytest.mark.parametrize(
    "start",
    [
        eventlet.spawn,
        eventlet.spawn_n,
        lambda function: eventlet.spawn_after(0.001, function),
        lambda function: eventlet.spawn_after_local(0.001, function),
    ],
    ids=["spawn", "spawn_n", "spawn_after", "spawn_after_local"],
)
def test_context_is_inherited_and_isolated(start):
    done = Event()

    def child():
        seen = [variable.get()]
        variable.set("of the child")
        eventlet.sleep(0)
        seen.append(variable.get())
        done.send(seen)

    token = variable.set("of the parent")
    try:
        start(child)
        variable.set("later")
        assert done.wait() == ["of the parent", "of the child"]
        assert variable.get() == "later"
    finally:
        variable.reset(token)


def test_contexts_of_siblings():
    def child(number):
        variable.set(number)
        for _ in range(3):
            eventlet.sleep(0)
        return variable.get()

    children = [eventlet.spawn(child, number) for number in range(10)]
    assert [each.wait() for each in children] == list(range(10))
    assert variable.get() == "default"


# ------------------------------------------------------------------------------------------------
# Greenlets that are not ours


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


# ------------------------------------------------------------------------------------------------
# Memory


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


# ------------------------------------------------------------------------------------------------
# Interpreter and threads that end

ABANDON = """
import eventlet, greenlet
from eventlet.event import Event

def parked(event):
    try:
        event.wait()
    finally:
        kept.append(event)

kept = []
events = [Event() for _ in range(50)]
waiting = [eventlet.spawn(parked, event) for event in events]
eventlet.spawn_n(eventlet.sleep, 60)
eventlet.spawn_after(60, print)
eventlet.sleep(0)
eventlet.spawn(print, "never started")
limit = eventlet.Timeout(60)
"""


@pytest.mark.parametrize(
    "end",
    [
        "",
        "del waiting, events",
        "import sys; sys.exit(0)",
        "import atexit; atexit.register(eventlet.sleep, 0.001)",
        "import builtins; builtins.kept_until_the_end = (waiting, eventlet, limit)",
        "eventlet.spawn(exit); eventlet.sleep(60)",
    ],
)
def test_abandoned_green_threads_at_exit(run_python, end):
    done = run_python(ABANDON + end)
    assert done.stderr == ""


def test_abandoned_green_threads_at_the_end_of_a_thread(run_python):
    code = """
import gc, threading

def thread():
    exec(program, {})

program = '''%s'''
for _ in range(10):
    one = threading.Thread(target=thread)
    one.start()
    one.join()
    gc.collect()
print("alive")
"""
    done = run_python(code % ABANDON)
    assert (done.stdout, done.stderr) == ("alive\n", "")


def test_daemon_thread_in_its_hub_at_exit(run_python):
    code = """
import threading, eventlet
started = threading.Event()

def thread():
    eventlet.spawn(started.set)
    eventlet.sleep(60)

threading.Thread(target=thread, daemon=True).start()
started.wait()
print("over")
"""
    done = run_python(code)
    assert (done.stdout, done.stderr) == ("over\n", "")


def test_system_exit_sets_the_exit_status(run_python):
    code = """
import eventlet, sys
eventlet.spawn(sys.exit, 7)
eventlet.sleep(60)
"""
    assert run_python(code, check=False).returncode == 7
