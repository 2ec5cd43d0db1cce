"""`eventlet.green.http` and the names that its modules have besides.

Client and server are green threads of one OS thread: if either blocked, both would stand still.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import pickle
import ssl

import pytest

import eventlet
from eventlet.green.http import client, cookiejar, cookies, server

pytestmark = pytest.mark.usefixtures("limit")


class Handler(server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.path.encode()
        self.send_response(200)
        for number in range(int(self.headers.get("X-Count", 0))):
            self.send_header(f"X-{number}", "1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        assert self.headers["Transfer-Encoding"] == "chunked"
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def address():
    """The address of a server, each of whose connections has a green thread."""
    with serving(server.ThreadingHTTPServer, Handler) as address:
        yield address


@contextlib.contextmanager
def serving(kind, handler):
    with kind(("127.0.0.1", 0), handler) as httpd:

        def serve():
            while True:
                httpd.process_request(*httpd.get_request())

        thread = eventlet.spawn(serve)
        try:
            yield httpd.server_address[:2]
        finally:
            thread.kill()


def get(address, path="/", headers=(), kind=client.HTTPConnection):
    connection = kind(*address)
    try:
        connection.request("GET", path, headers=dict(headers))
        return connection.getresponse().read()
    finally:
        connection.close()


def test_client_and_server(address):
    assert get(address, "/path") == b"/path"


def test_keep_alive(address):
    connection = client.HTTPConnection(*address)
    for path in "/a", "/b":
        connection.request("GET", path)
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, path.encode())
    connection.close()


def test_chunked(address):
    connection = client.HTTPConnection(*address)
    connection.request("POST", "/", iter([b"abc", b"def"]), encode_chunked=True)
    assert connection.getresponse().read() == b"abcdef"
    connection.close()


def test_others_run_while_one_waits():
    listener = eventlet.listen(("127.0.0.1", 0))
    waiting = eventlet.spawn(get, listener.getsockname())
    sock, _ = listener.accept()
    assert sock.recv(4) == b"GET "
    sock.sendall(b"HTTP/1.0 200 OK\r\n\r\nat last")
    sock.close()
    assert waiting.wait() == b"at last"
    listener.close()


def test_timeout():
    listener = eventlet.listen(("127.0.0.1", 0))
    connection = client.HTTPConnection(*listener.getsockname(), timeout=0.01)
    connection.request("GET", "/")
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    listener.close()


def test_what_is_set_in_the_module_takes_effect(address, monkeypatch):
    with pytest.raises(client.HTTPException, match="more than 100 headers"):
        get(address, headers={"X-Count": "150"})
    monkeypatch.setattr(client, "_MAXHEADERS", 1000)
    assert get(address, headers={"X-Count": "150"}) == b"/"


def test_subclass(address):
    made = []

    class Response(client.HTTPResponse):
        def begin(self):
            assert self.status == client._UNKNOWN
            super().begin()
            made.append(self.status)

    class Connection(client.HTTPConnection):
        response_class = Response

    assert get(address, kind=Connection) == b"/"
    assert made == [200]


def test_a_line_break_in_a_url_is_refused(address):
    with pytest.raises(client.InvalidURL):
        get(address, "/ HTTP/1.1\r\nX-Injected: 1")


def test_https_verifies_as_the_standard_library_does():
    connection = client.HTTPSConnection("localhost")
    assert isinstance(connection._context, ssl.SSLContext)
    assert connection._context.verify_mode == ssl.CERT_REQUIRED
    assert connection._context.check_hostname
    assert connection._context.sslsocket_class is not ssl.SSLSocket


def test_the_original_is_left_alone(run_python):
    code = """
import http.client, http.server, http.cookiejar, socket, socketserver, sys
before = {name: dict(vars(sys.modules[name])) for name in
    ("http", "http.client", "http.server", "http.cookiejar", "socket", "socketserver")}
modules = {name: module for name, module in sys.modules.items() if name.startswith("http")}
import eventlet.green.http.client, eventlet.green.http.server, eventlet.green.http.cookiejar
import eventlet.green.httplib, eventlet.green.BaseHTTPServer
eventlet.green.http.client._MAXHEADERS = 1
for name, names in before.items():
    assert vars(sys.modules[name]) == names, name
for name, module in modules.items():
    assert sys.modules[name] is module, name
assert http.client._MAXHEADERS != 1
assert http.client.HTTPConnection is not eventlet.green.http.client.HTTPConnection
assert not eventlet.patcher.is_monkey_patched("socket")
"""
    run_python(code)


@pytest.mark.parametrize("name", ["client", "server", "cookiejar", "cookies"])
def test_all_names_are_there(name):
    original = importlib.import_module(f"http.{name}")
    green = importlib.import_module(f"eventlet.green.http.{name}")
    assert not {*dir(original)} - {*dir(green)}


def test_other_names():
    from eventlet.green import BaseHTTPServer, CGIHTTPServer, SimpleHTTPServer, http, httplib

    assert httplib is client
    assert BaseHTTPServer is SimpleHTTPServer is CGIHTTPServer is server
    assert http.client is client
    assert http.HTTPStatus(404) is http.client.NOT_FOUND


def test_cookies():
    jar = cookiejar.CookieJar()
    request = cookiejar.urllib.request.Request("http://example.com/")
    message = client.parse_headers(io.BytesIO(b"Set-Cookie: a=b\r\n\r\n"))

    class Response:
        def info(self):
            return message

    jar.extract_cookies(Response(), request)
    assert [(cookie.name, cookie.value) for cookie in jar] == [("a", "b")]
    assert [(cookie.name, cookie.value) for cookie in pickle.loads(pickle.dumps([*jar]))] == [
        ("a", "b")
    ]
    assert cookies.SimpleCookie("a=b")["a"].value == "b"


def test_classes_say_where_they_come_from():
    assert client.HTTPConnection.__module__ == "eventlet.green.http.client"
    assert pickle.loads(pickle.dumps(client.NotConnected)) is client.NotConnected


def test_a_file_is_served(tmp_path):
    (tmp_path / "file").write_bytes(b"content")

    def handler(*args):
        return Quiet(*args, directory=str(tmp_path))

    class Quiet(server.SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

    with serving(server.HTTPServer, handler) as address:
        assert get(address, "/file") == b"content"
