"""Hubs and what is around them: other OS threads, signals, fork, the garbage collector."""

import contextlib
import gc
import os
import signal
import threading
import time
import weakref

import pytest

import eventlet
from eventlet import _core, greenthread, hubs
from eventlet.event import Event
from eventlet.hubs import IOClosed, trampoline
from eventlet.hubs.hub import FdListener, Timer
from support.hubs import AVAILABLE, Failure, run_thread

LONG = 20

# ------------------------------------------------------------------------------------------------
# Other OS threads


def test_call_soon_wakes_the_hub_at_once(hub):
    done = Event()
    times = []

    def thread():
        time.sleep(0.01)
        times.append(time.monotonic())
        hub.call_soon_threadsafe(done.send, "soon")

    os_thread = threading.Thread(target=thread)
    os_thread.start()
    assert done.wait() == "soon"
    assert time.monotonic() - times[0] < LONG / 2
    os_thread.join()


def test_hub_sleeps_again_after_a_call(hub):
    run_thread(hub.call_soon_threadsafe, int)
    polls = hub.stats()["polls"]
    eventlet.sleep(0.02)
    assert hub.stats()["polls"] - polls < 10


def test_call_soon_loses_nothing(hub):
    threads, calls = 8, 2000
    got = [[] for _ in range(threads)]
    done = Event()
    finished = []

    def finish():
        finished.append(1)
        if len(finished) == threads:
            done.send()

    def thread(number):
        for call in range(calls):
            hub.call_soon_threadsafe(got[number].append, call)
        hub.call_soon_threadsafe(finish)

    os_threads = [threading.Thread(target=thread, args=(n,)) for n in range(threads)]
    for os_thread in os_threads:
        os_thread.start()
    done.wait()
    for os_thread in os_threads:
        os_thread.join()
    assert got == [list(range(calls))] * threads


def test_call_soon_that_raises(hub, capsys):
    def fail():
        raise Failure("soon")

    hub.call_soon_threadsafe(fail)
    eventlet.sleep(0)
    eventlet.sleep(0)
    assert "Failure: soon" in capsys.readouterr().err
    with pytest.raises(TypeError):
        hub.call_soon_threadsafe()


def test_each_thread_has_its_hub(hub):
    other = run_thread(hubs.get_hub)
    assert other is not hub
    assert hubs.get_hub() is hub


def test_send_from_a_thread_without_a_hub(hub):
    event = Event()

    def thread():
        event.send("from afar")
        return _core.has_hub()

    waiter = eventlet.spawn(event.wait)
    eventlet.sleep(0)
    assert run_thread(thread) is False
    assert waiter.wait() == "from afar"


def test_two_hubs_play_ping_pong(hub):
    rounds = 300
    there, back = [Event() for _ in range(rounds)], [Event() for _ in range(rounds)]

    def thread():
        for number in range(rounds):
            assert there[number].wait() == number
            back[number].send(-number)
        return "over"

    player = eventlet.spawn(run_thread, thread)
    for number in range(rounds):
        there[number].send(number)
        assert back[number].wait() == -number
    assert player.wait() == "over"


def test_wait_for_a_green_thread_of_another_hub(hub):
    mine = eventlet.spawn_after(0.005, int, "5")
    assert run_thread(mine.wait) == 5

    def thread():
        green_thread = eventlet.spawn_after(0.005, int, "6")
        handed_over.send(green_thread)
        return green_thread.wait()

    handed_over = Event()
    runner = eventlet.spawn(run_thread, thread)
    assert handed_over.wait().wait() == 6
    assert runner.wait() == 6


def test_kill_a_green_thread_of_another_hub(hub):
    def thread():
        green_thread = eventlet.spawn(Event().wait)
        hubs.get_hub().debug_exceptions = False
        handed_over.send(green_thread)
        try:
            green_thread.wait()
        except Failure:
            return "killed"

    handed_over = Event()
    runner = eventlet.spawn(run_thread, thread)
    victim = handed_over.wait()
    greenthread.kill(victim, Failure)
    assert runner.wait() == "killed"


def test_cancel_a_timer_of_another_hub(hub):
    log = []
    timer = hub.schedule_call_global(0.01, log.append, 1)
    run_thread(timer.cancel)
    eventlet.sleep(0.02)
    assert log == []


def test_timer_for_a_sleeping_hub_from_another_thread(hub):
    woken = Event()
    os_thread = threading.Timer(0.01, lambda: hub.schedule_call_global(0.001, woken.send, 1))
    os_thread.start()
    begun = time.monotonic()
    assert woken.wait(LONG) == 1
    assert time.monotonic() - begun < LONG / 2
    os_thread.join()


def test_abort_from_another_thread(hub):
    eventlet.sleep(0)
    os_thread = threading.Timer(0.01, hub.abort)
    os_thread.start()
    begun = time.monotonic()
    eventlet.sleep(LONG)
    assert time.monotonic() - begun < LONG / 2
    assert not hub.running
    os_thread.join()


def test_close_from_another_thread(hub, quiet, pair):
    left, _ = pair
    waiter = eventlet.spawn(trampoline, left, read=True, timeout=5)
    os_thread = threading.Timer(0.01, hub.notify_close, (left.fileno(),))
    os_thread.start()
    with pytest.raises(IOClosed):
        waiter.wait()
    os_thread.join()


def test_greenlet_of_the_hub_belongs_to_its_thread(hub):
    # Asking for it elsewhere must not make it there, where the hub could never use it.
    with contextlib.suppress(RuntimeError):
        run_thread(lambda: hub.greenlet)
    assert eventlet.spawn(int, "3").wait() == 3


def test_hubs_of_ended_threads_are_freed(hub):
    def thread():
        eventlet.spawn(eventlet.sleep, 60)
        eventlet.sleep(0)
        references.append(weakref.ref(hubs.get_hub()))

    references = []
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        os_thread = threading.Thread(target=thread)
        os_thread.start()
        os_thread.join()
    gc.collect()
    eventlet.sleep(0)
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 2
    assert [reference() for reference in references] == [None] * 20


def test_parked_green_threads_of_a_thread_that_ends(hub, quiet, monkeypatch):
    log = []

    def parked(name):
        try:
            Event().wait()
        finally:
            log.append(name)
            # There is no hub left to wait on.
            with pytest.raises(RuntimeError, match="closed"):
                eventlet.sleep(0.001)
            log.append(f"{name} ends")

    def thread():
        for name in "ab":
            eventlet.spawn(parked, name)
        eventlet.spawn_n(parked, "c")
        eventlet.sleep(0)
        eventlet.spawn(parked, "never started")
        hubs.get_hub().schedule_call_global(0, log.append, "never called")

    os_thread = threading.Thread(target=thread)
    os_thread.start()
    os_thread.join()
    assert log == ["a", "a ends", "b", "b ends", "c", "c ends"]


def test_green_threads_of_an_ended_thread(hub, capsys):
    # Nobody can run them any more, and using them does no harm.
    def thread():
        event = Event()
        green_thread = eventlet.spawn(event.wait)
        eventlet.sleep(0)
        return event, green_thread

    event, green_thread = run_thread(thread)
    event.send(1)
    green_thread.kill()
    eventlet.sleep(0)
    assert eventlet.spawn(int).wait() == 0


# ------------------------------------------------------------------------------------------------
# Signals


@pytest.fixture
def alarm():
    """A function that has SIGALRM handled, soon."""
    previous = signal.getsignal(signal.SIGALRM)

    def arm(handler, seconds=0.02):
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    yield arm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)


def test_signal_while_the_hub_sleeps(hub, alarm):
    woken = Event()
    times = []

    def handler(signum, frame):
        times.append(time.monotonic())
        woken.send(signum)

    alarm(handler)
    assert woken.wait(2 * LONG) == signal.SIGALRM
    assert time.monotonic() - times[0] < LONG


def test_signal_handler_that_spawns(hub, alarm):
    woken = Event()
    alarm(lambda *_: eventlet.spawn(woken.send, "spawned"))
    assert woken.wait(5) == "spawned"


def test_signal_handler_that_calls_soon(hub, alarm):
    woken = Event()
    alarm(lambda *_: hub.call_soon_threadsafe(woken.send, "called"))
    assert woken.wait(5) == "called"


def test_signal_does_not_cut_a_sleep_short(hub, alarm):
    calls = []
    alarm(lambda *_: calls.append(1), 0.005)
    begun = time.monotonic()
    eventlet.sleep(0.03)
    assert time.monotonic() - begun >= 0.03
    assert calls == [1]


@pytest.mark.parametrize("kind", [Failure, KeyboardInterrupt, SystemExit])
def test_signal_handler_that_raises_while_the_hub_sleeps(hub, alarm, kind):
    def handler(signum, frame):
        raise kind("from the handler")

    sleeper = eventlet.spawn(eventlet.sleep, 0.05)
    alarm(handler)
    with pytest.raises(kind, match="from the handler"):
        eventlet.sleep(5)
    assert not hub.running
    # Nothing is lost.
    sleeper.wait()


def test_keyboard_interrupt_while_the_hub_sleeps(hub):
    os_thread = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT))

    def sleep():
        os_thread.start()
        eventlet.sleep(LONG)

    with pytest.raises(KeyboardInterrupt):
        sleep()
    os_thread.join()


def test_signals_while_busy(hub, alarm):
    # Without a pause in which the hub could sleep.
    calls = []
    alarm(lambda *_: calls.append(1), 0.005)
    while not calls:
        eventlet.sleep(0)


# ------------------------------------------------------------------------------------------------
# fork


FORK = """
import os, socket, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import eventlet
from eventlet import hubs
from eventlet.event import Event
from eventlet.hubs import trampoline

hub = hubs.get_hub()
left, right = socket.socketpair()
left.setblocking(False)
to_main = Event()
log = []

def fork():
    pid = os.fork()
    if pid == 0:
        hub.after_fork_in_child()
    return pid

def reader():
    # Parked here in both processes; each gets what the other writes.
    trampoline(left, read=True)
    return left.recv(100)

def ticker():
    while True:
        eventlet.sleep(0.001)
        log.append(1)

limit = eventlet.Timeout(20)
"""


@pytest.mark.parametrize("name", AVAILABLE)
@pytest.mark.parametrize("where", ["in the main greenlet", "in a green thread"])
def test_fork(run_python, name, where):
    call = "fork()" if where == "in the main greenlet" else "eventlet.spawn(fork).wait()"
    code = f"""{FORK}
eventlet.spawn_n(ticker)
reading = eventlet.spawn(reader)
sleeping = eventlet.spawn_after(0.01, int, "5")
eventlet.sleep(0.002)
pid = {call}
if pid == 0:
    log.clear()
    other = threading = None
    import threading
    woken = Event()
    threading.Timer(0.005, lambda: hub.call_soon_threadsafe(woken.send, "woken")).start()
    assert woken.wait() == "woken"
    assert sleeping.wait() == 5
    assert eventlet.spawn(int, "6").wait() == 6
    assert log
    right.send(b"child")
    os._exit(3)
log.clear()
assert reading.wait() == b"child"
assert sleeping.wait() == 5
assert log
_, status = os.waitpid(pid, 0)
print(os.WEXITSTATUS(status))
"""
    done = run_python(code, env={"EVENTLET_HUB": name})
    assert done.stdout == "3\n"


@pytest.mark.parametrize("name", AVAILABLE)
def test_fork_gives_the_child_a_poller_of_its_own(run_python, name):
    # What the child does with its descriptors must not disturb the parent, nor the other way.
    code = f"""{FORK}
pairs = [socket.socketpair() for _ in range(20)]
readers = [eventlet.spawn(trampoline, ours, read=True) for ours, _ in pairs]
eventlet.sleep(0)
go_left, go_right = socket.socketpair()
pid = fork()
if pid == 0:
    for number, (ours, _) in enumerate(pairs):
        if number % 2:
            hub.notify_close(ours.fileno())
            ours.close()
    eventlet.sleep(0.001)
    hub.debug_exceptions = False
    for _, theirs in pairs:
        theirs.send(b"x")
    for number, each in enumerate(readers):
        if number % 2 == 0:
            each.wait()
    go_right.send(b"x")
    os._exit(4)
trampoline(go_left, read=True)
for each in readers:
    each.wait()
_, status = os.waitpid(pid, 0)
print(os.WEXITSTATUS(status))
"""
    done = run_python(code, env={"EVENTLET_HUB": name})
    assert done.stdout == "4\n"


# ------------------------------------------------------------------------------------------------
# The garbage collector


def test_collector_that_runs_while_objects_are_made(hub):
    # With a threshold of 1 nearly every allocation starts a collection, also those that happen
    # while one of ours is half made.
    threshold = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(50):
            kept = [
                Event(),
                Timer(1, print, []),
                FdListener("read", 0, print, print, None),
                eventlet.GreenThread(),
                eventlet.spawn(list),
                _core.Hub(),
                type(hub)(),
            ]
            kept[0].send([kept])
            eventlet.sleep(0)
    finally:
        gc.set_threshold(*threshold)


@pytest.mark.parametrize(
    "make",
    [Event, eventlet.GreenThread, hubs.get_default_hub().Hub],
    ids=["Event", "GreenThread", "Hub"],
)
def test_cycles_through_attributes_are_collected(make):
    made = make()
    made.itself = made
    reference = weakref.ref(made)
    del made
    gc.collect()
    assert reference() is None
