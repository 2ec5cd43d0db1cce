"""Sockets of a patched program: those made before it was patched, and what the library makes.

Each test is a program of its own. `overlap` shows that an operation that waits lets others run.
"""

import pytest

PRELUDE = """
import os, socket, sys
from socket import socket as early_class

class EarlySubclass(early_class):
    pass

class Reader(early_class):
    received = b""
    def recv(self, *args):
        data = super().recv(*args)
        self.received += data
        return data

early_pair = socket.socketpair()
early_listener = socket.socket()
early_listener.bind(("127.0.0.1", 0))
early_listener.listen()

import eventlet
from eventlet import hubs, patcher
from eventlet.greenio import GreenSocket
"""

PATCH = """
import warnings
with warnings.catch_warnings():
    warnings.simplefilter("ignore", patcher.LatePatchWarning)
    eventlet.monkey_patch()

limit = eventlet.Timeout(20)

def overlap(function, *args):
    # Start it in a green thread, return that once it waits.
    hub = hubs.get_hub()
    before = len(hub.get_readers()) + len(hub.get_writers())
    thread = eventlet.spawn(function, *args)
    while len(hub.get_readers()) + len(hub.get_writers()) <= before:
        assert not thread.dead, "it did not wait"
        eventlet.sleep(0)
    return thread

def fill(sock):
    while True:
        sock.send(bytes(1 << 16))
"""


@pytest.fixture
def run_late(run_python):
    """Run a program that has sockets before it is patched."""

    def run(code, **kwargs):
        done = run_python(PRELUDE + PATCH + code + "\nlimit.cancel()\n", **kwargs)
        assert done.stderr == ""
        return done

    return run


def test_early_sockets_wait_for_data(run_late):
    run_late(
        """
one, two = early_pair
assert type(one) is early_class
for name, args in {
    "recv": (10,),
    "recv_into": (bytearray(10),),
    "recvfrom": (10,),
    "recvfrom_into": (bytearray(10),),
    "recvmsg": (10,),
    "recvmsg_into": ([bytearray(10)],),
}.items():
    waiting = overlap(getattr(one, name), *args)
    two.sendall(b"data")
    got = waiting.wait()
    first = got[0] if isinstance(got, tuple) else got
    assert first in (b"data", 4), (name, got)
    assert one.gettimeout() is None and os.get_blocking(one.fileno())
with one.makefile("rb") as file:
    waiting = overlap(file.readline)
    two.sendall(b"line\\n")
    assert waiting.wait() == b"line\\n"
"""
    )


def test_a_flag_says_not_to_wait(run_late):
    run_late(
        """
one, two = early_pair
flag = socket.MSG_DONTWAIT
for operation in (
    lambda: one.recv(10, flag),
    lambda: one.recv_into(bytearray(10), 0, flag),
    lambda: one.recvfrom(10, flag),
    lambda: one.recvfrom_into(bytearray(10), 0, flag),
    lambda: one.recvmsg(10, 0, flag),
    lambda: one.recvmsg_into([bytearray(10)], 0, flag),
    lambda: [one.send(bytes(1 << 16), flag) for _ in range(1000)],
    lambda: one.sendmsg([bytes(1 << 16)], [], flag),
):
    try:
        operation()
    except BlockingIOError:
        pass
    else:
        raise AssertionError
"""
    )


def test_early_sockets_wait_for_room(run_late):
    run_late(
        """
one, two = early_pair
data = os.urandom(3_000_000)

def receive():
    got = b""
    while len(got) < len(data):
        got += two.recv(1 << 16)
    return got

for send in (one.sendall, lambda data: one.makefile("wb").write(data)):
    sending = overlap(send, data)
    assert eventlet.spawn(receive).wait() == data
    sending.wait()

with open("file", "wb+") as file:
    file.write(data)
    file.flush()
    file.seek(0)
    sending = overlap(one.sendfile, file)
    assert eventlet.spawn(receive).wait() == data
    assert sending.wait() == len(data)
    assert file.tell() == len(data)

for name, args in {"send": (bytes(1 << 16),), "sendmsg": ([bytes(1 << 16)],)}.items():
    def fill(send=getattr(one, name)):
        while True:
            send(*args)
    filling = overlap(fill)
    filling.kill()
    while True:
        try:
            two.recv(1 << 20, socket.MSG_DONTWAIT)
        except BlockingIOError:
            break
"""
    )


def test_early_sockets_time_out(run_late):
    run_late(
        """
one, two = early_pair
hub = hubs.get_hub()
one.settimeout(0.02)
for operation in (
    lambda: one.recv(1),
    lambda: one.recvfrom(1),
    lambda: fill(one),
    lambda: one.sendall(bytes(1 << 23)),
):
    ticks = eventlet.spawn(eventlet.sleep, 0.001)
    try:
        operation()
    except TimeoutError as error:
        assert str(error) == "timed out"
    else:
        raise AssertionError("no timeout")
    assert ticks.dead, "nobody else could run"
early_listener.settimeout(0.01)
try:
    early_listener.accept()
except TimeoutError:
    pass
one.setblocking(False)
try:
    one.recv(1)
except BlockingIOError:
    pass
one.settimeout(None)
try:
    with eventlet.Timeout(0.01):
        one.recv(1)
except eventlet.Timeout:
    pass
assert not hub.get_readers() and not hub.get_writers()
"""
    )


def test_early_listeners_and_classes(run_late):
    run_late(
        """
accepting = overlap(early_listener.accept)
client = EarlySubclass()
client.connect(early_listener.getsockname())
conn, address = accepting.wait()
assert type(conn) is socket.socket is GreenSocket
assert address == client.getsockname()
waiting = overlap(client.recv, 10)
conn.sendall(b"abc")
assert waiting.wait() == b"abc"

reader = Reader(fileno=client.detach())
conn.sendall(b"abc")
assert reader.recv(10) == b"abc" == reader.received

# A class that is made now, and one object made now by the name that was imported.
class Late(socket.socket):
    pass

assert issubclass(Late, GreenSocket)
for sock in (Late(), early_class()):
    with sock:
        assert isinstance(sock, early_class) and isinstance(sock, socket.SocketType)
        assert sock.connect_ex(early_listener.getsockname()) == 0
        waiting = overlap(sock.recv, 1)
        early_listener.accept()[0].close()
        early_listener.settimeout(0.01)
        try:
            early_listener.accept()[0].close()
        except TimeoutError:
            pass
        early_listener.settimeout(None)
        assert waiting.wait() == b""
"""
    )


def test_early_sockets_connect(run_late):
    run_late(
        """
import errno
target = early_listener.getsockname()
early_listener.close()
with early_class() as sock:
    assert sock.connect_ex(target) == errno.ECONNREFUSED
with early_class() as sock:
    try:
        sock.connect(target)
    except ConnectionRefusedError as error:
        assert error.errno == errno.ECONNREFUSED
    else:
        raise AssertionError
# A local socket whose queue is full: there is no event for it.
with early_class(socket.AF_UNIX) as listener:
    listener.bind("socket")
    listener.listen(0)
    clients = [early_class(socket.AF_UNIX) for _ in range(4)]
    connecting = [eventlet.spawn(client.connect, "socket") for client in clients]
    eventlet.sleep(0.02)
    assert not all(thread.dead for thread in connecting)
    with early_class(socket.AF_UNIX) as hasty:
        hasty.settimeout(0.02)
        assert hasty.connect_ex("socket") == errno.EAGAIN
        try:
            hasty.connect("socket")
        except TimeoutError:
            pass
        else:
            raise AssertionError
    accepted = [listener.accept()[0] for _ in clients]
    for thread in connecting:
        thread.wait()
    for sock in clients + accepted:
        sock.close()
"""
    )


def test_names_are_looked_up_without_blocking(run_late):
    run_late(
        """
from eventlet.green import _dns
looked_up = []
def resolve(address, family):
    looked_up.append(address[0])
    eventlet.sleep(0)
    return ("127.0.0.1", *address[1:])
_dns.resolve_address = resolve
# Native code takes the function when it is first needed.
with early_class(type=socket.SOCK_DGRAM) as receiver, early_class(type=socket.SOCK_DGRAM) as sender:
    receiver.bind(("127.0.0.1", 0))
    port = receiver.getsockname()[1]
    sender.sendto(b"one", ("name.invalid", port))
    sender.sendto(b"two", 0, ("name.invalid", port))
    sender.sendmsg([b"three"], [], 0, ("name.invalid", port))
    assert [receiver.recv(10) for _ in range(3)] == [b"one", b"two", b"three"]
with early_class() as sock:
    sock.connect(("name.invalid", early_listener.getsockname()[1]))
assert looked_up == ["name.invalid"] * 4
"""
    )


def test_closing_early_sockets_wakes_who_waits(run_late):
    run_late(
        """
def receive(sock):
    try:
        return sock.recv(1)
    except hubs.IOClosed:
        return "closed"

one, two = early_pair
fileno = one.fileno()
waiting = overlap(receive, one)
assert one.detach() == fileno
assert waiting.wait() == "closed"
one = early_class(fileno=fileno)
waiting = overlap(receive, one)
one.close()
assert waiting.wait() == "closed"
assert one.fileno() == -1
try:
    one.recv(1)
except OSError as error:
    assert error.errno == 9
"""
    )


def test_where_waiting_is_not_possible_early_sockets_block(run_late):
    """In the hub itself, and in an OS thread that has none."""
    run_late(
        """
one, two = early_pair
two.sendall(b"1")
got = []
hubs.get_hub().schedule_call_global(0, lambda: got.append(one.recv(1)))
eventlet.sleep(0)
eventlet.sleep(0)
assert got == [b"1"]

threading = patcher.original("threading")
def block():
    got.append(one.recv(1))
    one.sendall(b"3")
    assert not hubs._core.has_hub() if hasattr(hubs, "_core") else True
thread = threading.Thread(target=block)
thread.start()
two.sendall(b"2")
assert two.recv(1) == b"3"
thread.join()
assert got == [b"1", b"2"]
"""
    )


def test_unpatching_gives_the_classes_back(run_python):
    run_python(
        PRELUDE
        + """
import _socket, ssl
before = {name: value for name, value in vars(early_class).items()}
tls_before = {c: dict(vars(c)) for c in (ssl.SSLSocket, ssl.SSLContext)}
for _ in range(3):
    eventlet.monkey_patch(socket=True)
    assert vars(early_class)["recv"] is not _socket.socket.recv
    assert ssl.SSLContext.sslsocket_class.__name__ == "GreenSSLSocket"
    assert socket.socket is GreenSocket
    patcher.unpatch()
    assert dict(vars(early_class)) == before
    assert all(dict(vars(c)) == names for c, names in tls_before.items())
    assert socket.socket is early_class
early_pair[0].sendall(b"x")
assert early_pair[1].recv(1) == b"x"
"""
    )


def test_originals_block_for_real(run_late):
    run_late(
        """
original = patcher.original("socket")
assert original.socket is not early_class and not issubclass(original.socket, GreenSocket)
one, two = original.socketpair()
with one, two:
    two.settimeout(0.01)
    other = eventlet.spawn(eventlet.sleep, 0)
    try:
        two.recv(1)
    except TimeoutError:
        pass
    assert not other.dead
    other.wait()
"""
    )


def test_what_the_library_makes_is_green(run_late):
    run_late(
        """
import _socket
with socket.create_server(("127.0.0.1", 0)) as listener:
    assert type(listener) is GreenSocket
    accepting = overlap(listener.accept)
    with socket.create_connection(listener.getsockname(), timeout=5) as client:
        assert type(client) is GreenSocket and client.gettimeout() == 5
        conn, _ = accepting.wait()
        with conn, socket.fromfd(conn.fileno(), conn.family, conn.type) as copy, conn.dup() as dup:
            assert type(copy) is type(dup) is GreenSocket
            waiting = overlap(copy.recv, 1)
            client.sendall(b"x")
            assert waiting.wait() == b"x"
one, two = socket.socketpair()
with one, two:
    assert type(one) is type(two) is GreenSocket
    if hasattr(socket, "send_fds"):
        with open("file", "w") as file:
            socket.send_fds(one, [b"fd"], [file.fileno()])
            data, fds, _, _ = socket.recv_fds(two, 10, 1)
            assert data == b"fd"
            os.close(*fds)
assert socket.timeout is TimeoutError
assert socket.SocketType is _socket.socket
assert isinstance(socket.has_dualstack_ipv6(), bool)
assert isinstance(socket.getfqdn("localhost"), str)
if socket.has_dualstack_ipv6():
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        assert type(listener) is GreenSocket
socket.setdefaulttimeout(0.01)
one, two = socket.socketpair()
with one, two:
    try:
        one.recv(1)
    except TimeoutError:
        pass
    else:
        raise AssertionError
"""
    )


def test_socketserver(run_late):
    run_late(
        """
import socketserver, threading

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())

with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    clients = [socket.create_connection(server.server_address) for _ in range(10)]
    files = [client.makefile("rwb") for client in clients]
    for number, file in enumerate(files):
        file.write(b"line %d\\n" % number)
        file.flush()
    for number, file in enumerate(files):
        assert file.readline() == b"LINE %d\\n" % number
    for file, client in zip(files, clients):
        file.close()
        client.close()
    server.shutdown()
    serving.join()
"""
    )


@pytest.mark.parametrize("imported", ["before", "after"])
def test_sockets_go_to_other_processes(run_python, imported):
    """multiprocessing pickles them for itself, whenever it was imported."""
    before = "import multiprocessing.reduction\n" if imported == "before" else ""
    run_python(
        before
        + """
import eventlet
eventlet.monkey_patch()
import multiprocessing.reduction, os, pickle, socket

one, two = socket.socketpair()
data = bytes(multiprocessing.reduction.ForkingPickler.dumps(two))
copy = pickle.loads(data)
assert type(copy) is socket.socket and copy.fileno() != two.fileno()
two.close()
one.sendall(b"x")
assert copy.recv(1) == b"x"
try:
    pickle.dumps(one)
except TypeError:
    pass
else:
    raise AssertionError
"""
    )
