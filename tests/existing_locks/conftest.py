"""A program with locks of the standard library from before it is patched."""

from __future__ import annotations

import pytest

# What every program begins with: locks from before, then Eventlet. `until`, `raises` and `works`
# are what the programs check with.
PROGRAM = """
import faulthandler, gc, logging, os, queue, signal, sys, threading, time, warnings
faulthandler.dump_traceback_later(40, exit=True)
# "This process is multi-threaded": that is what is being tested.
warnings.simplefilter("ignore", DeprecationWarning)
plain, reentrant = threading.Lock(), threading.RLock()
condition, items, event = threading.Condition(), queue.Queue(), threading.Event()
simple = queue.SimpleQueue()
Thread = threading.Thread
both = [plain, reentrant]

import eventlet
from eventlet import hubs
from eventlet.corolocal import get_ident
from eventlet.greenthread import GreenletExit
from eventlet._existing_locks import patch
limit = eventlet.Timeout(30)

def until(predicate):
    while not predicate():
        eventlet.sleep(0)

def raises(kind, function, *args):
    try:
        function(*args)
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind}")

def works(lock, passes=100, threads=3, inside=None, total=None):
    "Green threads that exclude each other."
    inside, total = inside or [0], total or [0]
    def work():
        for _ in range(passes):
            with lock:
                inside[0] += 1
                assert inside[0] == 1
                eventlet.sleep(0)
                inside[0] -= 1
                total[0] += 1
    for thread in [eventlet.spawn(work) for _ in range(threads)]:
        thread.wait()
    return total[0]

"""


@pytest.fixture
def program(run_python):
    """A function that runs the program above with some more lines; stderr must stay empty."""

    def run(code, patch=True, **options):
        start = PROGRAM + ("patch(True)\nhubs.get_hub()\n" if patch else "")
        done = run_python(start + code + "\nprint('fine')\n", timeout=50, **options)
        assert (done.stdout, done.stderr) == ("fine\n", "")

    return run
