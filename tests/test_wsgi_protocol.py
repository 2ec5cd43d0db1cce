"""`wsgi.HttpProtocol`: its settings, and connections that somebody else has accepted."""

import re

import pytest

from support.wsgi_protocols import SITE
from support.wsgi_site import environ_of


@pytest.fixture
def serve(start_server):
    """A function that starts a server of the application of `SITE`."""

    def start(options="", source="", **kwargs):
        return start_server(SITE + source, options, **kwargs)

    return start


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
