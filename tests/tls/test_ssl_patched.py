"""TLS in a patched program: contexts and sockets from before and after, by any name.

Each test is a program of its own.
"""

from pathlib import Path

import pytest

from support import certificates

PRELUDE = """
import contextlib, socket, ssl, sys, warnings
from ssl import SSLContext, SSLSocket, create_default_context
from socket import create_connection, socket as early_class

CERTIFICATE = sys.argv[1]

def server_context(make=SSLContext):
    context = make(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context

def client_context(make=create_default_context):
    return make(cafile=CERTIFICATE)

early_client, early_server = client_context(), server_context()
original = ssl.SSLContext

class EarlyContext(SSLContext):
    pass

class EarlySocket(SSLSocket):
    pass

def shake(client, server, **kwargs):
    one, two = socket.socketpair()
    serving = eventlet.spawn(server.wrap_socket, two, server_side=True)
    end = client.wrap_socket(one, server_hostname="localhost", **kwargs)
    return end, serving.wait()

def talk(one, two):
    for end, other in ((one, two), (two, one)):
        hub = hubs.get_hub()
        reading = eventlet.spawn(end.recv, 10)
        while not hub.get_readers():
            assert not reading.dead, "it did not wait"
            eventlet.sleep(0)
        other.sendall(b"hello")
        assert reading.wait() == b"hello"

import eventlet
from eventlet import hubs, patcher

limit = eventlet.Timeout(20)

def patch():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", patcher.LatePatchWarning)
        eventlet.monkey_patch()
"""


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A file with a key and a self-signed certificate for "localhost"."""
    folder = tmp_path_factory.mktemp("tls")
    try:
        cert, key = certificates.make(folder)
    except FileNotFoundError:
        pytest.skip("needs the openssl command")
    both = folder / "both.pem"
    both.write_text(Path(key).read_text() + Path(cert).read_text())
    return both


@pytest.fixture
def run_tls(run_python, certificate):
    """Run a program that has contexts before it is patched."""

    def run(code):
        done = run_python(PRELUDE + code + "\nlimit.cancel()\n", certificate)
        assert done.stderr == ""
        return done

    return run


def test_contexts_from_before_make_green_sockets(run_tls):
    run_tls(
        """
patch()
for client in (early_client, client_context(), client_context(ssl.create_default_context)):
    for server in (early_server, server_context(), server_context(ssl.SSLContext),
                   server_context(EarlyContext)):
        one, two = shake(client, server)
        with one, two:
            talk(one, two)
            for end in (one, two):
                assert isinstance(end, (ssl.SSLSocket)) and isinstance(end, SSLSocket)
                assert isinstance(end, socket.socket) and isinstance(end, early_class)
                assert isinstance(end.context, ssl.SSLContext)
                assert isinstance(end.context, SSLContext)
"""
    )


def test_names_imported_earlier_connect_without_blocking(run_tls):
    run_tls(
        """
patch()
with early_server.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True) as listener:
    def serve():
        conn, _ = listener.accept()
        with conn:
            conn.sendall(conn.recv(10).upper())
    serving = eventlet.spawn(serve)
    plain = create_connection(listener.getsockname())
    with early_client.wrap_socket(plain, server_hostname="localhost") as client:
        client.sendall(b"abc")
        assert client.recv(10) == b"ABC"
        assert client.recv(10) == b""
    serving.wait()
"""
    )


def test_settings_of_contexts_never_recurse(run_tls):
    run_tls(
        """
from eventlet.green import ssl as green

def check(context):
    context.options |= ssl.OP_NO_TICKET
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.check_hostname = False
    context.verify_mode = ssl.CERT_OPTIONAL
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_TICKET
    assert context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_mode is ssl.CERT_OPTIONAL
    assert context.minimum_version is context.maximum_version is ssl.TLSVersion.TLSv1_2
    if ssl.SSLContext is original:
        context._msg_callback = print
        assert context._msg_callback is print
        context._msg_callback = None

everywhere = []
def check_all():
    everywhere.extend([client_context(), client_context(ssl.create_default_context)])
    everywhere.extend(make(ssl.PROTOCOL_TLS_SERVER) for make in (
        SSLContext, EarlyContext, ssl.SSLContext, green.SSLContext, green.GreenSSLContext))
    everywhere.append(green.create_default_context())
    for context in everywhere:
        check(context)
        assert isinstance(context, ssl.SSLContext) and isinstance(context, SSLContext)

check_all()
for _ in range(3):
    patch()
    patch()
    check_all()
    patcher.unpatch()
    check_all()
assert ssl.SSLContext is original
assert original.sslsocket_class is SSLSocket
# Even if somebody puts the green names into the module.
ssl.SSLContext, ssl.SSLSocket = green.SSLContext, green.SSLSocket
for context in everywhere:
    if isinstance(context, green.SSLContext):
        check(context)
"""
    )


def test_sockets_from_before(run_tls):
    """Their descriptors block; their methods do not."""
    run_tls(
        """
import threading
pairs = []
one, two = socket.socketpair()
server = threading.Thread(
    target=lambda: pairs.append(early_server.wrap_socket(two, server_side=True)))
server.start()
client = early_client.wrap_socket(one, server_hostname="localhost")
server.join()
(conn,) = pairs
assert type(client) is type(conn) is SSLSocket
silent, plain = socket.socketpair()
silenced = early_server.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
patch()
with client, conn:
    assert isinstance(client, ssl.SSLSocket)
    talk(client, conn)
    data = bytes(range(256)) * 10000
    sending = eventlet.spawn(client.sendall, data)
    with conn.makefile("rb") as file:
        assert file.read(len(data)) == data
    sending.wait()
    client.settimeout(0.01)
    for operation in (lambda: client.recv(1), lambda: client.recv_into(bytearray(1)),
                      lambda: client.sendall(bytes(1 << 23))):
        other = eventlet.spawn(eventlet.sleep, 0.001)
        try:
            operation()
        except TimeoutError as error:
            assert str(error) == "timed out"
        else:
            raise AssertionError
        assert other.dead
def shake_hands():
    try:
        silenced.do_handshake()
    except hubs.IOClosed:
        return "closed"

handshaking = eventlet.spawn(shake_hands)
while not hubs.get_hub().get_readers():
    assert not handshaking.dead
    eventlet.sleep(0)
silenced.close()
assert handshaking.wait() == "closed"
silent.close()
"""
    )


def test_classes_derived_before(run_tls):
    run_tls(
        """
patch()
context = client_context()
context.sslsocket_class = EarlySocket
one, two = shake(context, early_server)
with one, two:
    assert type(one) is EarlySocket
    talk(one, two)
    closing = eventlet.spawn(two.unwrap)
    one.unwrap().close()
    closing.wait().close()
with early_server.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True) as listener:
    def serve():
        conn, _ = listener.accept()
        conn.do_handshake()
        return conn
    serving = eventlet.spawn(serve)
    with context.wrap_socket(socket.socket(), server_hostname="localhost") as client:
        client.connect(listener.getsockname())
        with serving.wait() as conn:
            talk(client, conn)
"""
    )


def test_wrap_socket_is_there_on_every_version(run_tls):
    run_tls(
        """
had = hasattr(ssl, "wrap_socket")
patch()
one, two = socket.socketpair()
serving = eventlet.spawn(
    ssl.wrap_socket, two, certfile=CERTIFICATE, keyfile=CERTIFICATE, server_side=True)
with ssl.wrap_socket(one, cert_reqs=ssl.CERT_REQUIRED, ca_certs=CERTIFICATE) as client:
    with serving.wait() as conn:
        talk(client, conn)
patcher.unpatch()
assert hasattr(ssl, "wrap_socket") == had
"""
    )


def test_verification_that_somebody_has_turned_off_stays_off(run_tls):
    """Programs replace this function for the sake of servers without a proper certificate."""
    run_tls(
        """
ssl._create_default_https_context = ssl._create_unverified_context
patch()
assert ssl._create_default_https_context().verify_mode is ssl.CERT_NONE
import http.client
assert ssl._create_default_https_context is ssl._create_unverified_context
"""
    )


def test_asyncio_does_tls(run_tls):
    run_tls(
        """
patch()
import asyncio
assert ssl.SSLContext.sslobject_class is ssl.SSLObject

async def handle(reader, writer):
    writer.write((await reader.readline()).upper())
    await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=early_server)
    host, port = server.sockets[0].getsockname()
    for context in (early_client, client_context()):
        reader, writer = await asyncio.open_connection(
            host, port, ssl=context, server_hostname="localhost")
        assert isinstance(writer.get_extra_info("ssl_object"), ssl.SSLObject)
        writer.write(b"line\\n")
        assert await reader.readline() == b"LINE\\n"
        writer.close()
    server.close()

asyncio.run(main())
"""
    )


def test_an_http_server_and_its_clients(run_tls):
    run_tls(
        """
from urllib.request import urlopen
patch()
import http.server, threading

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass

with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    port = server.server_port
    server.socket = early_server.wrap_socket(server.socket, server_side=True)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()

    def get(number):
        with urlopen(f"https://localhost:{port}/{number}", context=early_client) as response:
            return response.read()

    pool = eventlet.GreenPool()
    assert list(pool.imap(get, range(20))) == [b"/%d" % number for number in range(20)]
    server.shutdown()
    serving.join()
"""
    )
