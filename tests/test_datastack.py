"""The small first piece of each green thread's Python stack, and CPython's chunks beyond it."""

import json
import sys

import pytest

HAS_CHUNKS = (3, 11) <= sys.version_info < (3, 14)

PRELUDE = """
import gc, json, sys, threading
import eventlet
from eventlet import hubs
from eventlet.event import Event

def chunks():
    stats = hubs.get_hub().stats()
    return stats.get("arena_hits", 0) + stats.get("arena_misses", 0)

def deep(depth, leaf, *args):
    return deep(depth - 1, leaf, *args) if depth else leaf(*args)
"""


@pytest.fixture
def result(run_python):
    """A function that runs a program and returns what it shows last."""

    def run(code, **env):
        done = run_python(PRELUDE + code, env=env)
        assert done.stderr == ""
        return json.loads(done.stdout)

    return run


@pytest.mark.skipif(not HAS_CHUNKS, reason="the stack of this CPython is not known")
def test_shallow_green_threads_need_no_chunk(result):
    code = """
event = Event()
eventlet.sleep(0)
before = chunks()
threads = [eventlet.spawn(event.wait) for _ in range(100)]
threads += [eventlet.spawn(lambda: event.wait()) for _ in range(100)]
for _ in range(100):
    eventlet.spawn_n(lambda: event.wait())
eventlet.sleep(0)
assert event.waiting() == 300
used = chunks() - before
event.send(7)
assert [each.wait() for each in threads] == [7] * 200
print(json.dumps(used))
"""
    assert result(code) == 0
    assert result(code, EVENTLET_ARENA_CACHE="0") == 0


@pytest.mark.skipif(not HAS_CHUNKS, reason="the stack of this CPython is not known")
def test_deep_green_threads_go_on_to_a_chunk(result):
    code = """
eventlet.sleep(0)  # the loop of a hub may be in Python, and take a chunk itself
before = chunks()
assert eventlet.spawn(deep, 50, lambda: 1).wait() == 1
print(json.dumps(chunks() - before))
"""
    assert result(code) == 1


@pytest.mark.parametrize("cache", ["", "0"])
def test_frames_keep_their_values_across_the_end_of_a_piece(result, cache):
    code = """
def level(depth, most):
    here = [depth]
    if depth % 3 == 0:
        eventlet.sleep(0)
    below = level(depth + 1, most) if depth < most else []
    eventlet.sleep(0)
    for _ in range(3):
        here.extend(part for part in ())
    return here + below

threads = [(most, eventlet.spawn(level, 0, most)) for most in (*range(40), 300)]
for most, thread in threads:
    assert thread.wait() == list(range(most + 1))
print(json.dumps("over"))
"""
    assert result(code, EVENTLET_ARENA_CACHE=cache) == "over"


def test_calls_to_and_fro_over_the_end_of_a_piece(result):
    code = """
def leaf(value):
    return value + 1

def loop(rounds):
    value = 0
    for _ in range(rounds):
        value = leaf(value)
    return value

values = [eventlet.spawn(deep, depth, loop, 500) for depth in range(30)]
assert [each.wait() for each in values] == [500] * 30
print(json.dumps("over"))
"""
    assert result(code) == "over"


def test_large_frames(result):
    code = """
names = ", ".join(f"a{i}" for i in range(400))
space = {"sleep": eventlet.sleep}
exec(f"def wide({names}):\\n    sleep(0)\\n    return [{names}]", space)
threads = [eventlet.spawn(space["wide"], *range(400)) for _ in range(5)]
assert [each.wait() for each in threads] == [list(range(400))] * 5
print(json.dumps("over"))
"""
    assert result(code) == "over"


def test_green_threads_that_end_in_other_ways(result):
    code = """
def fail(depth):
    return deep(depth, lambda: 1 // 0)

def parked(depth, event):
    deep(depth, event.wait)

eventlet.debug.hub_exceptions(False)
for depth in (0, 50):
    for _ in range(200):
        try:
            eventlet.spawn(fail, depth).wait()
        except ZeroDivisionError:
            pass
        event = Event()
        thread = eventlet.spawn(parked, depth, event)
        eventlet.sleep(0)
        thread.kill()
gc.collect()
print(json.dumps("over"))
"""
    assert result("import eventlet.debug\n" + code) == "over"


def test_an_os_thread_ends_with_green_threads_parked(result):
    code = """
def thread():
    event = Event()
    for depth in (0, 50):
        for _ in range(20):
            eventlet.spawn_n(deep, depth, event.wait)
    eventlet.sleep(0)

for _ in range(10):
    each = threading.Thread(target=thread)
    each.start()
    each.join()
    gc.collect()
    eventlet.sleep(0)
print(json.dumps("over"))
"""
    assert result(code) == "over"


def test_tracebacks_and_frames_of_parked_green_threads(result):
    code = """
import traceback

def worker(event):
    deep(30, event.wait)

event = Event()
thread = eventlet.spawn(worker, event)
eventlet.sleep(0)
names = [frame.f_code.co_name for frame, _ in traceback.walk_stack(thread.gr_frame)]
event.send()
thread.wait()
print(json.dumps([names[0], names[-1], len(names)]))
"""
    assert result(code) == ["deep", "worker", 32]
