"""TLS over green sockets: sessions, ALPN, server names, client certificates, channel binding."""

import contextlib
import ssl as stdlib_ssl

import pytest

import eventlet
from eventlet.green import ssl
from support.tls import shake

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("limit"),
]


def test_sessions_are_used_again(client_context, server_context):
    client, server = shake(client_context, server_context)
    with client, server:
        server.sendall(b"x")
        assert client.recv(1) == b"x"  # with TLS 1.3 the session comes with the data
        session = client.session
        assert not client.session_reused
    client, server = shake(client_context, server_context, session=session)
    with client, server:
        assert client.session_reused
        assert server.session_reused


def test_alpn(client_context, server_context):
    client_context.set_alpn_protocols(["h2", "http/1.1"])
    server_context.set_alpn_protocols(["http/1.1"])
    client, server = shake(client_context, server_context)
    with client, server:
        assert client.selected_alpn_protocol() == "http/1.1"
        assert server.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize("set_callback", ["sni_callback", "set_servername_callback"])
def test_a_server_may_choose_its_context_by_name(
    client_context, server_context, certificate, set_callback
):
    """And it may wait in there, as for a database."""
    chosen = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    chosen.load_cert_chain(*certificate)
    names = []

    def choose(sock, name, context):
        names.append(name)
        assert type(sock) is ssl.GreenSSLSocket
        assert context is server_context
        eventlet.sleep(0.001)
        sock.context = chosen

    if set_callback == "sni_callback":
        server_context.sni_callback = choose
    else:
        server_context.set_servername_callback(choose)
    client, server = shake(client_context, server_context)
    with client, server:
        assert names == ["localhost"]
        assert server.context is chosen
        server.sendall(b"x")
        assert client.recv(1) == b"x"


def test_client_certificates(client_context, server_context, certificate):
    server_context.verify_mode = ssl.CERT_REQUIRED
    server_context.load_verify_locations(certificate[0])
    client_context.load_cert_chain(*certificate)
    client, server = shake(client_context, server_context)
    with client, server:
        assert server.getpeercert()["subject"] == ((("commonName", "localhost"),),)


def test_a_client_without_the_certificate_that_is_demanded(client_context, server_context):
    server_context.verify_mode = ssl.CERT_REQUIRED
    client_context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(OSError):
        shake(client_context, server_context)


def test_a_certificate_may_be_asked_for_later(client_context, server_context, certificate):
    if not ssl.HAS_TLSv1_3:
        pytest.skip("needs TLS 1.3")
    server_context.post_handshake_auth = True
    server_context.load_verify_locations(certificate[0])
    client_context.post_handshake_auth = True
    client_context.load_cert_chain(*certificate)
    client_context.minimum_version = ssl.TLSVersion.TLSv1_3
    server_context.verify_mode = ssl.CERT_OPTIONAL
    client, server = shake(client_context, server_context)
    with client, server:
        assert server.getpeercert() == {} or server.getpeercert() is None
        server.verify_client_post_handshake()

        def answer():
            assert client.recv(3) == b"ask"
            client.sendall(b"certificate sent")

        answering = eventlet.spawn(answer)
        server.sendall(b"ask")
        assert server.recv(16) == b"certificate sent"
        answering.wait()
        assert server.getpeercert()["subject"] == ((("commonName", "localhost"),),)


def test_channel_binding(client_context, server_context):
    client_context.maximum_version = ssl.TLSVersion.TLSv1_2
    client, server = shake(client_context, server_context)
    with client, server:
        binding = client.get_channel_binding("tls-unique")
        assert binding
        assert binding == server.get_channel_binding("tls-unique")


def test_objects_without_a_socket_are_the_standard_ones(client_context, server_context):
    """asyncio does its TLS with these."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname="localhost")
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    assert type(client) is stdlib_ssl.SSLObject
    for end in (client, server, client, server):
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    client.write(b"x")
    assert server.read(1) == b"x"
