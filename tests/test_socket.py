"""Green sockets: what they are, datagrams, how they connect, and how names are looked up."""

import errno
import os
import pickle
import socket as stdlib
import sys
import weakref

import pytest

import eventlet
from eventlet import _core
from eventlet.green import _dns, socket
from eventlet.greenio import GreenSocket
from support.sockets import parked

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("limit"),
]


@pytest.fixture
def datagrams():
    """Two UDP sockets with addresses."""
    one, two = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    with one, two:
        for sock in (one, two):
            sock.bind(("127.0.0.1", 0))
        yield one, two


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
        _dns, "getaddrinfo", lambda *args: asked.append(args) or stdlib.getaddrinfo(*args)
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


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels take their time")
def test_connecting_within_the_machine_does_not_wait(listener):
    others = []
    eventlet.spawn(others.append, "has run")
    with socket.socket() as sock:
        sock.connect(listener.getsockname())
        assert others == []
        sock.sendall(b"at once")
        conn, _ = listener.accept()
        with conn:
            assert conn.recv(100) == b"at once"
    address = listener.getsockname()
    listener.close()
    with socket.socket() as sock, pytest.raises(ConnectionRefusedError):
        sock.connect(address)


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


def test_lookup_errors_are_raised(monkeypatch):
    def fail(*args):
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(_dns, "getaddrinfo", fail)
    with socket.socket() as sock, pytest.raises(socket.gaierror, match="no such name"):
        sock.connect(("name.invalid", 1))


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
