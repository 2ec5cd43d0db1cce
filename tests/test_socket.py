"""Green sockets: they are sockets, wait without blocking, and wait for the right thing."""

import array
import contextlib
import errno
import gc
import os
import pickle
import socket as stdlib
import struct
import sys
import threading
import time
import weakref

import pytest

import eventlet
from eventlet import _core, hubs
from eventlet.green import _dns, socket
from eventlet.greenio import GreenSocket

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

#: Seconds; long enough that nothing but a fault lets it pass.
LONG = 20


@pytest.fixture(autouse=True)
def limit():
    """Ends what hangs in a green thread with a traceback that shows where."""
    with eventlet.Timeout(LONG):
        yield


@pytest.fixture(params=["unix", "tcp"])
def pair(request):
    """Two connected stream sockets."""
    if request.param == "unix":
        one, two = socket.socketpair()
    else:
        with eventlet.listen(("127.0.0.1", 0)) as listener:
            one = eventlet.connect(listener.getsockname())
            two, _ = listener.accept()
    with one, two:
        yield one, two


@pytest.fixture
def datagrams():
    """Two UDP sockets with addresses."""
    one, two = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    with one, two:
        for sock in (one, two):
            sock.bind(("127.0.0.1", 0))
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


# ------------------------------------------------------------------------------------------------
# What it is


def test_it_is_a_socket():
    with socket.socket() as sock:
        assert isinstance(sock, stdlib.socket)
        assert type(sock) is GreenSocket is socket.socket
        assert isinstance(sock, socket.SocketType)
        assert sock.fd is sock
        assert sock._sock is sock
        assert weakref.ref(sock)() is sock
        assert f"fd={sock.fileno()}" in repr(sock)
        assert not os.get_blocking(sock.fileno())
        assert not os.get_inheritable(sock.fileno())


def test_the_descriptor_is_read_without_a_call():
    with stdlib.socket() as probe:
        assert _core.init_sockets(stdlib.socket.__mro__[1], GreenSocket, probe)


def test_methods_are_native():
    for name in ("recv", "recv_into", "send", "sendall", "accept", "connect", "recvmsg"):
        assert type(getattr(GreenSocket, name)).__name__ == "method_descriptor"


def test_native_methods_are_for_sockets_only():
    class Impostor(_core.SocketMethods, int):
        def fileno(self):
            return -1

    with pytest.raises(OSError) as caught:
        int.__new__(Impostor, 7).recv(1)
    assert caught.value.errno == errno.EBADF


def test_attributes_can_be_set(pair):
    one, _ = pair
    one.setsockopt = lambda *args: "mine"
    assert one.setsockopt(1, 2, 3) == "mine"
    GreenSocket.something = 1
    try:
        assert one.something == 1
    finally:
        del GreenSocket.something


def test_subclasses(pair):
    class Mine(GreenSocket):
        def recv(self, *args):
            return b"<" + super().recv(*args) + b">"

    one, two = pair
    with Mine(one.family, one.type, one.proto, fileno=one.detach()) as mine:
        two.sendall(b"data")
        assert mine.recv(10) == b"<data>"
    with Mine() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with eventlet.connect(listener.getsockname()) as client:
            conn, address = listener.accept()
            with conn:
                assert type(conn) is Mine
                assert address == client.getsockname()


def test_pickling_is_refused():
    with socket.socket() as sock, pytest.raises(TypeError):
        pickle.dumps(sock)


def test_family_type_and_protocol_are_kept():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_DGRAM)


def test_set_nonblocking_false_leaves_the_descriptor_alone():
    with socket.socket(set_nonblocking=False) as sock:
        assert os.get_blocking(sock.fileno())


def test_nonblock_flag_makes_it_non_blocking():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        assert sock.gettimeout() == 0.0
        with pytest.raises(BlockingIOError):
            sock.recv(1)


def test_default_timeout():
    stdlib.setdefaulttimeout(2.5)
    try:
        with socket.socket() as sock:
            assert sock.gettimeout() == 2.5
    finally:
        stdlib.setdefaulttimeout(None)


# ------------------------------------------------------------------------------------------------
# Timeouts


def test_timeout_settings():
    with socket.socket() as sock:
        assert sock.gettimeout() is None
        assert sock.getblocking()
        sock.settimeout(3)
        assert sock.timeout == 3.0
        sock.settimeout(0)
        assert not sock.getblocking()
        assert sock.act_non_blocking
        sock.setblocking(True)
        assert sock.gettimeout() is None
        sock.act_non_blocking = True
        assert sock.gettimeout() == 0.0
        sock.act_non_blocking = False
        assert sock.gettimeout() is None
        with pytest.raises(TypeError):
            sock.settimeout("1")
        for wrong in (-1, float("nan")):
            with pytest.raises(ValueError):
                sock.settimeout(wrong)


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


@pytest.mark.parametrize("name", READS)
def test_reads_time_out(pair, name, clean_hub):
    one, _ = pair
    one.settimeout(0.01)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"^timed out$"):
        READS[name](one)
    assert time.monotonic() - began >= 0.01


@pytest.mark.parametrize("name", WRITES)
def test_writes_time_out(pair, name, clean_hub):
    one, _ = pair
    fill(one)
    one.settimeout(0.01)
    with pytest.raises(TimeoutError):
        WRITES[name](one)


@pytest.mark.parametrize("name", READS)
def test_reads_let_others_run(pair, name):
    one, two = pair
    reader = parked(READS[name], one)
    two.sendall(b"data")
    result = reader.wait()
    first = result[0] if isinstance(result, tuple) else result
    assert first in (b"data", 4)


@pytest.mark.parametrize("name", WRITES)
def test_writes_let_others_run(pair, name):
    one, two = pair
    size = fill(one)
    writer = parked(WRITES[name], one)
    drain(two, size)
    assert writer.wait() in (None, 1)
    assert two.recv(10) == b"x"


@pytest.mark.parametrize("name", [*READS, "accept"])
def test_non_blocking_reads(pair, name):
    one, _ = pair
    with eventlet.listen(("127.0.0.1", 0)) as listener:
        sock, function = (listener, GreenSocket.accept) if name == "accept" else (one, READS[name])
        sock.setblocking(False)
        with pytest.raises(BlockingIOError) as caught:
            function(sock)
    assert caught.value.errno == errno.EAGAIN


@pytest.mark.parametrize(
    "operation",
    [
        lambda sock, flags: sock.recv(10, flags),
        lambda sock, flags: sock.recv_into(bytearray(10), 0, flags),
        lambda sock, flags: sock.recvfrom(10, flags),
        lambda sock, flags: sock.recvfrom_into(bytearray(10), 0, flags),
        lambda sock, flags: sock.recvmsg(10, 0, flags),
        lambda sock, flags: sock.recvmsg_into([bytearray(10)], 0, flags),
        lambda sock, flags: sock.send(b"x", flags),
        lambda sock, flags: sock.sendmsg([b"x"], [], flags),
    ],
)
def test_a_flag_says_not_to_wait(pair, operation):
    one, _ = pair
    fill(one)
    assert one.gettimeout() is None
    with pytest.raises(BlockingIOError) as caught:
        operation(one, socket.MSG_DONTWAIT)
    assert caught.value.errno == errno.EAGAIN


def test_the_timeout_of_sendall_is_for_the_whole_of_it(pair):
    one, two = pair
    one.settimeout(0.2)
    stop = []

    def sip():
        # Takes a little again and again, so that no single wait is as long as the timeout.
        while not stop:
            two.recv(65536)
            eventlet.sleep(0.02)

    sipper = eventlet.spawn(sip)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        one.sendall(bytes(64 << 20))
    assert 0.2 <= time.monotonic() - began < 5
    stop.append(1)
    sipper.kill()


def test_eventlet_timeout_interrupts_a_read(pair, clean_hub):
    one, two = pair
    with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.01):
        one.recv(1)
    two.sendall(b"x")
    assert one.recv(1) == b"x"


# ------------------------------------------------------------------------------------------------
# Reading and writing


def test_end_of_stream(pair):
    one, two = pair
    two.close()
    assert one.recv(10) == b""
    assert one.recv_into(bytearray(10)) == 0


def test_reset_counts_as_the_end():
    with eventlet.listen(("127.0.0.1", 0)) as listener:
        client = eventlet.connect(listener.getsockname())
        conn, _ = listener.accept()
        reader = parked(conn.recv, 10)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert reader.wait() == b""
        conn.close()


def test_recv_sizes(pair):
    one, two = pair
    data = os.urandom(200_000)
    sender = eventlet.spawn(two.sendall, data)
    received = b""
    while len(received) < len(data):
        received += one.recv(1 << 20)
    sender.wait()
    assert received == data
    with pytest.raises(ValueError, match="negative"):
        one.recv(-1)
    with pytest.raises((MemoryError, OverflowError)):
        one.recv(1 << 62)


def test_after_a_short_read_nothing_is_lost(pair):
    one, two = pair

    def read():
        """Empty the socket, so that the next read waits without trying."""
        two.sendall(b"first")
        assert one.recv(100) == b"first"

    read()
    two.sendall(b"second")
    eventlet.sleep(0)  # the hub hears of it while nobody waits
    assert one.recv(3) == b"sec"
    assert one.recv(3) == b"ond"

    # Data wakes a reader whose time is up in the same moment, and who leaves it to the next.
    read()
    reader = parked(one.recv, 100)
    two.sendall(b"third")
    reader.kill()
    assert one.recv(100) == b"third"

    read()
    one.setblocking(False)
    two.sendall(b"fourth")
    assert one.recv(100) == b"fourth"
    with pytest.raises(BlockingIOError):
        one.recv(100)
    one.setblocking(True)

    read()
    two.sendall(b"fifth")
    assert one.recv(1, socket.MSG_PEEK) == b"f"
    buffer = bytearray(2)
    assert one.recv_into(buffer) == 2
    assert one.recv(100) == b"fth"

    read()
    two.sendall(b"last")
    two.close()
    eventlet.sleep(0)
    assert one.recv(100) == b"last"
    assert one.recv(100) == b""
    assert one.recv(100) == b""


def test_data_and_the_end_of_the_stream_at_once(pair):
    one, two = pair
    reader = parked(one.recv, 100)
    two.sendall(b"last")
    two.close()  # one event tells of both
    assert reader.wait() == b"last"
    assert one.recv(100) == b""


def test_shutting_down_after_a_short_read(pair):
    one, two = pair
    for _ in range(2):
        two.sendall(b"data")
        assert one.recv(100) == b"data"
    one.shutdown(socket.SHUT_RD)
    assert one.recv(100) == b""


def test_urgent_data_stops_a_read_short():
    with eventlet.listen(("127.0.0.1", 0)) as listener:
        one = eventlet.connect(listener.getsockname())
        two, _ = listener.accept()
    with one, two:
        reader = parked(one.recv, 100)
        two.sendall(b"ab")
        assert reader.wait() == b"ab"
        two.sendall(b"cd")
        two.send(b"!", socket.MSG_OOB)
        two.sendall(b"ef")
        received = b""
        while len(received) < 4:
            received += one.recv(100)
        assert received == b"cdef"


def test_a_duplicate_is_read_by_another(pair):
    one, two = pair
    with one.dup() as other:
        for sock in (one, other, one, other, other, one):
            reader = parked(sock.recv, 100)
            two.sendall(b"data")
            assert reader.wait() == b"data"
            two.sendall(b"more")
            assert sock.recv(100) == b"more"


def test_recv_of_nothing_waits(pair):
    one, two = pair
    one.settimeout(0.01)
    with pytest.raises(TimeoutError):
        one.recv(0)
    two.sendall(b"x")
    assert one.recv(0) == b""
    assert one.recv(1) == b"x"


def test_recv_flags(pair):
    one, two = pair
    two.sendall(b"data")
    assert one.recv(2, socket.MSG_PEEK) == b"da"
    assert one.recv(10) == b"data"


def test_recv_into_buffers(pair):
    one, two = pair
    two.sendall(b"abcdefgh")
    buffer = bytearray(4)
    assert one.recv_into(buffer) == 4
    assert buffer == b"abcd"
    assert one.recv_into(memoryview(buffer)[2:], 1) == 1
    assert buffer == b"abed"
    numbers = array.array("H", [0, 0])
    assert one.recv_into(numbers, 2) == 2
    assert numbers.tobytes()[:2] == b"fg"
    with pytest.raises(ValueError, match="too small"):
        one.recv_into(buffer, 5)
    with pytest.raises(ValueError, match="negative"):
        one.recv_into(buffer, -1)
    with pytest.raises(TypeError, match="read-write"):
        one.recv_into(b"fixed")
    with pytest.raises(TypeError):
        one.recv_into(None)


def test_a_buffer_cannot_be_resized_while_it_is_waited_for(pair):
    one, two = pair
    buffer = bytearray(4)
    reader = parked(one.recv_into, buffer)
    with pytest.raises(BufferError):
        buffer.extend(b"more")
    two.sendall(b"data")
    assert reader.wait() == 4
    buffer.extend(b"more")


def test_send_takes_what_is_bytes_like(pair):
    one, two = pair
    for data in (
        b"abcd",
        bytearray(b"abcd"),
        memoryview(b"xabcdx")[1:5],
        array.array("B", b"abcd"),
    ):
        assert one.send(data) == 4
        assert two.recv(10) == b"abcd"
    for wrong in ("text", 1, None, [b"x"]):
        with pytest.raises(TypeError):
            one.send(wrong)
        with pytest.raises(TypeError):
            one.sendall(wrong)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_sendall_sends_all(pair, kind):
    one, two = pair
    data = os.urandom(8 << 20)
    sender = parked(one.sendall, kind(data))
    received = bytearray()
    while len(received) < len(data):
        received += two.recv(1 << 16)
    assert sender.wait() is None
    assert received == data


def test_sending_to_a_closed_peer_raises(pair):
    one, two = pair
    two.close()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        one.sendall(bytes(64 << 20))


def test_makefile(pair):
    one, two = pair
    with one.makefile("rwb") as file, two.makefile("rw", encoding="utf-8", newline="\n") as text:
        reader = parked(text.readline)
        file.write("zwölf\n".encode())
        file.flush()
        assert reader.wait() == "zwölf\n"
        one.close()
        assert one.fileno() != -1, "the file keeps the descriptor"
    assert one.fileno() == -1


def test_makefile_after_a_timeout(pair):
    one, two = pair
    one.settimeout(0.01)
    with one.makefile("rb") as file:
        with pytest.raises(TimeoutError):
            file.readline()
        two.sendall(b"line\n")
        with pytest.raises(OSError, match="cannot read from timed out object"):
            file.readline()


def test_sendfile(pair, tmp_path):
    one, two = pair
    data = os.urandom(3 << 20)
    path = tmp_path / "data"
    path.write_bytes(data)
    received = bytearray()

    def receive():
        while piece := two.recv(1 << 20):
            received.extend(piece)

    receiver = eventlet.spawn(receive)
    with path.open("rb") as file:
        assert one.sendfile(file, 5, 2 << 20) == 2 << 20
        assert file.tell() == (2 << 20) + 5
        assert one.sendfile(file, (2 << 20) + 5) == len(data) - (2 << 20) - 5
    one.close()
    receiver.wait()
    assert received == data[5:]


def test_sendfile_without_a_descriptor(pair):
    import io

    one, two = pair
    assert one.sendfile(io.BytesIO(b"from memory")) == 11
    assert two.recv(100) == b"from memory"


# ------------------------------------------------------------------------------------------------
# Datagrams and ancillary data


def test_datagrams(datagrams):
    one, two = datagrams
    reader = parked(two.recvfrom, 100)
    assert one.sendto(b"hello", two.getsockname()) == 5
    assert reader.wait() == (b"hello", one.getsockname())
    one.sendto(b"flags", 0, two.getsockname())
    buffer = bytearray(10)
    assert two.recvfrom_into(buffer) == (5, one.getsockname())
    one.connect(two.getsockname())
    one.send(b"connected")
    assert two.recv(100) == b"connected"
    one.sendmsg([b"a", b"b"])
    assert two.recvmsg(100)[0] == b"ab"


def test_datagram_to_a_name(datagrams, monkeypatch):
    one, two = datagrams
    asked = []
    monkeypatch.setattr(
        _dns, "_getaddrinfo", lambda *args: asked.append(args) or stdlib.getaddrinfo(*args)
    )
    one.sendto(b"hello", ("localhost", two.getsockname()[1]))
    assert two.recv(100) == b"hello"
    assert asked


def test_descriptors_are_passed(pair):
    one, two = pair
    if one.family != socket.AF_UNIX:
        pytest.skip("only local sockets pass descriptors")
    reader, writer = os.pipe()
    receiver = parked(socket.recv_fds, two, 10, 1)
    socket.send_fds(one, [b"fd"], [writer])
    os.close(writer)
    data, (taken,), _, _ = receiver.wait()
    assert data == b"fd"
    os.write(taken, b"through")
    assert os.read(reader, 10) == b"through"
    os.close(taken)
    os.close(reader)


# ------------------------------------------------------------------------------------------------
# Connecting


def test_accept_lets_others_run(listener):
    acceptor = parked(listener.accept)
    client = eventlet.connect(listener.getsockname())
    conn, address = acceptor.wait()
    assert type(conn) is GreenSocket
    assert address == client.getsockname()
    assert conn.getsockname() == listener.getsockname()
    assert not os.get_blocking(conn.fileno())
    assert not os.get_inheritable(conn.fileno())
    assert conn.gettimeout() is None
    conn.close()
    client.close()


def test_accept_times_out(listener, clean_hub):
    listener.settimeout(0.01)
    with pytest.raises(TimeoutError):
        listener.accept()


def test_accept_as_the_standard_library_does_it(listener):
    with eventlet.connect(listener.getsockname()) as client:
        fileno, address = listener._accept()
        os.close(fileno)
        assert address == client.getsockname()


def test_local_addresses(tmp_path):
    path = str(tmp_path / "listener")
    with eventlet.listen(path, socket.AF_UNIX) as listener:
        for bound in (
            None,
            str(tmp_path / "cli\udcffent"),
            "\0eventlet-test-" + os.urandom(4).hex(),
        ):
            with socket.socket(socket.AF_UNIX) as client:
                if bound:
                    client.bind(bound)
                client.connect(path)
                conn, address = listener.accept()
                assert address == conn.getpeername() == client.getsockname()
                conn.close()


def test_ipv6_addresses():
    try:
        listener = eventlet.listen(("::1", 0), socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with listener, eventlet.connect(listener.getsockname(), socket.AF_INET6) as client:
        conn, address = listener.accept()
        assert address == client.getsockname()
        conn.close()


def test_connection_refused(listener):
    address = listener.getsockname()
    listener.close()
    with socket.socket() as sock:
        with pytest.raises(ConnectionRefusedError):
            sock.connect(address)
    with socket.socket() as sock:
        assert sock.connect_ex(address) == errno.ECONNREFUSED
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def full_listener():
    """A TCP listener whose queue is full, so that connecting takes long; and what fills it."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = []
    while True:
        filler = socket.socket()
        filler.settimeout(0.05)
        fillers.append(filler)
        try:
            filler.connect(listener.getsockname())
        except TimeoutError:
            return listener, fillers


def test_connect_times_out(clean_hub):
    listener, fillers = full_listener()
    try:
        with socket.socket() as sock:
            sock.settimeout(0.02)
            with pytest.raises(TimeoutError, match=r"^timed out$"):
                sock.connect(listener.getsockname())
        with socket.socket() as sock:
            sock.settimeout(0.02)
            assert sock.connect_ex(listener.getsockname()) == errno.EAGAIN
        with socket.socket() as sock:
            sock.setblocking(False)
            with pytest.raises(BlockingIOError) as caught:
                sock.connect(listener.getsockname())
            assert caught.value.errno == errno.EINPROGRESS
    finally:
        for sock in (listener, *fillers):
            sock.close()


def test_connecting_to_a_local_socket_with_a_full_queue(tmp_path):
    path = str(tmp_path / "listener")
    with eventlet.listen(path, socket.AF_UNIX, backlog=0) as listener:
        waiting = []
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            while (sock := socket.socket(socket.AF_UNIX)).settimeout(0) or not sock.connect_ex(
                path
            ):
                waiting.append(sock)
            sock.settimeout(0.02)
            with pytest.raises(TimeoutError):
                sock.connect(path)
            sock.settimeout(None)
            late = eventlet.spawn(sock.connect, path)
            eventlet.sleep(0)
            for _ in waiting:
                listener.accept()[0].close()
            late.wait()
            assert sock.getpeername() == path
            for each in (*waiting, sock):
                each.close()


def test_names_are_looked_up_in_another_thread(listener, monkeypatch):
    gate = threading.Event()
    threads = []

    def slow(*args):
        threads.append(threading.get_ident())
        assert gate.wait(LONG)
        return stdlib.getaddrinfo(*args)

    monkeypatch.setattr(_dns, "_getaddrinfo", slow)
    port = listener.getsockname()[1]
    client = eventlet.spawn(eventlet.connect, ("localhost", port))
    while not threads:
        eventlet.sleep(0.001)
    assert not client.dead
    # A limit ends the wait for a lookup, not the lookup.
    with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.01):
        socket.getaddrinfo("localhost", port)
    gate.set()
    assert client.wait().getpeername() == listener.getsockname()
    assert threading.get_ident() not in threads


def test_lookup_errors_are_raised(monkeypatch):
    def fail(*args):
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(_dns, "_getaddrinfo", fail)
    with socket.socket() as sock, pytest.raises(socket.gaierror, match="no such name"):
        sock.connect(("name.invalid", 1))


def test_lookups_agree_with_the_system():
    assert socket.getaddrinfo("localhost", 80) == stdlib.getaddrinfo("localhost", 80)
    assert socket.getaddrinfo("127.0.0.1", 80) == stdlib.getaddrinfo("127.0.0.1", 80)
    assert socket.gethostbyname("localhost") == stdlib.gethostbyname("localhost")
    assert socket.gethostbyname_ex("localhost") == stdlib.gethostbyname_ex("localhost")
    address = ("127.0.0.1", 80)
    flags = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    assert socket.getnameinfo(address, flags) == stdlib.getnameinfo(address, flags)
    assert socket.getfqdn("127.0.0.1") == stdlib.getfqdn("127.0.0.1")


def test_many_lookups_at_once():
    pile = [eventlet.spawn(socket.getaddrinfo, "localhost", port) for port in range(1, 100)]
    for port, lookup in enumerate(pile, 1):
        assert lookup.wait() == stdlib.getaddrinfo("localhost", port)


def test_create_connection(listener):
    with socket.create_connection(listener.getsockname(), 5, ("127.0.0.1", 0)) as sock:
        assert type(sock) is GreenSocket
        assert sock.gettimeout() == 5.0
        assert sock.getpeername() == listener.getsockname()


def test_create_connection_shows_all_errors(listener):
    address = listener.getsockname()
    listener.close()
    if sys.version_info < (3, 11):
        with pytest.raises(TypeError):
            socket.create_connection(address, all_errors=True)
        return
    with pytest.raises(ExceptionGroup) as caught:  # noqa: F821
        socket.create_connection(address, all_errors=True)
    assert [type(error) for error in caught.value.exceptions] == [ConnectionRefusedError]


def test_create_server():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert type(listener) is GreenSocket
        with eventlet.connect(listener.getsockname()):
            listener.accept()[0].close()


def test_socketpair_fromfd_and_dup(pair):
    one, two = pair
    one.settimeout(3)
    with one.dup() as copy:
        assert type(copy) is GreenSocket
        assert copy.fileno() != one.fileno()
        assert copy.gettimeout() == 3.0
        copy.sendall(b"copy")
        assert two.recv(10) == b"copy"
    with socket.fromfd(one.fileno(), one.family, one.type) as copy:
        reader = parked(copy.recv, 10)
        two.sendall(b"from")
        assert reader.wait() == b"from"


# ------------------------------------------------------------------------------------------------
# Closing


@pytest.mark.parametrize("how", ["close", "detach"])
@pytest.mark.parametrize("name", ["recv", "recvmsg", "sendall"])
def test_closing_wakes_who_waits(pair, how, name, clean_hub):
    one, _ = pair
    if name == "sendall":
        fill(one)
    waiter = parked(READS.get(name) or WRITES[name], one)
    fileno = one.fileno()
    getattr(one, how)()
    with pytest.raises(hubs.IOClosed) as caught:
        waiter.wait()
    assert caught.value.errno == errno.EBADF
    if how == "detach":
        os.close(fileno)


def test_closing_wakes_accept(listener, clean_hub):
    acceptor = parked(listener.accept)
    listener.close()
    with pytest.raises(hubs.IOClosed):
        acceptor.wait()


def test_closed_sockets_say_so(pair):
    one, _ = pair
    one.close()
    one.close()
    for function in (*READS.values(), *WRITES.values(), lambda s: s.accept()):
        with pytest.raises(OSError) as caught:
            function(one)
        assert caught.value.errno == errno.EBADF
    assert one.fileno() == -1


def test_shutdown_wakes_a_reader(pair):
    one, _ = pair
    reader = parked(one.recv, 10)
    one.shutdown(socket.SHUT_RDWR)
    assert reader.wait() == b""


def test_a_number_that_is_used_again_reaches_no_stranger(pair):
    one, two = pair
    reader = parked(one.recv, 10)
    fileno = one.fileno()
    one.close()
    # Somebody else gets the number while the reader has not run yet.
    fresh, peer = pair_at(fileno)
    with fresh, peer:
        peer.sendall(b"secret")
        fresh.sendall(b"secret")
        with pytest.raises(hubs.IOClosed):
            reader.wait()
        assert fresh.recv(10) == peer.recv(10) == b"secret"
    two.close()


def test_numbers_are_used_again_by_many():
    for _ in range(200):
        one, two = socket.socketpair()
        reader = parked(one.recv, 10)
        two.sendall(b"x")
        assert reader.wait() == b"x"
        one.close()
        two.close()


def test_a_number_left_by_a_socket_that_was_collected():
    one, two = socket.socketpair()
    parked(one.recv, 10).kill()
    fileno = one.fileno()
    del one
    gc.collect()
    plain, peer = plain_pair_at(fileno)
    with plain, peer, GreenSocket(plain) as green:
        reader = parked(green.recv, 10)
        peer.send(b"x")
        assert reader.wait() == b"x"
    two.close()


def test_two_readers_are_refused(pair):
    one, two = pair
    reader = parked(one.recv, 1)
    with pytest.raises(RuntimeError, match="Second simultaneous read"):
        one.recv(1)
    two.sendall(b"x")
    assert reader.wait() == b"x"


def test_two_readers_take_turns_if_that_is_wanted(pair):
    from eventlet import debug

    one, two = pair
    debug.hub_prevent_multiple_readers(False)
    try:
        readers = [parked(one.recv, 1) for _ in range(3)]
        two.sendall(b"abc")
        assert sorted(reader.wait() for reader in readers) == [b"a", b"b", b"c"]
    finally:
        debug.hub_prevent_multiple_readers(True)


def test_a_reader_and_a_writer_share_a_socket(pair):
    one, two = pair
    size = fill(one)
    writer = parked(one.sendall, b"end")
    reader = parked(one.recv, 10)
    two.sendall(b"in")
    assert reader.wait() == b"in"
    drain(two, size)
    writer.wait()
    assert two.recv(10) == b"end"


def test_memory_is_given_back():
    gc.collect()
    one, two = socket.socketpair()
    ref = weakref.ref(one.fd)
    reader = parked(one.recv, 1)
    two.sendall(b"x")
    reader.wait()
    one.close()
    del one, reader
    eventlet.sleep(0)
    gc.collect()
    assert ref() is None
    two.close()


# ------------------------------------------------------------------------------------------------
# Standing for another socket


def test_standing_for_a_plain_socket():
    plain, peer = stdlib.socketpair()
    plain.settimeout(7)
    with peer:
        green = GreenSocket(plain)
        assert isinstance(green, GreenSocket)
        assert green.fd is plain
        assert green.fileno() == plain.fileno()
        assert (green.family, green.type, green.proto) == (plain.family, plain.type, plain.proto)
        assert green.gettimeout() == 7.0
        assert green.getsockname() == plain.getsockname()
        reader = parked(green.recv, 10)
        peer.send(b"x")
        assert reader.wait() == b"x"
        green.sendall(b"y")
        assert peer.recv(10) == b"y"
        green.sendmsg([b"z"])
        assert peer.recv(10) == b"z"
        green.close()
        assert plain.fileno() == green.fileno() == -1
        with pytest.raises(OSError) as caught:
            green.recv(1)
        assert caught.value.errno == errno.EBADF


def test_a_stand_in_never_closes_what_is_not_its_own():
    plain, peer = stdlib.socketpair()
    with plain, peer:
        green = GreenSocket(plain)
        del green
        gc.collect()
        plain.setblocking(True)
        peer.send(b"x")
        assert plain.recv(1) == b"x"
        green = GreenSocket(plain)
        fileno = plain.fileno()
        plain.close()
        other, other_peer = plain_pair_at(fileno)
        with other, other_peer:
            other_peer.send(b"not for you")
            with pytest.raises(OSError):
                green.recv(1)
            green.close()
            del green
            gc.collect()
            assert other.recv(100) == b"not for you"


def test_closing_a_stand_in_wakes_who_waits():
    plain, peer = stdlib.socketpair()
    with plain, peer:
        green = GreenSocket(plain)
        reader = parked(green.recv, 10)
        green.close()
        with pytest.raises(hubs.IOClosed):
            reader.wait()


def test_standing_for_a_listener():
    with stdlib.socket() as plain:
        plain.bind(("127.0.0.1", 0))
        plain.listen()
        plain.setblocking(False)
        green = GreenSocket(plain)
        acceptor = parked(green.accept)
        with eventlet.connect(green.getsockname()) as client:
            conn, address = acceptor.wait()
            assert type(conn) is GreenSocket
            assert address == client.getsockname()
            conn.close()


def test_standing_for_a_green_socket(pair):
    one, two = pair
    one.settimeout(5)
    stand_in = GreenSocket(one)
    assert stand_in.gettimeout() == 5.0
    reader = parked(stand_in.recv, 10)
    two.sendall(b"x")
    assert reader.wait() == b"x"
    with stand_in.makefile("rb") as file:
        stand_in.close()
        two.sendall(b"line\n")
        assert file.readline() == b"line\n"
    assert one.fileno() == -1


def test_a_subclass_can_stand_for_a_socket():
    class Mine(GreenSocket):
        def greet(self):
            self.sendall(b"hello")

    plain, peer = stdlib.socketpair()
    with plain, peer:
        mine = Mine(plain)
        assert isinstance(mine, Mine)
        mine.greet()
        assert peer.recv(10) == b"hello"
        with mine.dup() as copy:
            assert type(copy) is Mine
            assert copy.fileno() != mine.fileno()


# ------------------------------------------------------------------------------------------------
# Threads and processes


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
