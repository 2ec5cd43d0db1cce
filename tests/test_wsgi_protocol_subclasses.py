"""Subclasses of `wsgi.HttpProtocol`, in the shapes that programs have."""

import socket
import ssl
import threading

import pytest

from support import certificates
from support.http_server import Server
from support.wsgi_protocols import SITE
from support.wsgi_site import environ_of


@pytest.fixture
def serve(start_server):
    """A function that starts a server of the application of `SITE`."""

    def start(options="", source="", **kwargs):
        return start_server(SITE + source, options, **kwargs)

    return start


def test_what_is_called(serve):
    server = serve("protocol=Noting")
    with server.connect() as client:
        env = environ_of(client.get("/environ?q", headers=[("X-A", "b")]))
        assert env["noted"] == "GET /environ?q HTTP/1.1 b"
        assert (env["PATH_INFO"], env["QUERY_STRING"], env["HTTP_X_A"]) == ("/environ", "q", "b")
        assert client.get().body == b"Hello!"
        assert client.get(headers=[("Connection", "close")]).body == b"Hello!"
        assert client.is_closed()
    server.wait_out("finished")
    lines = [line for line in server.out if line.startswith(("line", "handled", "finished"))]
    assert lines == [
        "line b'GET /environ?q HTTP/1.1\\r\\n'",
        "handled request False",
        "line b'GET / HTTP/1.1\\r\\n'",
        "handled request False",
        "line b'GET / HTTP/1.1\\r\\n'",
        "handled request True",
        "finished",
    ]


@pytest.mark.parametrize("name", ["Noting", "SwiftLike", "NeutronLike", "NamekoLike", "OwnRequest"])
def test_subclasses_serve(serve, name):
    server = serve(f"protocol={name}")
    with server.connect() as client:
        assert client.get().body == b"Hello!"
        assert client.post("/echo", b"x" * 300_000).body == b"x" * 300_000
        client.send(
            "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
            "3;x=y\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nX: y\r\n\r\n"
            "GET / HTTP/1.1\r\nHost: t\r\n\r\n"
        )
        assert client.response().body == b"abc0123456789abcdef"
        assert client.response().body == b"Hello!"
        # A body that nobody reads, and a request behind it.
        client.send(
            "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabcGET /echo HTTP/1.1\r\n"
            "Host: t\r\n\r\n"
        )
        assert client.response().body == b"Hello!"
        assert client.response().body == b""
        assert client.get("/stream").body == b"ab"
        assert client.get("/fail").status == 500
        assert client.is_closed()
    with server.connect() as client:
        client.send(
            "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
        assert client.response().status == 100
        client.send("abc")
        assert client.response().body == b"abc"
    with server.connect() as client:
        assert client.get(version="HTTP/1.0").body == b"Hello!"
        assert client.is_closed()
    server.wait_log(r'^127\.0\.0\.1 - - \[.*\] "GET / HTTP/1\.0" 200 ')


@pytest.mark.parametrize("name", ["Noting", "SwiftLike"])
@pytest.mark.parametrize(
    ("data", "status"),
    [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: t\r\nA : b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
        ("GET / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        ("GET / HTTP/1.1\r\nHost: t\r\nX: " + "x" * 9000 + "\r\n\r\n", 431),
        ("GET / HTTP/1.1\r\nHost: t\r\n" + f"X: {'x' * 8000}\r\n" * 20 + "\r\n", 431),
        ("GET / HTTP/1.1\r\nHost: t\r\n" + "X: x\r\n" * 300 + "\r\n", 431),
        (f"GET /{'x' * 9000} HTTP/1.1\r\nHost: t\r\n\r\n", 414),
        ("GET / HTTP/2.0\r\nHost: t\r\n\r\n", 505),
    ],
)
def test_there_is_one_parser(serve, name, data, status):
    server = serve(f"protocol={name}")
    with server.connect() as client:
        client.send(data)
        response = client.response()
        assert response.status == status
        assert response["Connection"] == "close"
        assert client.rest() == b""
    assert server.get().body == b"Hello!"
    assert "Traceback" not in "\n".join(server.log)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ("Content-Length: 1\r\nContent-Length: 1\r\n", 400),
        ("Transfer-Encoding: gzip\r\n", 501),
        ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400),
    ],
)
def test_a_head_that_a_subclass_has_read_by_itself(serve, fields, status):
    server = serve("protocol=OwnRequest")
    with server.connect() as client:
        client.send(f"GET / HTTP/1.1\r\nHost: t\r\n{fields}\r\n")
        assert client.response().status == status
        assert client.is_closed()
    assert server.get().body == b"Hello!"


def test_errors_of_a_subclass(serve):
    server = serve("protocol=SwiftLike")
    with server.connect() as client:
        client.send("GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
        response = client.response()
    assert (response.status, response["X-Trans-Id"], response.body) == (400, "tx1", b"invalid Host")
    server.wait_log("ERROR WSGI: code 400, message Bad Request")


def test_the_type_of_a_body_without_one(serve):
    assert environ_of(serve("protocol=SwiftLike").get("/environ"))["CONTENT_TYPE"] == ""
    assert environ_of(serve("protocol=Noting").get("/environ"))["CONTENT_TYPE"] == "text/plain"


def test_a_line_before_the_first_request(serve):
    server = serve("protocol=ProxiedLike")
    with server.connect() as client:
        client.send("PROXY TCP4 1.2.3.4 5.6.7.8 111 443\r\n")
        env = environ_of(client.get("/environ"))
        names = ("REMOTE_ADDR", "REMOTE_PORT", "SERVER_PORT", "own")
        assert [env[name] for name in names] == ["1.2.3.4", "111", "443", "yes"]
        assert environ_of(client.get("/environ"))["REMOTE_ADDR"] == "1.2.3.4"
    server.wait_log(r"^1\.2\.3\.4 - - ")
    with server.connect() as client:
        client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        assert client.response().status == 400
        assert client.is_closed()


def test_a_client_without_an_address(serve, tmp_path):
    server = serve("protocol=NeutronLike", address=str(tmp_path / "s"), family="AF_UNIX")
    env = environ_of(server.get("/environ"))
    assert (env["REMOTE_ADDR"], env["REMOTE_PORT"]) == ("<local>", "0")
    assert env["SERVER_NAME"] == "unix"
    server.wait_log("^<local> - - ")


def test_connections_end_with_the_server(serve):
    server = serve("protocol=Noting")
    with (
        server.connect() as idle,
        server.connect() as busy,
        server.connect() as fresh,
        server.connect() as stopping,
    ):
        assert idle.get().body == b"Hello!"
        busy.send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n")
        server.wait_out("waiting")
        assert stopping.get("/stop").body == b"Hello!"
        assert stopping.is_closed()
        assert idle.is_closed()
        assert fresh.is_closed()
        server.process.stdin.close()
        response = busy.response()
        assert response.body == b"waited"
        assert busy.is_closed()
    assert server.wait() == 0
    server.wait_log("wsgi exited")


@pytest.mark.parametrize("name", ["Noting", "SwiftLike", "OwnRequest"])
@pytest.mark.parametrize(
    "data",
    [
        "GET / HT",
        "GET / HTTP/1.1\r\nHost: t\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc",
        "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
        "GET / HTTP/1.1\r\nHost: t\r\n\r\n" * 20,
    ],
)
@pytest.mark.parametrize("end", ["reset", "close"])
def test_clients_that_leave_in_the_middle(shared_protocols, name, data, end):
    server = shared_protocols(name)
    client = server.connect()
    client.send(data)
    getattr(client, end)()
    assert server.get().body == b"Hello!"
    if name != "OwnRequest":
        # What that makes of half a line is its own affair.
        assert "Traceback" not in "\n".join(server.log)


@pytest.fixture(scope="module")
def shared_protocols():
    """A function that starts a server with a protocol, or returns the one that is there."""
    servers = {}

    def get(name):
        if name not in servers:
            servers[name] = Server(SITE, f"protocol={name}")
        return servers[name]

    yield get
    for server in servers.values():
        server.kill()


def test_time_limits(serve):
    server = serve("protocol=SwiftLike, keepalive=0.2, head_timeout=0.2")
    with server.connect() as client:
        assert client.get().body == b"Hello!"
        assert client.is_closed()
    with server.connect() as client:  # half a line
        client.send("GET / HT")
        assert client.is_closed()
    with server.connect() as client:  # half a head
        client.send("GET / HTTP/1.1\r\nHost: t\r\n")
        assert client.is_closed()
    with server.connect() as client:  # nothing
        assert client.is_closed()
    server.wait_log("timed out", 4)
    assert "Traceback" not in "\n".join(server.log)


def test_tls(serve, tmp_path):
    try:
        certificate, key = certificates.make(tmp_path)
    except FileNotFoundError:
        pytest.skip("needs the openssl command")
    source = (
        "\ndef main(sock, options):\n"
        f"    files = dict(certfile={certificate!r}, keyfile={key!r})\n"
        "    wsgi.server(eventlet.wrap_ssl(sock, server_side=True, **files), app,\n"
        "                protocol=SwiftLike)\n"
    )
    server = serve(source=source)
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    with server.connect() as client:
        client.sock = context.wrap_socket(client.sock)
        assert client.post("/echo", b"x" * 100_000).body == b"x" * 100_000
        env = environ_of(client.get("/environ"))
        assert (env["HTTPS"], env["wsgi.url_scheme"]) == ("on", "https")


@pytest.mark.parametrize("log_format", ["", ", log_format='%(client_ip)s:%(client_port)s'"])
def test_the_client_as_the_class_has_it(serve, log_format):
    server = serve("protocol=Named" + log_format)
    forwarded = [("X-Forwarded-For", "1.2.3.4")]
    assert environ_of(server.get("/environ", headers=forwarded))["REMOTE_ADDR"] == "127.0.0.1"
    port = ":99$" if log_format else " - - "
    server.wait_log(f"^10\\.9\\.8\\.7 of 1\\.2\\.3\\.4,127\\.0\\.0\\.1{port}")
    # Where that fails, the log lacks a line, and the client nothing.
    assert server.get("/unknown").body == b"Hello!"
    server.wait_log("KeyError: 'nobody'")


def test_a_slow_reader_of_a_subclass_holds_nobody_up(serve):
    server = serve("protocol=SwiftLike", source="\nBIG = b'x' * (20 << 20)\n" + BIG)
    with server.connect() as slow, server.connect() as fast:
        slow.send("GET /big HTTP/1.1\r\nHost: t\r\n\r\n")
        assert slow.sock.recv(1, socket.MSG_PEEK)
        results = []
        reader = threading.Thread(target=lambda: results.append(len(slow.response().body)))
        for _ in range(3):
            assert fast.get().body == b"Hello!"
        reader.start()
        reader.join(20)
    assert results == [20 << 20]


BIG = r"""
inner = app
def app(env, start):
    if env["PATH_INFO"] != "/big":
        return inner(env, start)
    start("200 OK", [("Content-Length", str(len(BIG)))])
    return [BIG]
"""


def test_nothing_of_a_connection_is_left(serve):
    source = r"""
import gc, weakref
gc.disable()
seen = []
class Seen(wsgi.HttpProtocol):
    def finish(self):
        seen.append(weakref.ref(self))
        super().finish()
inner = app
def app(env, start):
    if env["PATH_INFO"] != "/left":
        return inner(env, start)
    start("200 OK", [])
    return [str([ref() is None for ref in seen]).encode()]
"""
    server = serve("protocol=Seen", source=source)
    with server.connect() as client:
        for _ in range(3):
            assert server.get(headers=[("Connection", "close")]).body == b"Hello!"
        with server.connect() as other:
            assert other.post("/echo", b"abc").body == b"abc"
        server.wait_until(lambda: client.get("/left").body == b"[True, True, True, True]")
