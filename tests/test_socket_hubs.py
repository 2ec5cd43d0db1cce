"""Green sockets and the hubs they wait in: in other threads, after a fork, on another backend."""

import os
import threading

import pytest

import eventlet
from eventlet import _core, hubs
from eventlet.green import socket
from support.sockets import LONG, pair_at, parked

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("limit"),
]


def in_thread(function):
    """Run `function` in an OS thread; return one that waits for it and gives its result."""
    box = []

    def run():
        try:
            box.append((function(), None))
        except BaseException as error:
            box.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def join():
        thread.join(LONG)
        assert box, "the thread still runs"
        result, error = box[0]
        if error is not None:
            raise error
        return result

    return join


def test_each_thread_has_its_own_hub(pair):
    one, two = pair

    def echo():
        while data := two.recv(10):
            two.sendall(data)
        return hubs.get_hub()

    join = in_thread(echo)
    for number in range(100):
        one.sendall(b"%03d" % number)
        assert one.recv(10) == b"%03d" % number
    one.close()
    assert join() is not hubs.get_hub()


def test_closing_wakes_a_waiter_of_another_thread(pair):
    one, _two = pair
    waiting = threading.Event()

    def wait():
        thread = parked(one.recv, 10)
        waiting.set()
        with pytest.raises(hubs.IOClosed):
            thread.wait()
        return "woken"

    join = in_thread(wait)
    assert waiting.wait(LONG)
    fileno = one.fileno()
    one.close()
    # The number is given out again at once, to somebody who must not be disturbed.
    fresh, peer = pair_at(fileno)
    with fresh, peer:
        assert join() == "woken"
        peer.sendall(b"mine")
        assert fresh.recv(10) == b"mine"


def test_late_news_of_a_closed_number_disturb_nobody():
    """The other hub reads that a number was closed after it has a socket of that number itself."""
    ready, go = threading.Event(), threading.Event()
    numbers = []

    def run():
        # The hub does not look at its news before this has opened a socket and waits for it.
        ready.set()
        assert go.wait(LONG)
        one, two = pair_at(numbers[0])
        with one, two:
            eventlet.spawn_after(0.01, two.sendall, b"x")
            return one.recv(10)

    def other():
        return eventlet.spawn(run).wait()

    join = in_thread(other)
    assert ready.wait(LONG)
    mine, peer = socket.socketpair()
    numbers.append(mine.fileno())
    mine.close()
    go.set()
    assert join() == b"x"
    peer.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork(run_python):
    result = run_python(
        """
import os, sys, warnings
warnings.simplefilter("ignore")
import eventlet
from eventlet.green import socket

ours = [socket.socketpair() for _ in range(3)]
shared, shared_peer = socket.socketpair()

def echo(sock):
    while data := sock.recv(100):
        sock.sendall(data)

def forker():
    # Others wait on their sockets while this one forks.
    eventlet.sleep(0)
    return os.fork()

for one, two in ours:
    eventlet.spawn(echo, two)
child = eventlet.spawn(forker).wait()
who = b"child" if child == 0 else b"parent"
# The connections that the two have in common are made anew by the child; the parent keeps its own.
if child == 0:
    for index in range(len(ours)):
        one, two = socket.socketpair()
        eventlet.spawn(echo, two)
        ours[index] = one, two
for _ in range(20):
    for one, two in ours:
        with eventlet.Timeout(10):
            one.sendall(who)
            assert one.recv(100) == who
if child == 0:
    shared.sendall(b"child is fine")
    os._exit(0)
with eventlet.Timeout(10):
    print(shared_peer.recv(100).decode())
assert os.waitpid(child, 0)[1] == 0
print("parent is fine")
"""
    )
    assert result.stdout.split("\n")[:2] == ["child is fine", "parent is fine"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_goes_on_with_inherited_connections(run_python):
    result = run_python(
        """
import os, warnings
warnings.simplefilter("ignore")
import eventlet
from eventlet.green import socket

one, two = socket.socketpair()
state = {}

def reader():
    state["got"] = two.recv(100)

thread = eventlet.spawn(reader)
eventlet.sleep(0)            # the reader waits, registered with the parent's poller
child = os.fork()
if child == 0:
    # The same green thread goes on here; lookups and timers work too.
    with eventlet.Timeout(10):
        assert socket.getaddrinfo("localhost", 1)
        one.sendall(b"to the child")
        thread.wait()
        eventlet.sleep(0.001)
    print(state["got"].decode(), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
with eventlet.Timeout(10):
    one.sendall(b"to the parent")
    thread.wait()
print(state["got"].decode())
"""
    )
    assert result.stdout.split("\n")[:2] == ["to the child", "to the parent"]


def test_a_thread_that_makes_a_socket_needs_no_hub():
    def run():
        with socket.socket():
            return _core.has_hub()

    assert in_thread(run)() is False


def test_errors_inside_the_hub(pair):
    one, _ = pair
    caught = []

    def callback():
        try:
            one.recv(1)
        except RuntimeError as error:
            caught.append(str(error))

    hubs.get_hub().schedule_call_global(0, callback)
    eventlet.sleep(0.001)
    assert caught
    assert "mainloop" in caught[0]


@pytest.mark.parametrize("name", ["poll", "select"])
def test_other_backends(run_python, name):
    result = run_python(
        """
import eventlet
from eventlet.green import socket

one, two = socket.socketpair()

def echo():
    while data := two.recv(100):
        two.sendall(data)
    two.close()

thread = eventlet.spawn(echo)
for _ in range(50):
    one.sendall(b"x")
    with eventlet.Timeout(10):
        assert one.recv(10) == b"x"
one.close()
thread.wait()
print(eventlet.hubs.get_hub().backend)
""",
        env={"EVENTLET_HUB": {"poll": "poll", "select": "selects"}[name]},
    )
    assert result.stdout.strip() == name
