"""TLS over green sockets: what is read and written, and how a connection comes to its end."""

import os
import socket as stdlib

import pytest

import eventlet
from eventlet.green import socket, ssl
from support.sockets import parked
from support.tls import accept_and_shake, shake

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("limit"),
]


def test_what_is_decrypted_is_read_before_the_descriptor_is_waited_for(pair):
    client, server = pair
    server.sendall(bytes(range(100)))
    assert client.recv(40) == bytes(range(40))
    buffer = bytearray(20)
    assert client.recv_into(buffer) == 20
    assert client.recv_into(memoryview(bytearray(100)), 30) == 30
    assert client.pending() == 10
    assert client.read(5) == bytes(range(90, 95))
    assert client.recv(100) == bytes(range(95, 100))
    # Nothing is left, so this has to wait.
    reader = parked(client.recv, 100)
    server.sendall(b"more")
    assert reader.wait() == b"more"


def test_the_end_is_read_again_and_again(pair):
    """The peer has said goodbye in TLS, and its connection is still there."""
    client, server = pair
    server.sendall(b"x")
    assert client.recv(10) == b"x"
    farewell = parked(server.unwrap)
    for _ in range(3):
        assert client.recv(10) == b""
        assert client.recv_into(bytearray(10)) == 0
    client.unwrap().close()
    farewell.wait().close()


@pytest.mark.parametrize("suppress", [True, False])
def test_a_connection_that_is_cut(listener, suppress):
    server = eventlet.spawn(accept_and_shake, listener)
    client = ssl.wrap_socket(
        eventlet.connect(listener.getsockname()), suppress_ragged_eofs=suppress
    )
    with client, server.wait() as conn:
        conn.sendall(b"x")
        assert client.recv(10) == b"x"
        # Without a word in TLS.
        stdlib.socket.shutdown(conn, socket.SHUT_WR)
        if suppress:
            assert client.recv(10) == b""
            assert client.recv_into(bytearray(10)) == 0
        else:
            with pytest.raises(ssl.SSLEOFError):
                client.recv(10)


def test_reading_does_the_handshake_that_nobody_has_done(client_context, server_context):
    one, two = socket.socketpair()
    with (
        client_context.wrap_socket(
            one, server_hostname="localhost", do_handshake_on_connect=False
        ) as client,
        server_context.wrap_socket(two, server_side=True, do_handshake_on_connect=False) as server,
    ):
        reader = parked(client.recv, 10)
        server.sendall(b"hello")
        assert reader.wait() == b"hello"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_sendall_of_all_kinds(pair, kind):
    client, server = pair
    data = os.urandom(3 << 20)
    sender = eventlet.spawn(client.sendall, kind(data))
    with server.makefile("rb") as file:
        assert file.read(len(data)) == data
    sender.wait()
    client.sendall(kind(b""))


def test_sendall_of_larger_items(pair):
    client, server = pair
    client.sendall(memoryview(b"abcdefgh").cast("I"))
    assert server.recv(100) == b"abcdefgh"


def test_flags_are_refused(pair):
    client, _ = pair
    for call in (
        lambda: client.recv(1, 1),
        lambda: client.recv_into(bytearray(1), 1, 1),
        lambda: client.send(b"x", 1),
        lambda: client.sendall(b"x", 1),
    ):
        with pytest.raises(ValueError, match="non-zero flags not allowed"):
            call()


def test_what_makes_no_sense_over_tls_is_refused(pair):
    client, _ = pair
    with pytest.raises(ValueError, match="not allowed"):
        client.sendto(b"x", ("127.0.0.1", 1))
    with pytest.raises(ValueError, match="not allowed"):
        client.recvfrom(1)
    for name in ("recvmsg", "recvmsg_into", "sendmsg", "dup"):
        with pytest.raises(NotImplementedError):
            getattr(client, name)()


def test_sendfile(pair, tmp_path):
    client, server = pair
    data = os.urandom(300_000)
    (tmp_path / "file").write_bytes(data)
    with open(tmp_path / "file", "rb") as file:
        sender = eventlet.spawn(client.sendfile, file, 1000)
        with server.makefile("rb") as reader:
            assert reader.read(len(data) - 1000) == data[1000:]
        assert sender.wait() == len(data) - 1000


def test_a_subclass_may_override_read_and_send(client_context, server_context):
    calls = []

    class Sock(ssl.GreenSSLSocket):
        def read(self, *args):
            calls.append("read")
            return super().read(*args)

        def send(self, *args):
            calls.append("send")
            return super().send(*args)

    client_context.sslsocket_class = Sock
    client, server = shake(client_context, server_context)
    with client, server:
        assert type(client) is Sock
        client.sendall(b"x" * 40_000)
        assert len(server.recv(1)) == 1
        server.sendall(b"abc")
        assert client.recv(1) == b"a"
        assert client.recv_into(bytearray(1)) == 1
        with client.makefile("rb") as file:
            assert file.read(1) == b"c"
    assert set(calls) == {"read", "send"}
    assert calls.count("read") == 3
