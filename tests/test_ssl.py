"""TLS over green sockets: without blocking, and with every argument honoured."""

import contextlib
import os
import socket as stdlib
import ssl as stdlib_ssl
import subprocess
import warnings

import pytest

import eventlet
from eventlet import hubs
from eventlet.green import socket, ssl
from eventlet.greenio import GreenSocket

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

LONG = 20


@pytest.fixture(autouse=True)
def limit():
    """Ends what hangs in a green thread with a traceback that shows where."""
    with eventlet.Timeout(LONG):
        yield


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate for "localhost" and its key: two paths."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += ["-keyout", key, "-out", cert]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs the openssl command")
    return cert, key


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


def accept_and_shake(listener):
    conn, _ = listener.accept()
    try:
        conn.do_handshake()
    except BaseException:
        conn.close()
        raise
    return conn


def drain(sock):
    """Receive for ever."""
    while sock.recv(1 << 16):
        pass


def parked(function, *args):
    """Start `function` in a green thread and return it once it waits for a descriptor."""
    hub = hubs.get_hub()
    before = len(hub.get_readers()) + len(hub.get_writers())
    thread = eventlet.spawn(function, *args)
    while len(hub.get_readers()) + len(hub.get_writers()) <= before:
        assert not thread.dead, "it did not wait"
        eventlet.sleep(0)
    return thread


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


# ------------------------------------------------------------------------------------------------
# Arguments


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


# ------------------------------------------------------------------------------------------------
# What TLS offers


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


def shake(client_context, server_context, **kwargs):
    """Do a handshake in two green threads; return both ends."""
    one, two = socket.socketpair()
    server = eventlet.spawn(server_context.wrap_socket, two, server_side=True)
    try:
        client = client_context.wrap_socket(one, server_hostname="localhost", **kwargs)
    except BaseException:
        one.close()
        with contextlib.suppress(OSError):
            server.wait().close()
        raise
    return client, server.wait()


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


# ------------------------------------------------------------------------------------------------
# Reading and writing


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


# ------------------------------------------------------------------------------------------------
# Interrupted in each phase


def fill(sock):
    """Send until it would have to wait, and then wait."""
    while True:
        sock.sendall(bytes(1 << 20))


PHASES = {
    "read": lambda client: client.recv(1),
    "read into": lambda client: client.recv_into(bytearray(1)),
    "unwrap": lambda client: client.unwrap(),
    "write": fill,
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("how", ["timeout", "kill", "close", "settimeout"])
def test_interrupted(pair, phase, how, clean_hub):
    client, _ = pair
    if how == "settimeout":
        client.settimeout(0.01)
        with pytest.raises(TimeoutError, match="timed out"):
            PHASES[phase](client)
        return
    if how == "timeout":
        with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.01):
            PHASES[phase](client)
        return
    thread = parked(PHASES[phase], client)
    if how == "kill":
        thread.kill()
        assert thread.dead
    else:
        client.close()
        with pytest.raises(hubs.IOClosed):
            thread.wait()


@pytest.mark.parametrize("how", ["timeout", "kill", "close", "settimeout"])
@pytest.mark.parametrize("server_side", [False, True])
def test_interrupted_handshake(client_context, server_context, how, server_side, clean_hub):
    """It closes the descriptor that it was given; nothing is left to a collector."""
    plain, peer = socket.socketpair()
    fileno = plain.fileno()
    context = server_context if server_side else client_context
    name = {} if server_side else {"server_hostname": "localhost"}

    def wrap():
        return context.wrap_socket(plain, server_side=server_side, **name)

    with peer:
        if how == "settimeout":
            plain.settimeout(0.01)
            with pytest.raises(TimeoutError, match="timed out"):
                wrap()
        elif how == "timeout":
            with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.01):
                wrap()
        elif how == "kill":
            thread = parked(wrap)
            thread.kill()
            assert thread.dead
        else:
            thread = parked(wrap)
            peer.close()
            with pytest.raises(OSError):
                thread.wait()
        with pytest.raises(OSError):
            os.fstat(fileno)


@pytest.mark.parametrize("read_before", [False, True])
@pytest.mark.parametrize("name", ["recv", "recv_into"])
def test_shutdown_ends_a_read(pair, read_before, name):
    client, server = pair
    if read_before:
        server.sendall(b"x")
        assert client.recv(10) == b"x"
    reader = parked(getattr(client, name), 10 if name == "recv" else bytearray(10))
    client.shutdown(socket.SHUT_RDWR)
    assert reader.wait() in (b"", 0)
    with pytest.raises(ValueError, match="closed or unwrapped"):
        client.read(1)


def test_a_reader_that_timed_out_reads_on(pair):
    client, server = pair
    for number in range(5):
        with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.001):
            client.recv(10)
        data = b"message %d" % number
        server.sendall(data)
        assert client.recv(100) == data


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
