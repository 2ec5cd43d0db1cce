"""A certificate, contexts and connected sockets for the tests of TLS."""

import pytest

import eventlet
from eventlet.green import ssl
from support import certificates
from support.tls import accept_and_shake


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate for "localhost" and its key: two paths."""
    try:
        return certificates.make(tmp_path_factory.mktemp("tls"))
    except FileNotFoundError:
        pytest.skip("needs the openssl command")


@pytest.fixture
def listener(certificate):
    """A TLS listener."""
    cert, key = certificate
    plain = eventlet.listen(("127.0.0.1", 0))
    with ssl.wrap_socket(plain, certfile=cert, keyfile=key, server_side=True) as sock:
        yield sock


@pytest.fixture
def pair(listener):
    """Two connected TLS sockets: client, server."""
    server = eventlet.spawn(accept_and_shake, listener)
    client = ssl.wrap_socket(eventlet.connect(listener.getsockname()))
    with client, server.wait() as conn:
        yield client, conn


@pytest.fixture
def server_context(certificate):
    """A context for servers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture
def client_context(certificate):
    """A context for clients, which demands the right certificate."""
    return ssl.create_default_context(cafile=certificate[0])
