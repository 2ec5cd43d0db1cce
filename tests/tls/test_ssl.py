"""TLS over green sockets: they are sockets, shake hands and wait without blocking."""

import os
import socket as stdlib
import ssl as stdlib_ssl

import pytest

import eventlet
from eventlet import hubs
from eventlet.green import socket, ssl
from eventlet.greenio import GreenSocket
from support.sockets import parked
from support.tls import accept_and_shake

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("limit"),
]


def drain(sock):
    """Receive for ever."""
    while sock.recv(1 << 16):
        pass


def test_classes(pair, listener):
    client, server = pair
    for sock in (client, server, listener):
        assert type(sock) is ssl.GreenSSLSocket is ssl.SSLSocket
        assert isinstance(sock, stdlib_ssl.SSLSocket)
        assert isinstance(sock, GreenSocket)
        assert isinstance(sock, stdlib.socket)
        assert isinstance(sock.context, ssl.GreenSSLContext)
        assert isinstance(sock.context, stdlib_ssl.SSLContext)
    assert client.version() == server.version()
    assert client.cipher()[0] == server.cipher()[0]


def test_reads_and_writes_overlap(pair):
    client, server = pair
    reader = parked(client.recv, 100)
    server.sendall(b"from the server")
    assert reader.wait() == b"from the server"
    buffer = bytearray(100)
    reader = parked(server.recv_into, buffer)
    assert client.send(b"from the client") == 15
    assert reader.wait() == 15
    assert buffer[:15] == b"from the client"
    reader = parked(client.read, 4)
    server.write(b"data")
    assert reader.wait() == b"data"


def test_much_data_both_ways(pair):
    _client, _server = pair
    data = os.urandom(4 << 20)

    def receive(sock):
        received = bytearray()
        while len(received) < len(data):
            received += sock.recv(1 << 16)
        return received

    threads = [eventlet.spawn(sock.sendall, data) for sock in pair]
    readers = [eventlet.spawn(receive, sock) for sock in pair]
    for thread in threads:
        thread.wait()
    assert all(reader.wait() == data for reader in readers)


def test_makefile(pair):
    client, server = pair
    with client.makefile("rwb") as file:
        server.sendall(b"one\ntwo\n")
        assert file.readline() == b"one\n"
        assert file.readline() == b"two\n"
        file.write(b"three")
        file.flush()
        assert server.recv(10) == b"three"


def test_timeouts(pair, clean_hub):
    client, server = pair
    client.settimeout(0.01)
    assert client.gettimeout() == 0.01
    with pytest.raises(TimeoutError):
        client.recv(1)
    with pytest.raises(TimeoutError):
        client.sendall(bytes(64 << 20))
    server.setblocking(False)
    with pytest.raises(ssl.SSLWantReadError):
        drain(server)


def test_handshake_times_out(certificate, clean_hub):
    with eventlet.listen(("127.0.0.1", 0)) as silent:
        client = eventlet.connect(silent.getsockname())
        client.settimeout(0.02)
        with pytest.raises(TimeoutError):
            ssl.wrap_socket(client)


def test_eventlet_timeout_interrupts_a_handshake(clean_hub):
    with eventlet.listen(("127.0.0.1", 0)) as silent:
        client = eventlet.connect(silent.getsockname())
        with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.02):
            ssl.wrap_socket(client)


def test_closing_wakes_who_waits(pair, clean_hub):
    client, _ = pair
    reader = parked(client.recv, 1)
    client.close()
    with pytest.raises(hubs.IOClosed):
        reader.wait()


def test_closed_sockets_say_so(pair):
    client, server = pair
    server.sendall(b"x")
    assert client.recv(10) == b"x"
    client.close()
    for call in (lambda: client.read(1), lambda: client.write(b"x")):
        with pytest.raises(ValueError, match="closed or unwrapped"):
            call()
    for call in (lambda: client.recv(1), lambda: client.sendall(b"x"), lambda: client.send(b"x")):
        with pytest.raises(OSError, match="Bad file descriptor"):
            call()


def test_end_of_stream(pair):
    client, server = pair
    server.close()
    assert client.recv(1) == b""
    assert client.recv_into(bytearray(1)) == 0


def test_unwrap(pair):
    client, server = pair
    other = eventlet.spawn(server.unwrap)
    plain = client.unwrap()
    plain_server = other.wait()
    reader = parked(plain.recv, 10)
    plain_server.sendall(b"plain")
    assert reader.wait() == b"plain"


def test_connecting_after_wrapping(listener):
    server = eventlet.spawn(accept_and_shake, listener)
    with ssl.wrap_socket(socket.socket()) as client:
        client.connect(listener.getsockname())
        with server.wait() as conn:
            conn.sendall(b"x")
            assert client.recv(1) == b"x"


def test_accept_does_not_wait_for_handshakes(listener):
    """A client that says nothing, and one that talks nonsense, hold nobody up."""
    with eventlet.connect(listener.getsockname()) as silent:
        mute, _ = listener.accept()
        with eventlet.connect(listener.getsockname()) as rude:
            rude.sendall(b"GET / HTTP/1.0\r\n\r\n")
            talker, _ = listener.accept()
            client = eventlet.spawn(
                lambda: ssl.wrap_socket(eventlet.connect(listener.getsockname()))
            )
            good, _ = listener.accept()
            good.sendall(b"x")  # the handshake is done by the first use
            with client.wait() as conn:
                assert conn.recv(1) == b"x"
            with pytest.raises(ssl.SSLError):
                talker.recv(1)
            mute.settimeout(0.01)
            with pytest.raises(TimeoutError):
                mute.recv(1)
            silent.close()
        for sock in (mute, talker, good):
            sock.close()


@pytest.mark.parametrize(
    "ask",
    [
        lambda conn: conn.version().startswith("TLS"),
        lambda conn: len(conn.cipher()) == 3,
        lambda conn: len(conn.shared_ciphers()) > 0,
        lambda conn: conn.compression() is None,
        lambda conn: conn.getpeercert() is None,
        lambda conn: conn.selected_alpn_protocol() is None,
    ],
)
def test_what_is_asked_after_accept_does_the_handshake(listener, ask):
    client = eventlet.spawn(lambda: ssl.wrap_socket(eventlet.connect(listener.getsockname())))
    conn, _ = listener.accept()
    assert ask(conn)
    client.wait().close()
    conn.close()


def test_many_clients(listener):
    count = 50
    done = []

    def handle(conn, address):
        with conn, conn.makefile("rwb") as file:
            for line in file:
                file.write(line.upper())
                file.flush()

    def talk(number):
        with (
            ssl.wrap_socket(eventlet.connect(listener.getsockname())) as client,
            client.makefile("rwb") as file,
        ):
            for turn in range(5):
                file.write(b"line %d %d\n" % (number, turn))
                file.flush()
                assert file.readline() == b"LINE %d %d\n" % (number, turn)
                eventlet.sleep(0)
        done.append(number)

    server = eventlet.spawn(eventlet.serve, listener, handle)
    pool = eventlet.GreenPool(count)
    for number in range(count):
        pool.spawn(talk, number)
    pool.waitall()
    server.kill()
    assert sorted(done) == list(range(count))
