"""`wsgi.HttpProtocol`: its settings, and subclasses in the shapes that programs have."""

import json
import re
import socket
import ssl
import threading

import pytest

from support import certificates
from support.http_server import Server

SITE = r"""
import json, socket
from eventlet import wsgi
from eventlet.green.http import client as http_client

def app(env, start):
    name = env["PATH_INFO"].strip("/")
    if name == "echo":
        body = env["wsgi.input"].read()
    elif name == "environ":
        body = json.dumps({k: v for k, v in env.items() if isinstance(v, (str, bool))}).encode()
    elif name == "body":
        exec(env["HTTP_X_CODE"], {"env": env})
        body = repr(env["wsgi.input"].read()).encode()
    elif name == "wait":
        from eventlet import hubs
        print("waiting", flush=True)
        hubs.trampoline(0, read=True)
        body = b"waited"
    elif name == "stop":
        eventlet.spawn(servers[0].stop)
        body = b"Hello!"
    elif name == "fail":
        raise RuntimeError("of the application")
    else:
        body = b"Hello!"
    if name == "stream":
        start("200 OK", [])
        return iter([b"a", b"", b"b"])
    start("200 OK", [("Content-Type", "text/plain")])
    return [body]

class Noting(wsgi.HttpProtocol):
    "One that says what is called."
    def _read_request_line(self):
        line = super()._read_request_line()
        print("line", line, flush=True)
        return line
    def handle_one_request(self):
        super().handle_one_request()
        print("handled", self.conn_state[2], self.close_connection, flush=True)
    def get_environ(self):
        env = super().get_environ()
        env["noted"] = f"{self.command} {self.path} {self.request_version} {self.headers['x-a']}"
        return env
    def finish(self):
        super().finish()
        print("finished", flush=True)

class SwiftLike(wsgi.HttpProtocol):
    "Its own parser, of whatever it takes for a request, and its own errors."
    default_request_version = "HTTP/1.0"
    reject_bad_requests = False
    class MessageClass(wsgi.HttpProtocol.MessageClass):
        def get_default_type(self):
            return ""
    def __init__(self, *args, **kwargs):
        self.made = True
        wsgi.HttpProtocol.__init__(self, *args, **kwargs)
    def log_request(self, *args):
        pass
    def log_message(self, text, *args):
        self.server.log.info("ERROR WSGI: " + text, *args)
    def parse_request(self):
        self.close_connection = True
        line = self.raw_requestline.decode("latin-1").rstrip("\r\n")
        self.requestline = line
        self.command, self.path, self.request_version = line.split(" ")
        try:
            self.headers = http_client.parse_headers(self.rfile, _class=self.MessageClass)
        except http_client.HTTPException as error:
            self.send_error(431, "Too many headers", str(error))
            return False
        self.close_connection = self.headers.get("Connection", "").lower() == "close"
        return True
    def get_environ(self, *args, **kwargs):
        environ = wsgi.HttpProtocol.get_environ(self, *args, **kwargs)
        environ["own"] = "yes" if self.made else "no"
        return environ
    def _read_request_line(self):
        got = wsgi.HttpProtocol._read_request_line(self)
        self.conn_state[2] = wsgi.STATE_REQUEST
        return got
    def send_error(self, code, message=None, explain=None):
        self.log_error("code %d, message %s", code, message)
        self.send_response(code, message)
        self.send_header("Connection", "close")
        body = (explain or "").encode()
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Trans-Id", "tx1")
        self.end_headers()
        self.wfile.write(body)

class ProxiedLike(SwiftLike):
    "A line of its own before the first request."
    def handle(self):
        line = self.rfile.readline(self.server.url_length_limit)
        if not line.startswith(b"PROXY "):
            self.rfile.close()
            self.request_version, self.command = self.default_request_version, "PROXY"
            self.requestline = ""
            self.send_error(400, "Invalid PROXY line")
            return SwiftLike.handle(self)
        parts = line.strip(b"\r\n").split(b" ")
        self.client_address = (parts[2].decode(), parts[4].decode())
        return SwiftLike.handle(self)
    def get_environ(self):
        environ = SwiftLike.get_environ(self)
        environ["SERVER_PORT"] = "443"
        return environ

class NeutronLike(wsgi.HttpProtocol):
    "A client without an address gets one."
    disable_nagle_algorithm = False
    def __init__(self, conn_state, server):
        if conn_state[0] == "":
            conn_state[0] = ("<local>", 0)
        wsgi.HttpProtocol.__init__(self, conn_state, server)

class NamekoLike(wsgi.HttpProtocol):
    "Ends a connection by itself."
    def finish(self):
        try:
            wsgi.BaseHTTPServer.BaseHTTPRequestHandler.finish(self)
        except socket.error as error:
            if error.errno not in wsgi.BROKEN_SOCK:
                raise
        self.connection.close()

class Named(wsgi.HttpProtocol):
    "Knows better who the client is."
    def get_client_address(self):
        if self.path == "/unknown":
            raise KeyError("nobody")
        return "10.9.8.7 of " + super().get_client_address()[0], "99"

class OwnRequest(wsgi.HttpProtocol):
    "Reads requests all by itself."
    def handle_one_request(self):
        self.raw_requestline = self.rfile.readline()
        if not self.raw_requestline:
            self.close_connection = True
            return
        self.requestline = self.raw_requestline.decode().strip()
        self.command, self.path, self.request_version = self.requestline.split()
        self.headers = http_client.parse_headers(self.rfile)
        self.close_connection = False
        self.environ = self.get_environ()
        self.handle_one_response()
"""


@pytest.fixture
def serve():
    """A function that starts a server; all of them are killed at the end."""
    servers = []

    def start(options="", source="", **kwargs):
        servers.append(Server(SITE + source, options, **kwargs))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


def environ_of(response):
    return json.loads(response.body)


# ------------------------------------------------------------------------------------------------
# Settings


NO_HOST = b"GET / HTTP/1.1\r\n\r\n"
OLD_CHUNKS = b"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
BOTH = (
    b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\nab\r\n0\r\n\r\n"
)


@pytest.mark.parametrize(
    "part", ["", "; get_environ = lambda self: wsgi.HttpProtocol.get_environ(self)"]
)
@pytest.mark.parametrize(
    ("setting", "data", "body", "persists"),
    [
        ("require_host", NO_HOST, b"Hello!", True),
        ("reject_http10_chunked", OLD_CHUNKS, b"ab", False),
        ("reject_bad_requests", BOTH, b"ab", False),
    ],
)
def test_rules_that_may_be_relaxed(serve, part, setting, data, body, persists):
    source = f"\nclass Strict(wsgi.HttpProtocol):\n    x = 1{part}\n"
    source += f"class Relaxed(Strict):\n    {setting} = False\n"
    for name, status in (("Strict", 400), ("Relaxed", 200)):
        server = serve(f"protocol={name}", source=source)
        with server.connect() as client:
            client.send(data)
            response = client.response()
            assert response.status == status
            if status == 200:
                assert response.body == body
                assert persists == ("Connection" not in response)
                assert persists or client.is_closed()


def test_the_length_that_means_nothing_is_not_shown(serve):
    server = serve(
        "protocol=Relaxed",
        source="\nclass Relaxed(wsgi.HttpProtocol): reject_bad_requests = False\n",
    )
    with server.connect() as client:
        client.send(BOTH.replace(b"/echo", b"/environ"))
        env = environ_of(client.response())
    assert "CONTENT_LENGTH" not in env
    assert env["HTTP_TRANSFER_ENCODING"] == "chunked"


def test_minimum_chunk_size(serve):
    source = "\nclass Small(wsgi.HttpProtocol): minimum_chunk_size = 1\n"
    assert serve("protocol=Small", source=source).get("/stream").chunks == [b"a", b"b"]
    told = serve("protocol=Small, minimum_chunk_size=10", source=source)
    assert told.get("/stream").chunks == [b"ab"]


def test_protocol_version(serve):
    source = "\nclass Old(wsgi.HttpProtocol): protocol_version = 'HTTP/1.0'\n"
    source += "def main(sock, options):\n"
    source += "    wsgi.Server(sock, sock.getsockname(), app, protocol=Old).serve_forever()\n"
    response = serve(source=source).get("/stream")
    assert (response.version, response["Connection"], response.body) == ("HTTP/1.0", "close", b"ab")


def test_only_classes_that_take_part_are_called():
    from eventlet import wsgi
    from eventlet.wsgi._protocol import takes_part

    class Settings(wsgi.HttpProtocol):
        """Nothing but data."""

        require_host = False
        default_request_version = "HTTP/1.0"
        anything = {1: 2}

        def helper(self):
            """Called by nobody here."""

    class Method(Settings):
        def finish(self):
            super().finish()

    class Messages(wsgi.HttpProtocol):
        class MessageClass(wsgi.HttpProtocol.MessageClass):
            pass

    assert not takes_part(wsgi.HttpProtocol)
    assert not takes_part(Settings)
    assert takes_part(Method)
    assert takes_part(Messages)
    assert takes_part(lambda state, server: None)


def test_a_method_put_into_the_class_is_called(serve):
    source = (
        "\ndef finish(self, old=wsgi.HttpProtocol.finish):\n    old(self)\n"
        "    print('put', flush=True)\nwsgi.HttpProtocol.finish = finish\n"
    )
    server = serve(source=source)
    assert server.get().body == b"Hello!"
    server.wait_out("^put$")


# ------------------------------------------------------------------------------------------------
# Subclasses


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


# ------------------------------------------------------------------------------------------------
# Connections that somebody else has accepted


PROCESS = r"""
def main(sock, options):
    server = wsgi.Server(sock, sock.getsockname(), app, debug=False, protocol={protocol})
    from eventlet.greenio import GreenSocket
    listener = GreenSocket(sock)
    while True:
        connection, address = listener.accept()
        connection.settimeout(server.socket_timeout)
        state = [address, connection, wsgi.STATE_IDLE]
        eventlet.spawn(server.process_request, state)
"""


@pytest.mark.parametrize("protocol", ["wsgi.HttpProtocol", "NamekoLike"])
def test_process_request(serve, protocol):
    server = serve(source=PROCESS.replace("{protocol}", protocol))
    with server.connect() as client:
        assert client.get().body == b"Hello!"
        assert client.post("/echo", b"abc").body == b"abc"
        assert client.get(headers=[("Connection", "close")]).body == b"Hello!"
        assert client.is_closed()
    client = server.connect()
    client.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc")
    client.reset()
    assert server.get().body == b"Hello!"
    assert "Traceback" not in "\n".join(server.log)


def test_a_socket_that_is_nothing_but_two_files():
    """What tests of programs put in the place of a connection."""
    import io
    from unittest import mock

    from eventlet import wsgi

    def app(environ, start_response):
        start_response("200 OK", [])
        return [environ["REQUEST_METHOD"].encode(), environ["wsgi.input"].read()]

    class Other(wsgi.HttpProtocol):
        def log_message(self, text, *args):
            pass

    requests = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nPUT / HTTP/1.1\r\nHost: a\r\n"
    requests += b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n"
    address = ("127.0.0.1", 8359)
    for protocol in (wsgi.HttpProtocol, Other):
        rfile, wfile = io.BytesIO(requests), io.BytesIO()
        connection = mock.Mock(
            setsockopt=lambda *args: None,
            makefile=lambda mode, bufsize, r=rfile, w=wfile: r if "r" in mode else w,
            getsockname=lambda: address,
        )
        server = wsgi.Server(connection, address, app, io.StringIO(), protocol=protocol)
        with mock.patch.object(wfile, "close"):
            server.process_request([address, connection, wsgi.STATE_IDLE])
        sent = wfile.getvalue()
        statuses = re.findall(rb"HTTP/1.1 (\d+)", sent)
        assert statuses == [b"200", b"200", b"400"]
        assert b"\r\n\r\nGETHTTP" in sent
        assert b"\r\n\r\nPUTxHTTP" in sent


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


def test_an_accept_of_the_programs_own(serve):
    source = r"""
def main(sock, options):
    from eventlet.greenio import GreenSocket
    listener = GreenSocket(sock)
    accept = listener.accept
    def own():
        found = accept()
        print("accepted", flush=True)
        return found
    listener.accept = own
    wsgi.server(listener, app, protocol=NamekoLike)
"""
    server = serve(source=source)
    assert server.get().body == b"Hello!"
    server.wait_out("accepted")


def test_names_that_programs_import():
    from eventlet import wsgi

    assert (wsgi.STATE_IDLE, wsgi.STATE_REQUEST, wsgi.STATE_CLOSE) == ("idle", "request", "close")
    assert issubclass(wsgi.HttpProtocol, wsgi.BaseHTTPServer.BaseHTTPRequestHandler)
    assert wsgi.HttpProtocol.MessageClass is wsgi.BaseHTTPServer.BaseHTTPRequestHandler.MessageClass
    assert wsgi.MINIMUM_CHUNK_SIZE == wsgi.HttpProtocol.minimum_chunk_size == 4096
    assert issubclass(wsgi.ChunkReadError, ValueError)
    assert not wsgi.ALREADY_HANDLED
    assert {32, 104} <= wsgi.BROKEN_SOCK or wsgi.BROKEN_SOCK
    assert wsgi.format_date_time(0) == "Thu, 01 Jan 1970 00:00:00 GMT"
    log = wsgi.LoggerNull()
    for method in (log.info, log.error, log.debug, log.write):
        assert method("x %s", 1) is None


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
