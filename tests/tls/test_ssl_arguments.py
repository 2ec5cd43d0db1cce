"""TLS over green sockets: every argument is honoured, and so is every setting of a context."""

import contextlib
import ssl as stdlib_ssl
import warnings

import pytest

import eventlet
from eventlet.green import socket, ssl
from support.sockets import LONG
from support.tls import accept_and_shake

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("limit"),
]


def attempt(listener, **kwargs):
    """Connect with these arguments; return what the client got from the server."""

    def serve():
        with contextlib.suppress(OSError):
            conn, _ = listener.accept()
            with conn:
                conn.sendall(b"ok")

    server = eventlet.spawn(serve)
    try:
        with ssl.wrap_socket(eventlet.connect(listener.getsockname()), **kwargs) as client:
            return client.recv(10), client
    finally:
        server.wait()


def test_cert_reqs_and_ca_certs_are_honoured(listener, certificate):
    cert, _ = certificate
    with pytest.raises(ssl.SSLCertVerificationError):
        attempt(listener, cert_reqs=ssl.CERT_REQUIRED)
    data, client = attempt(listener, cert_reqs=ssl.CERT_REQUIRED, ca_certs=cert)
    assert data == b"ok"
    assert client.context.verify_mode == ssl.CERT_REQUIRED
    assert attempt(listener)[0] == b"ok"


def test_ssl_version_is_honoured(listener):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        _, client = attempt(listener, ssl_version=ssl.PROTOCOL_TLSv1_2)
    assert client.context.protocol == ssl.PROTOCOL_TLSv1_2


def test_ciphers_are_honoured(listener):
    with socket.socket() as sock, pytest.raises(ssl.SSLError):
        ssl.wrap_socket(sock, ciphers="NO-SUCH-CIPHER")
    _, client = attempt(listener, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
    names = [cipher["name"] for cipher in client.context.get_ciphers()]
    assert "ECDHE-ECDSA-AES128-GCM-SHA256" in names
    assert "ECDHE-ECDSA-AES256-GCM-SHA384" not in names


def test_a_server_needs_a_certificate(certificate):
    with socket.socket() as sock:
        with pytest.raises(ValueError, match="certfile"):
            ssl.wrap_socket(sock, server_side=True)
        with pytest.raises(ValueError, match="certfile"):
            ssl.wrap_socket(sock, keyfile=certificate[1])


def test_contexts(listener, certificate):
    cert, _ = certificate
    context = ssl.create_default_context(cafile=cert)
    assert type(context) is ssl.GreenSSLContext
    assert context.check_hostname
    server = eventlet.spawn(accept_and_shake, listener)
    raw = socket.create_connection(("localhost", listener.getsockname()[1]))
    with context.wrap_socket(raw, server_hostname="localhost") as client, server.wait() as conn:
        assert client.server_hostname == "localhost"
        assert client.getpeercert()["subject"] == ((("commonName", "localhost"),),)
        conn.sendall(b"x")
        assert client.recv(1) == b"x"
    server = eventlet.spawn(accept_and_shake, listener)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"[Hh]ostname"):
        context.wrap_socket(eventlet.connect(listener.getsockname()), server_hostname="example.org")
    with pytest.raises(OSError):
        server.wait()


@pytest.mark.parametrize(
    "make",
    [
        ssl.create_default_context,
        ssl._create_default_https_context,
        ssl._create_unverified_context,
        ssl._create_stdlib_context,
    ],
)
def test_contexts_are_green_however_they_are_made(make):
    assert type(make()) is ssl.GreenSSLContext is ssl.SSLContext


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("options", ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET),
        ("verify_flags", ssl.VERIFY_X509_STRICT),
        ("verify_mode", ssl.CERT_OPTIONAL),
        ("minimum_version", ssl.TLSVersion.TLSv1_2),
        ("maximum_version", ssl.TLSVersion.TLSv1_2),
    ],
)
def test_context_settings_work_in_a_patched_module(monkeypatch, name, value):
    """The standard setters look up their class by name; it must not make them call themselves."""
    monkeypatch.setattr(stdlib_ssl, "SSLContext", ssl.GreenSSLContext)
    monkeypatch.setattr(stdlib_ssl, "SSLSocket", ssl.GreenSSLSocket)
    context = ssl.GreenSSLContext(ssl.PROTOCOL_TLS_SERVER)
    setattr(context, name, value)
    got = getattr(context, name)
    assert (got & value if name in ("options", "verify_flags") else got) == value


def test_sockets_work_in_a_patched_module(monkeypatch, certificate):
    monkeypatch.setattr(stdlib_ssl, "SSLContext", ssl.GreenSSLContext)
    monkeypatch.setattr(stdlib_ssl, "SSLSocket", ssl.GreenSSLSocket)
    cert, key = certificate
    context = stdlib_ssl.create_default_context(stdlib_ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    one, two = socket.socketpair()
    server = eventlet.spawn(context.wrap_socket, one, server_side=True)
    with (
        stdlib_ssl.create_default_context(cafile=cert).wrap_socket(
            two, server_hostname="localhost"
        ) as client,
        server.wait() as conn,
    ):
        assert type(client) is ssl.GreenSSLSocket
        conn.sendall(b"x")
        assert client.recv(1) == b"x"


def test_the_class_can_be_called(listener):
    server = eventlet.spawn(accept_and_shake, listener)
    with ssl.GreenSSLSocket(eventlet.connect(listener.getsockname())) as client:
        with server.wait() as conn:
            conn.sendall(b"x")
            assert client.recv(1) == b"x"


def test_get_server_certificate(listener, certificate):
    server = eventlet.spawn(accept_and_shake, listener)
    pem = ssl.get_server_certificate(listener.getsockname(), timeout=LONG)
    server.wait().close()
    with open(certificate[0]) as file:
        assert pem.split() == file.read().split()


def test_serve_does_the_handshake_in_the_handlers_thread(listener):
    served = eventlet.Event()

    def handle(conn, address):
        conn.sendall(conn.recv(100))
        served.send()

    server = eventlet.spawn(eventlet.serve, listener, handle)
    with eventlet.connect(listener.getsockname()), eventlet.connect(listener.getsockname()) as rude:
        rude.sendall(b"this is not TLS at all\r\n" * 10)
        # The server drops it, with an alert perhaps, and goes on.
        with contextlib.suppress(ConnectionError):
            while rude.recv(100):
                pass
        with eventlet.wrap_ssl(eventlet.connect(listener.getsockname())) as client:
            client.sendall(b"echo")
            assert client.recv(100) == b"echo"
        served.wait()
    assert not server.dead
    server.kill()
