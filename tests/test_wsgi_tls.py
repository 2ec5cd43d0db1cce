"""HTTPS: handshakes, requests over TLS, and what becomes of connections that wait.

Each connection is in the hub unless a request of its is running, as without TLS: the figures of the
server and its green threads show it.
"""

import json
import socket
import ssl
import time

import pytest

from support.certificates import make
from support.http_server import PATIENCE, Client
from support.wsgi_site import GET, SITE, chunked, environ_of, tell
from test_wsgi_proxy import ENVIRON, V1, V2, remote

#: How a listener gets its TLS: `wrap_ssl`, or a context of the standard library or of ours.
LISTENERS = {
    "wrap_ssl": "eventlet.wrap_ssl(sock, certfile=CERT, keyfile=KEY, server_side=True)",
    "context": "context(__import__('ssl')).wrap_socket(sock, server_side=True)",
    "green context": "context(__import__('eventlet.green.ssl').green.ssl)"
    ".wrap_socket(sock, server_side=True)",
}

MAIN = """
CERT, KEY = {cert!r}, {key!r}
def context(ssl):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(CERT, KEY)
    made.set_alpn_protocols(["http/1.1"])
    return made
def threads(env, start):
    import gc, greenlet
    ok(start)
    return [str(len([o for o in gc.get_objects() if isinstance(o, greenlet.greenlet)])).encode()]
def main(sock, options):
    wsgi.server({listener}, app, **options)
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def serve(start_server, files):
    """A function that starts a server over TLS."""

    def start(options="", listener="context", source=SITE):
        main = MAIN.format(cert=files[0], key=files[1], listener=LISTENERS[listener])
        return start_server(source + main, options)

    return start


def secured(sock, *protocols):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context.wrap_socket(sock, suppress_ragged_eofs=False)


class TlsClient(Client):
    """A connection whose end is one only if the server says so in TLS."""

    def __init__(self, server, *protocols, first=b""):
        super().__init__(server)
        try:
            if first:
                self.sock.sendall(first)
            self.sock = secured(self.sock, *protocols)
        except BaseException:
            self.sock.close()
            raise


@pytest.fixture
def site(serve):
    return serve()


@pytest.mark.parametrize("listener", LISTENERS)
def test_listeners(serve, listener):
    server = serve(listener=listener)
    with TlsClient(server) as client:
        environ = environ_of(client.get("/environ"))
        assert (environ["wsgi.url_scheme"], environ["HTTPS"]) == ("https", "on")
        host, port = client.sock.getsockname()
        assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (host, str(port))
        assert environ["SERVER_PORT"] == str(server.address[1])
        assert client.get().body == b"Hello!"
    server.wait_log("wsgi starting up on https://")


def test_alpn(site):
    with TlsClient(site, "h2", "http/1.1") as client:
        assert client.sock.selected_alpn_protocol() == "http/1.1"
        assert client.get().body == b"Hello!"


def test_requests(site):
    body = bytes(range(256)) * 4000
    with TlsClient(site) as client:
        client.send(GET * 100)
        for _ in range(100):
            assert client.response().body == b"Hello!"
        assert client.post("/echo", body).body == body
        head = b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.send(head + chunked(body[:100], body[100:50_000]))
        assert client.response().body == body[:50_000]
        assert client.get("/bigblock?3000000").body == bytes(range(256)) * (3_000_000 // 256)
        assert client.get("/big?1000000").body[:256] == bytes(range(256))
        for byte in GET:
            client.send(bytes([byte]))
        assert client.response().body == b"Hello!"
        assert client.get(headers=[("Connection", "close")]).body == b"Hello!"
        assert client.is_closed()


def test_records_of_any_size(site):
    with TlsClient(site) as client:
        # A record that holds more than one request, and requests that are cut by records.
        client.send(GET * 300 + GET[:20])
        client.send(GET[20:] + GET * 400)
        for _ in range(701):
            assert client.response().body == b"Hello!"


def test_who_waits_has_no_green_thread(site):
    with TlsClient(site) as asking:
        before = int(asking.get("/threads").body)
        clients = [TlsClient(site) for _ in range(20)]
        for client in clients[:10]:
            assert client.get().body == b"Hello!"
        assert int(asking.get("/threads").body) <= before + 5
        for client in clients:
            assert client.get().body == b"Hello!"
            client.close()


def test_a_request_that_comes_with_the_end_of_the_handshake(site):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for _ in range(5):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing)
        with site.connect() as client:
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    client.send(outgoing.read())
                    incoming.write(client.sock.recv(65536))
            tls.write(GET)
            client.send(outgoing.read())
            response = b""
            while b"Hello!" not in response:
                incoming.write(client.sock.recv(65536))
                try:
                    response += tls.read()
                except ssl.SSLWantReadError:
                    pass


def test_a_slow_handshake_holds_up_nobody(serve):
    server = serve("head_timeout=0.5")
    silent = [server.connect() for _ in range(10)]
    began = [server.connect() for _ in range(10)]
    for client in began:
        client.send(b"\x16\x03\x01\x02\x00\x01")
    with TlsClient(server) as client:
        assert client.get().body == b"Hello!"
        for other in silent + began:
            assert other.is_closed()
            other.close()
        server.wait_log("failed to agree on TLS", 10)
    assert "Traceback" not in "\n".join(server.log)


def test_failed_handshakes(site):
    with site.connect() as client:
        client.send(GET)
        client.rest()
    with site.connect() as client:
        client.send(b"\x16\x03\x01\x02\x00\x01")
        client.reset()
    site.connect().close()
    with site.connect() as client:
        context = ssl.create_default_context()
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(client.sock, server_hostname="elsewhere")
    with TlsClient(site) as client:
        assert client.get().body == b"Hello!"
        site.wait_until(lambda: json.loads(client.get("/stats").body)["connections"] == 1)
    assert "Traceback" not in "\n".join(site.log)


def test_limits(serve):
    server = serve("head_timeout=0.3, body_timeout=0.2, max_requests_per_connection=2")
    with TlsClient(server) as client:
        assert client.is_closed()  # nothing asked
    with TlsClient(server) as client:
        client.send("GET / HT")
        assert client.response().status == 408
        assert client.is_closed()
    with TlsClient(server) as client:
        client.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc")
        assert client.response().status == 408
        assert client.is_closed()
    with TlsClient(server) as client:
        assert client.get().body == client.get().body == b"Hello!"
        assert client.is_closed()
    server = serve("keepalive=0.2")
    with TlsClient(server) as client:
        assert client.get().body == b"Hello!"
        assert client.is_closed()


def test_a_client_that_does_not_read(serve):
    server = serve("send_timeout=0.2")
    text = "from __main__ import Body; start('200 OK', []); import itertools; "
    text += "result = Body(itertools.repeat(b'x' * 65536), 'unread')"
    with TlsClient(server) as client:
        client.send(f"GET /run HTTP/1.1\r\nHost: t\r\nX-Code: {json.dumps(text)}\r\n\r\n")
        server.wait_out("closed unread")


def test_a_client_that_reads_slowly_gets_all(serve):
    server = serve("send_timeout=0.3")
    size = 6_000_000 // 256 * 256
    client = Client.__new__(Client)
    client.buffer = b""
    with socket.socket() as client.sock:
        client.sock.settimeout(PATIENCE)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20_000)
        client.sock.connect(server.address)
        with secured(client.sock) as client.sock:
            client.send(f"GET /bigblock?{size} HTTP/1.1\r\nHost: t\r\n\r\n")
            client._until(b"\r\n\r\n")
            ends = time.monotonic() + 1  # longer than it may go without progress
            received = len(client.buffer)
            client.buffer = b""
            while time.monotonic() < ends:
                received += len(client.exactly(10_000))
                time.sleep(0.01)
            assert len(client.exactly(size - received)) == size - received


def test_idle_connections_make_room(serve):
    server = serve("max_size=3")
    held = [server.connect(), TlsClient(server), server.connect()]
    with TlsClient(server) as client:
        assert client.get().body == b"Hello!"
    assert held[0].is_closed()
    for other in held:
        other.close()


def test_garbage_is_answered_over_tls(site):
    with TlsClient(site) as client:
        client.send(b"nonsense\r\n\r\n" + b"x" * 100_000)
        assert client.response().status == 400
        assert client.is_closed()


def test_a_cut_connection(site):
    with TlsClient(site) as client:
        assert client.get().body == b"Hello!"
        raw = client.sock.detach()
        with socket.socket(fileno=raw):
            pass  # an end of the bytes, but none of TLS
    with TlsClient(site) as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc")
        client.reset()
    with TlsClient(site) as client:
        site.wait_until(lambda: json.loads(client.get("/stats").body)["connections"] == 1)
    assert "Traceback" not in "\n".join(site.log)


def test_the_client_may_say_goodbye_first(site):
    with TlsClient(site) as client:
        assert client.get().body == b"Hello!"
        client.sock = client.sock.unwrap()
        assert client.rest() == b""


def test_get_socket(site):
    code = "from eventlet import wsgi; s = env['eventlet.input'].get_socket(); "
    code += "rest = env['eventlet.input'].take_buffered(); "
    code += "s.sendall(b'raw ' + s.recv(100) + s.version().encode() + b' %r' % s.gettimeout()); "
    code += "wsgi.WSGI_LOCAL.already_handled = True; result = []"
    with TlsClient(site) as client:
        client.send(f"GET /run HTTP/1.1\r\nHost: t\r\nX-Code: {json.dumps(code)}\r\n\r\n")
        client.send("over ")
        answer = client.rest()
        assert answer.startswith(b"raw over TLSv1")
        assert answer.endswith(b" None")  # the time of the handshake is over


def test_a_client_that_is_never_without_a_request_leaves_others_their_turn(site):
    """Each is in a record of its own, so that the server finds it when it has answered the last."""

    def request(text):
        text += "\nstart('200 OK', [])\nresult = []"
        return f"GET /run HTTP/1.1\r\nHost: t\r\nX-Code: {json.dumps(text)}\r\n\r\n"

    with TlsClient(site) as many, TlsClient(site) as one:
        one.get()
        many.send(request("import sys; print('held up', flush=True); sys.stdin.readline()"))
        site.wait_out("held up")
        for _ in range(100):
            many.send(request("print('many', flush=True)"))
        one.send(request("print('one', flush=True)"))
        tell(site, "go on")
        assert one.response().status == 200
        site.wait_out("many", 100)
    order = [line for line in site.out if line in {"many", "one"}]
    assert order.index("one") < 10


@pytest.mark.parametrize("pool", ["", "custom_pool=__import__('eventlet').GreenPool(20)"])
def test_a_client_that_hangs_up_within_a_body(serve, pool):
    """Without the end of TLS before it: it is the end all the same, and not an error of TLS."""
    server = serve(pool, "wrap_ssl")
    for framing, part, seen in (
        ("Transfer-Encoding: chunked", "5\r\nab", "TruncatedBodyError"),
        ("Content-Length: 5", "ab", "read b'ab'"),
    ):
        code = "try: print('read', env['wsgi.input'].read(), flush=True)\n"
        code += "except Exception as error: print(type(error), flush=True)"
        head = f"POST /run HTTP/1.1\r\nHost: t\r\n{framing}\r\nX-Code: {json.dumps(code)}"
        with TlsClient(server) as client:
            client.send(f"{head}\r\n\r\n{part}")
            # To close it would reset it: what the server has sent is not read.
            client.sock.shutdown(socket.SHUT_WR)
            server.wait_out(seen)


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
def test_a_proxy_header_comes_before_tls(serve, header):
    server = serve("proxy_protocol=True, trusted_proxies=['127.0.0.1']")
    with TlsClient(server, first=header) as client:
        client.send(ENVIRON)
        assert remote(client.response()) == ("192.0.2.1", "4711")
    with server.connect() as client:
        client.send(b"PROXY nonsense\r\n")
        assert client.is_closed()
    with pytest.raises(OSError):
        TlsClient(server)


def test_with_a_pool(serve):
    """The connections are objects in green threads of the pool."""
    pool = "custom_pool=__import__('eventlet').GreenPool(20)"
    server = serve(f"{pool}, head_timeout=0.3", "wrap_ssl")
    with server.connect() as silent, TlsClient(server) as client:
        assert client.get().body == b"Hello!"
        assert client.post("/echo", b"x" * 100_000).body == b"x" * 100_000
        assert silent.is_closed()
    source = (
        SITE
        + """
def app(env, start):
    raise AssertionError
import eventlet.wsgi
original = eventlet.wsgi.server
def serving(*args, **kwargs):
    try:
        original(*args, **kwargs)
    except TypeError as error:
        print("refused", error, flush=True)
eventlet.wsgi.server = serving
"""
    )
    server = serve(f"{pool}, proxy_protocol=True, trusted_proxies=['*']", source=source)
    server.wait_out("refused a PROXY header before TLS")


def test_stop_lets_requests_finish(serve):
    server = serve()
    with TlsClient(server) as idle, TlsClient(server) as busy, server.connect() as new:
        assert idle.get().body == b"Hello!"
        busy.send("GET /run HTTP/1.1\r\nHost: t\r\nX-Code: ")
        code = "import eventlet; print('asleep', flush=True); eventlet.sleep(0.3); "
        code += "start('200 OK', []); result = [b'awake']"
        busy.send(json.dumps(code) + "\r\n\r\n")
        server.wait_out("asleep")
        new.send(b"\x16\x03\x01")
        assert idle.get().body == b"Hello!"  # the other green thread waits by now
        assert server.stop() == 0
        assert busy.response().body == b"awake"
        assert idle.is_closed()
        assert new.is_closed()
