"""The uwsgi protocol, as nginx speaks it."""

import struct

import pytest

from support.wsgi_site import SITE, environ_of
from test_wsgi_limits import OBJECTS


@pytest.fixture
def serve(start_server):
    """A function that starts a server that speaks uwsgi."""

    def start(options="", source=SITE, **kwargs):
        return start_server(source, "uwsgi=True" + options, **kwargs)

    return start


@pytest.fixture(params=["descriptor", "object"])
def start(request, serve):
    def begin(options=""):
        return serve(options, SITE if request.param == "descriptor" else SITE + OBJECTS)

    return begin


def string(text):
    data = text.encode("latin-1")
    return struct.pack("<H", len(data)) + data


def packet(variables, modifier=0):
    pairs = variables.items() if isinstance(variables, dict) else variables
    body = b"".join(string(name) + string(value) for name, value in pairs)
    return struct.pack("<BHB", modifier, len(body), 0) + body


def cgi(path="/", method="GET", query="", **more):
    """What nginx's `uwsgi_params` has."""
    return {
        "QUERY_STRING": query,
        "REQUEST_METHOD": method,
        "CONTENT_TYPE": "",
        "CONTENT_LENGTH": "",
        "REQUEST_URI": path + ("?" + query if query else ""),
        "PATH_INFO": path,
        "DOCUMENT_ROOT": "/srv",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_SCHEME": "http",
        "REMOTE_ADDR": "192.0.2.1",
        "REMOTE_PORT": "4711",
        "SERVER_PORT": "8080",
        "SERVER_NAME": "example.com",
        "HTTP_HOST": "example.com:8080",
        **more,
    }


def ask(server, variables, body=b""):
    with server.connect() as client:
        client.send(packet(variables) + body)
        response = client.response(variables.get("REQUEST_METHOD", "GET"))
        assert client.is_closed()
        return response


def test_environ(start):
    server = start()
    environ = environ_of(
        ask(server, cgi("/environ", query="a=b", HTTP_ACCEPT="*/*", HTTP_X_LONG_NAME="v"))
    )
    for name, value in {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/environ",
        "RAW_PATH_INFO": "/environ",
        "QUERY_STRING": "a=b",
        "CONTENT_TYPE": "text/plain",
        "SERVER_NAME": "example.com",
        "SERVER_PORT": "8080",
        "REMOTE_ADDR": "192.0.2.1",
        "REMOTE_PORT": "4711",
        "HTTP_HOST": "example.com:8080",
        "HTTP_ACCEPT": "*/*",
        "DOCUMENT_ROOT": "/srv",
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.input": "Input",
        "headers_raw": [["Host", "example.com:8080"], ["Accept", "*/*"], ["X-Long-Name", "v"]],
    }.items():
        assert environ[name] == value, name
    assert "HTTPS" not in environ
    assert "CONTENT_LENGTH" not in environ


def test_what_web_servers_may_say_otherwise(start):
    server = start()
    environ = environ_of(ask(server, cgi("/environ", HTTPS="on", SCRIPT_NAME="/app")))
    assert (environ["wsgi.url_scheme"], environ["HTTPS"]) == ("https", "on")
    assert environ["SCRIPT_NAME"] == "/app"
    environ = environ_of(ask(server, cgi("/environ", REQUEST_SCHEME="https")))
    assert (environ["wsgi.url_scheme"], environ["HTTPS"]) == ("https", "on")
    pairs = [*cgi("/environ").items(), ("HTTP_X", "1"), ("HTTP_X", "2"), ("OWN", "3")]
    with server.connect() as client:
        client.send(packet([*pairs, ("wsgi.input", "4"), ("eventlet.input", "5"), ("", "6")]))
        environ = environ_of(client.response())
    assert (environ["HTTP_X"], environ["OWN"]) == ("1,2", "3")
    assert environ["wsgi.input"] == environ["eventlet.input"] == "Input"
    assert "" not in environ


def test_the_least(start):
    server = start()
    assert ask(server, {}).body == b"Hello!"
    assert ask(server, {"PATH_INFO": "/query", "QUERY_STRING": "x"}).body == b"x"


def test_bodies(start):
    server = start()
    for size in (1, 1000, 300_000):
        body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        response = ask(server, cgi("/echo", "POST", CONTENT_LENGTH=str(size)), body)
        assert response.body == body
    response = ask(server, cgi("/ignore", "POST", CONTENT_LENGTH="1000"), b"x" * 1000)
    assert response.body == b"ignored"


def test_byte_by_byte(start):
    server = start()
    with server.connect() as client:
        for byte in packet(cgi("/echo", "POST", CONTENT_LENGTH="5")) + b"hello":
            client.send(bytes([byte]))
        assert client.response().body == b"hello"


def test_responses_end_with_the_connection(start):
    server = start()
    response = ask(server, cgi())
    assert (response.status, response.reason, response.body) == (200, "OK", b"Hello!")
    assert response.version.startswith("HTTP/1.")
    response = ask(server, cgi("/big", query="100000"))
    assert len(response.body) == 100_000
    spec = repr({"generator": True, "result": [b"a" * 5000, b"b" * 5000]})
    response = ask(server, cgi("/respond", HTTP_X_SPEC=spec))
    assert response.body == b"a" * 5000 + b"b" * 5000
    assert "Transfer-Encoding" not in response
    assert ask(server, cgi(method="HEAD")).body == b""


def test_log(start):
    server = start()
    assert ask(server, cgi("/query", query="x=1")).body == b"x=1"
    server.wait_log(r'"GET /query\?x=1 HTTP/1.1" 200')
    ask(server, cgi(REQUEST_URI="/\r\nforged"))
    server.wait_log(r'"GET /\?\?forged HTTP/1.1" 200')


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        (packet(cgi(), modifier=5), 400),
        (b"\0\x04\0\0\x05\0ab", 400),
        (packet(cgi(CONTENT_LENGTH="-1")), 400),
        (packet(cgi(CONTENT_LENGTH="1 2")), 400),
        (packet([("CONTENT_LENGTH", "1"), ("CONTENT_LENGTH", "2")]), 400),
        (packet({f"V{number}": "" for number in range(1000)}), 431),
        (packet(cgi(CONTENT_LENGTH="1001")), 413),
    ],
)
def test_refused(start, data, status):
    server = start(", max_body_size=1000")
    with server.connect() as client:
        client.send(data)
        assert client.response().status == status
        assert client.is_closed()
    server.wait_log(f'"-" {status}')


def test_limits(serve):
    server = serve(", head_timeout=0.1, body_timeout=0.1, max_header_size=10_000")
    with server.connect() as client:
        client.send(packet(cgi())[:-1])
        assert client.response().status == 408
    with server.connect() as client:
        client.send(packet(cgi("/echo", "POST", CONTENT_LENGTH="5")) + b"hell")
        assert client.response().status == 408
    with server.connect() as client:
        client.send(packet(cgi(HTTP_X="x" * 20_000)))
        assert client.response().status == 431


def test_what_follows_a_request_is_no_other(start):
    server = start()
    with server.connect() as client:
        client.send(packet(cgi()) * 3)
        assert client.response().body == b"Hello!"
        assert client.is_closed()
    server.wait_log("GET / HTTP")
    assert len([line for line in server.log if "GET" in line]) == 1
