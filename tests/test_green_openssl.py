"""eventlet.green.OpenSSL: pyOpenSSL's connections in green threads."""

import importlib
import socket as stdlib_socket
import subprocess
import time

import pytest

import eventlet
from eventlet.green import socket

OpenSSL = pytest.importorskip("OpenSSL", reason="pyOpenSSL is not installed")
green = pytest.importorskip("eventlet.green.OpenSSL")
SSL = green.SSL


@pytest.fixture(autouse=True)
def time_limit():
    with eventlet.Timeout(20):
        yield


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """A context for servers, with a certificate; clients may use it too."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", cert]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs the openssl command")
    made = SSL.Context(SSL.TLS_METHOD)
    made.use_certificate_file(cert)
    made.use_privatekey_file(key)
    return made


@pytest.fixture
def pair(context, clean_hub):
    """Two connections, the handshake done: client, server."""
    left, right = socket.socketpair()
    client, server = SSL.Connection(context, left), SSL.Connection(context, right)
    client.set_connect_state()
    server.set_accept_state()
    shaking = eventlet.spawn(server.do_handshake)
    client.do_handshake()
    shaking.wait()
    yield client, server
    client.close()
    server.close()


def test_names():
    for name in ("SSL", "crypto", "version"):
        original, module = getattr(OpenSSL, name), getattr(green, name)
        missing = {each for each in vars(original) if not each.startswith("_")} - set(vars(module))
        assert missing <= {"annotations"}
    assert green.__version__ == green.version.__version__ == OpenSSL.__version__
    assert green.crypto.X509 is OpenSSL.crypto.X509
    assert SSL.Connection is SSL.ConnectionType is SSL.GreenConnection
    assert issubclass(SSL.Connection, OpenSSL.SSL.Connection)
    if not hasattr(OpenSSL, "tsafe"):
        with pytest.raises(ImportError):
            importlib.import_module("eventlet.green.OpenSSL.tsafe")


def test_echo(pair):
    client, server = pair

    def echo():
        for _ in range(100):
            server.sendall(server.recv(100))

    echoing = eventlet.spawn(echo)
    for i in range(100):
        client.send(b"%d" % i)
        assert client.read(100) == b"%d" % i
    echoing.wait()


def test_over_tcp(context, clean_hub):
    listener = SSL.Connection(context, eventlet.listen(("127.0.0.1", 0)))

    def serve():
        connection, address = listener.accept()
        assert address[0] == "127.0.0.1"
        assert isinstance(connection, SSL.GreenConnection)
        connection.sendall(connection.recv(10).upper())
        connection.shutdown()
        connection.close()

    serving = eventlet.spawn(serve)
    client = SSL.Connection(context, socket.socket())
    client.connect(listener.getsockname())
    client.sendall(b"question")
    assert client.recv(100) == b"QUESTION"
    # The other side has said that it is the end.
    with pytest.raises(SSL.ZeroReturnError):
        client.recv(100)
    client.close()
    listener.close()
    serving.wait()


def test_more_than_fits_into_buffers(pair):
    client, server = pair
    data = bytes(range(256)) * 8192

    def receive():
        received = bytearray()
        while len(received) < len(data):
            received += server.recv(65536)
        return received

    receiving = eventlet.spawn(receive)
    assert client.sendall(memoryview(data)) == len(data)
    assert receiving.wait() == data


def test_both_directions_at_once(pair):
    data = bytes(500_000)

    def receive(connection):
        buffer = bytearray(65536)
        count = 0
        while count < len(data):
            count += connection.recv_into(buffer)
        return count

    receiving = [eventlet.spawn(receive, each) for each in pair]
    sending = [eventlet.spawn(each.sendall, data) for each in pair]
    assert [each.wait() for each in receiving] == [len(data)] * 2
    assert [each.wait() for each in sending] == [len(data)] * 2


def test_peek(pair):
    client, server = pair
    client.send(b"abc")
    assert server.recv(10, stdlib_socket.MSG_PEEK) == b"abc"
    buffer = bytearray(2)
    assert server.recv_into(buffer, 10) == 2
    assert server.recv(10) == b"c"


def test_nothing_to_send(pair):
    client, _ = pair
    assert client.send(b"") == 0
    assert client.sendall(b"") == 0


def test_timeout_of_the_socket(pair):
    client, _ = pair
    client.settimeout(0.02)
    assert client.gettimeout() == 0.02
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        client.recv(1)
    assert 0.015 < time.monotonic() - started < 10


def test_not_to_wait(pair):
    client, _ = pair
    client.setblocking(False)
    with pytest.raises(SSL.WantReadError):
        client.recv(1)
    with pytest.raises(SSL.WantReadError):
        client.recv_into(bytearray(1))


def test_timeout_leaves_the_connection_usable(pair):
    client, server = pair
    with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.01):
        client.recv(1)
    server.send(b"late")
    assert client.recv(10) == b"late"


def test_close_wakes_who_waits(pair):
    client, _ = pair
    receiving = eventlet.spawn(client.recv, 1)
    eventlet.sleep(0)
    client.close()
    with pytest.raises(OSError):
        receiving.wait()


def test_other_side_goes_without_a_word(pair):
    client, server = pair
    receiving = eventlet.spawn(client.recv, 1)
    eventlet.sleep(0)
    server.close()
    assert receiving.wait() == b""
    assert client.recv_into(bytearray(1)) == 0


def test_handshake_with_somebody_who_speaks_no_tls(context, clean_hub):
    left, right = socket.socketpair()
    with left, right:
        connection = SSL.Connection(context, left)
        connection.set_accept_state()
        shaking = eventlet.spawn(connection.do_handshake)
        eventlet.sleep(0)
        right.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(SSL.Error):
            shaking.wait()


def test_ordinary_sockets_and_connections_become_green(context, clean_hub):
    left, right = stdlib_socket.socketpair()
    plain = OpenSSL.SSL.Connection(context, left)
    client, server = SSL.Connection(plain), SSL.Connection(context, right)
    client.set_connect_state()
    server.set_accept_state()
    shaking = eventlet.spawn(server.do_handshake)
    client.do_handshake()
    shaking.wait()
    client.send(b"abc")
    assert server.recv(10) == b"abc"
    assert client.fd is client
    client.close()
    server.close()


def test_buffers_in_memory(context):
    client, server = SSL.Connection(context), SSL.Connection(context, None)
    client.set_connect_state()
    server.set_accept_state()

    def pass_on():
        for one, two in ((client, server), (server, client)):
            try:
                two.bio_write(one.bio_read(65536))
            except SSL.WantReadError:
                pass

    for _ in range(10):
        for each in (client, server):
            try:
                each.do_handshake()
            except SSL.WantReadError:
                pass
            pass_on()
    client.send(b"abc")
    pass_on()
    assert server.recv(10) == b"abc"


def test_what_is_not_possible(pair):
    client, _ = pair
    for function in (client.dup, client.makefile):
        with pytest.raises(NotImplementedError):
            function()
