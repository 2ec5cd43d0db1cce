"""The cache under CPython's arena allocator, which makes green threads cheap to start."""

import sys

import pytest

# What one chunk of CPython's data stack takes; the interpreters before 3.11 have none.
HAS_CHUNKS = sys.version_info >= (3, 11)

PROGRAM = """
import json, eventlet
from eventlet import hubs
from eventlet.event import Event

def parked(event, depth=50):
    # Deep enough for a chunk beyond the small one that each green thread begins with.
    if depth:
        parked(event, depth - 1)
    else:
        event.wait()

def figures():
    stats = hubs.get_hub().stats()
    return {key[6:]: stats[key] for key in stats if key.startswith("arena_")}

seen = [figures()]
for count in (10, 300, 300):
    event = Event()
    green_threads = [eventlet.spawn(parked, event) for _ in range(count)]
    eventlet.sleep(0)
    event.send()
    for green_thread in green_threads:
        green_thread.wait()
    del green_threads, green_thread
    eventlet.sleep(0)
    seen.append(figures())
print(json.dumps(seen))
"""


@pytest.fixture
def figures(run_python):
    """A function that runs the program with a value of the variable, and returns what it saw."""
    import json

    def run(value):
        env = {} if value is None else {"EVENTLET_ARENA_CACHE": value}
        done = run_python(PROGRAM, env=env)
        assert done.stderr == ""
        return json.loads(done.stdout)

    return run


@pytest.mark.parametrize("value", ["0", " 0 ", "00"])
def test_off(figures, value):
    assert figures(value) == [{}] * 4


@pytest.mark.skipif(not HAS_CHUNKS, reason="CPython 3.10 has no data stack chunks")
@pytest.mark.parametrize("value", [None, "", "x", "-1", "1.5", "99999999999999999999999"])
def test_default_and_nonsense(figures, value):
    start, ten, many, again = figures(value)
    assert ten["misses"] - start["misses"] >= 10
    assert many["free"] >= 300
    # All of the second batch came from the cache.
    assert again["misses"] == many["misses"]
    assert again["hits"] - many["hits"] >= 300
    assert again["free"] == many["free"]


@pytest.mark.skipif(not HAS_CHUNKS, reason="CPython 3.10 has no data stack chunks")
@pytest.mark.parametrize("value", ["1", "50"])
def test_bounded(figures, value):
    _, ten, many, again = figures(value)
    assert ten["free"] <= int(value)
    assert many["free"] == again["free"] == int(value)
    assert again["misses"] - many["misses"] >= 300 - int(value)


def test_several_threads(run_python):
    code = """
import threading, eventlet

def thread():
    for _ in range(50):
        for each in [eventlet.spawn(eventlet.sleep) for _ in range(20)]:
            each.wait()

threads = [threading.Thread(target=thread) for _ in range(4)]
for each in threads:
    each.start()
for each in threads:
    each.join()
print("over")
"""
    done = run_python(code, env={"EVENTLET_ARENA_CACHE": "8"})
    assert (done.stdout, done.stderr) == ("over\n", "")
