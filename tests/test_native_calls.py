"""Native functions that wait: their arguments, and how little of the stack they take."""

import inspect

import greenlet
import pytest

import eventlet
from eventlet.event import Event
from eventlet.green import socket
from eventlet.greenthread import GreenThread
from eventlet.lock import Lock
from eventlet.queue import LightQueue, Queue
from eventlet.semaphore import Semaphore

CALLS = [
    (eventlet.sleep, "(seconds=0.0)"),
    (Event.wait, "(self, /, timeout=None, timeout_value=None)"),
    (GreenThread.wait, "(self, /)"),
    (socket.socket.recv, "(self, /, bufsize, flags=0)"),
    (Semaphore.acquire, "(self, /, blocking=True, timeout=None)"),
    (Semaphore.__enter__, "(self, /)"),
    (Lock.__enter__, "(self, /)"),
    (Lock.acquire_lock, "(self, /, blocking=True, timeout=None)"),
    (LightQueue.get, "(self, /, block=True, timeout=None)"),
    (Queue.get, "(self, /, block=True, timeout=None)"),
]


@pytest.mark.parametrize(("function", "signature"), CALLS)
def test_they_describe_themselves(function, signature):
    assert str(inspect.signature(function)) == signature
    assert function.__doc__
    assert not function.__doc__.startswith(function.__name__)


def test_arguments_by_name_and_by_position():
    eventlet.sleep()
    eventlet.sleep(0)
    eventlet.sleep(0.0)
    eventlet.sleep(seconds=0)
    eventlet.sleep(seconds=1e-9)
    event = Event()
    assert event.wait(0) is None
    assert event.wait(0, "late") == "late"
    assert event.wait(0, timeout_value="late") == "late"
    assert event.wait(timeout_value="late", timeout=0) == "late"
    event.send("sent")
    assert event.wait(None, "late") == "sent"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: eventlet.sleep(0, 0), r"sleep\(\) takes at most 1 argument \(2 given\)"),
        (lambda: eventlet.sleep(0, seconds=0), r"multiple values for argument 'seconds'"),
        (lambda: eventlet.sleep(second=0), r"unexpected keyword argument 'second'"),
        (lambda: eventlet.sleep("0"), "str"),
        (lambda: eventlet.sleep(None), "None"),
        (lambda: Event().wait(0, 0, 0), r"wait\(\) takes at most 2 arguments \(3 given\)"),
        (lambda: Event().wait("0"), "str"),
        (lambda: Event.wait(), "needs an argument"),
        (lambda: Event.wait(3), "doesn't apply to a 'int' object"),
        (lambda: GreenThread().wait(1), r"wait\(\) takes at most 0 arguments \(1 given\)"),
        (lambda: GreenThread.wait(3), "doesn't apply to a 'int' object"),
        (lambda: socket.socket.recv(object(), 1), "doesn't apply to a 'object' object"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_a_missing_argument():
    one, other = socket.socketpair()
    with one, other:
        with pytest.raises(TypeError, match=r"recv\(\) missing required argument 'bufsize'"):
            one.recv()
        with pytest.raises(TypeError, match=r"recv\(\) missing required argument 'bufsize'"):
            one.recv(flags=0)
        other.sendall(b"data")
        assert one.recv(flags=socket.MSG_PEEK, bufsize=2) == b"da"
        assert one.recv(bufsize=9) == b"data"


def test_an_error_in_an_argument_is_passed_on():
    class Number:
        def __float__(self):
            raise LookupError("no number")

    with pytest.raises(LookupError, match="no number"):
        eventlet.sleep(Number())


def saved(wait):
    """Bytes of the C stack of a green thread that waits."""
    thread = eventlet.spawn(wait)
    eventlet.sleep(0)
    bytes_ = thread._stack_saved
    thread.kill()
    return bytes_


@pytest.mark.parametrize("name", ["sleep", "event", "join", "recv", "acquire", "with", "get"])
def test_a_green_thread_that_waits_takes_little_of_the_stack(name):
    main = greenlet.getcurrent()
    plain = greenlet.greenlet(lambda: main.switch())
    plain.switch()
    other = eventlet.spawn(eventlet.sleep, 60)
    one, peer = socket.socketpair()
    waits = {
        "sleep": lambda: eventlet.sleep(60),
        "event": lambda: Event().wait(),
        "join": lambda: other.wait(),
        "recv": lambda: one.recv(1),
        "acquire": lambda: Semaphore(0).acquire(),
        "with": lambda: Semaphore(0).__enter__(),
        "get": lambda: Queue().get(),
    }
    # A frame at the bottom, and one that waits; what is between them is the interpreter's.
    assert saved(waits[name]) < plain._stack_saved + 512
    plain.switch()
    other.kill()
    one.close()
    peer.close()
