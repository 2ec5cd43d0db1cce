"""What the tests of hubs share."""

import contextlib
import os
import socket
import threading

from eventlet import _core
from eventlet.event import Event

BACKENDS = {"epolls": "epoll", "kqueue": "kqueue", "poll": "poll", "selects": "select"}
AVAILABLE = [name for name, backend in BACKENDS.items() if backend in _core.backends()]


class Failure(Exception):
    """What the tests raise on purpose."""


def fill(sock):
    """Write until the socket takes no more."""
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(b"x" * 65536)


def drain(sock):
    """Read until there is nothing left."""
    with contextlib.suppress(BlockingIOError):
        while sock.recv(65536):
            pass


def take_over(fileno):
    """Return two connected sockets, the first of which has that number, which is free."""
    left, right = socket.socketpair()
    if right.fileno() == fileno:
        left, right = right, left
    elif left.fileno() != fileno:
        os.dup2(left.fileno(), fileno)
        left.close()
        left = socket.socket(fileno=fileno)
    return left, right


def no_tb(error):
    raise AssertionError("unexpected") from error


def run_thread(function, *args):
    """Run a function in an OS thread of its own, without blocking the hub; return its result."""
    done = Event()

    def thread():
        try:
            done.send(function(*args))
        except BaseException as error:
            done.send(exc=error)

    os_thread = threading.Thread(target=thread, daemon=True)
    os_thread.start()
    try:
        return done.wait()
    finally:
        os_thread.join(10)
