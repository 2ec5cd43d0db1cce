"""Green threads: how they start, what comes of them, and what kind of object they are."""

import contextvars
import sys
import traceback
import weakref

import greenlet
import pytest

import eventlet
from eventlet import greenthread, hubs
from eventlet.event import Event
from support.green_threads import Failure, never_sent

pytestmark = pytest.mark.usefixtures("limit")


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
