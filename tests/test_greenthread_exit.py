"""Green threads at the end of the program, of a hub, of an OS thread and of the interpreter."""

import pytest

import eventlet
from eventlet.event import Event

pytestmark = pytest.mark.usefixtures("limit")


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
