"""Pairs of connected sockets, and what the tests of green sockets do with them."""

import contextlib
import os
import socket as stdlib

import eventlet
from eventlet import hubs
from eventlet.green import socket
from eventlet.greenio import GreenSocket

#: Seconds; long enough that nothing but a fault lets it pass.
LONG = 20

#: What receives, by the name of the method; what sends a single byte, too.
READS = {
    "recv": lambda sock: sock.recv(10),
    "recv_into": lambda sock: sock.recv_into(bytearray(10)),
    "recvfrom": lambda sock: sock.recvfrom(10),
    "recvfrom_into": lambda sock: sock.recvfrom_into(bytearray(10)),
    "recvmsg": lambda sock: sock.recvmsg(10),
    "recvmsg_into": lambda sock: sock.recvmsg_into([bytearray(10)]),
}

WRITES = {
    "send": lambda sock: sock.send(b"x"),
    "sendall": lambda sock: sock.sendall(b"x"),
    "sendmsg": lambda sock: sock.sendmsg([b"x"]),
}


@contextlib.contextmanager
def connected(kind):
    """Two connected green stream sockets: "unix" or "tcp"."""
    if kind == "unix":
        one, two = socket.socketpair()
    else:
        with eventlet.listen(("127.0.0.1", 0)) as listener:
            one = eventlet.connect(listener.getsockname())
            two, _ = listener.accept()
    with one, two:
        yield one, two


def parked(function, *args):
    """Start `function` in a green thread and return it once it waits for a descriptor."""
    hub = hubs.get_hub()
    before = len(hub.get_readers()) + len(hub.get_writers())
    thread = eventlet.spawn(function, *args)
    while len(hub.get_readers()) + len(hub.get_writers()) <= before:
        assert not thread.dead, "it did not wait"
        eventlet.sleep(0)
    return thread


def fill(sock):
    """Send until the kernel takes no more; return how much it took."""
    sock.setblocking(False)
    total = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            total += sock.send(bytes(65536))
    sock.setblocking(True)
    return total


def plain_pair_at(fileno):
    """Two connected plain sockets, the first of which has this descriptor."""
    one, two = stdlib.socketpair()
    if two.fileno() == fileno:
        one, two = two, one
    if one.fileno() != fileno:
        os.dup2(one.fileno(), fileno, inheritable=False)
        one.close()
        one = stdlib.socket(fileno=fileno)
    return one, two


def pair_at(fileno):
    """The same, green."""
    return tuple(GreenSocket(fileno=sock.detach()) for sock in plain_pair_at(fileno))


def drain(sock, size):
    """Receive `size` bytes."""
    left = size
    while left:
        data = sock.recv(min(left, 1 << 20))
        assert data
        left -= len(data)
