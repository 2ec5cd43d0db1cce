"""`eventlet.green.urllib`. Client and server are green threads of one OS thread."""

from __future__ import annotations

import http.cookies
import importlib
import urllib.error
import urllib.request

import pytest

import eventlet
from eventlet.green import urllib2
from eventlet.green.http import cookiejar, server
from eventlet.green.urllib import error, parse, request, response
from support import ftp_server

LONG = 20


@pytest.fixture(autouse=True)
def limit(monkeypatch):
    """Ends what hangs in a green thread; no proxy of the machine's is asked."""
    for name in ("http_proxy", "ftp_proxy", "HTTP_PROXY", "FTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "*")
    with eventlet.Timeout(LONG):
        yield


class Handler(server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/there")
            self.send_header("Set-Cookie", "seen=yes")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.path} {self.headers.get('Cookie')}".encode())

    def do_POST(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, format, *args):
        pass


@pytest.fixture
def url():
    with server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:

        def serve():
            while True:
                httpd.process_request(*httpd.get_request())

        thread = eventlet.spawn(serve)
        yield f"http://127.0.0.1:{httpd.server_port}"
        thread.kill()


def test_get_and_post(url):
    with request.urlopen(f"{url}/path") as reply:
        assert (reply.status, reply.read()) == (200, b"/path None")
    data = parse.urlencode({"a": 1}).encode()
    with request.urlopen(url, data, timeout=LONG) as reply:
        assert reply.read() == b"a=1"


def test_errors_are_the_standard_librarys(url):
    with pytest.raises(urllib.error.HTTPError) as caught:
        request.urlopen(f"{url}/missing")
    assert caught.value.code == 404
    caught.value.close()
    assert error.HTTPError is request.HTTPError is urllib2.HTTPError is urllib.error.HTTPError
    listener = eventlet.listen(("127.0.0.1", 0))
    nobody = listener.getsockname()[1]
    listener.close()
    with pytest.raises(error.URLError, match="refused"):
        request.urlopen(f"http://127.0.0.1:{nobody}/")


def test_redirects_and_cookies(url):
    jar = cookiejar.CookieJar()
    opener = request.build_opener(request.HTTPCookieProcessor(jar))
    with opener.open(f"{url}/moved") as reply:
        assert reply.read() == b"/there seen=yes"
    assert [cookie.name for cookie in jar] == ["seen"]


def test_the_cookies_it_makes_itself_are_green():
    assert isinstance(request.HTTPCookieProcessor().cookiejar, cookiejar.CookieJar)


def test_ftp():
    with ftp_server.server() as running:
        running.files["file"] = b"content"
        where = "ftp://user:secret@{}:{}".format(*running.address)
        with request.urlopen(f"{where}/file") as reply:
            assert reply.read() == b"content"
    assert "RETR" in running.commands


def test_the_original_is_left_alone(run_python):
    code = """
import http.client, http.cookiejar, urllib.error, urllib.parse, urllib.request, urllib.response, sys
names = [name for name in sys.modules if name.partition(".")[0] in ("http", "urllib")]
before = {name: (sys.modules[name], dict(vars(sys.modules[name]))) for name in names}
import eventlet.green.urllib.request, eventlet.green.urllib2, eventlet.green.http.cookiejar
for name, (module, names) in before.items():
    assert sys.modules[name] is module, name
    assert vars(module) == names, name
assert urllib.request.urlopen is not eventlet.green.urllib.request.urlopen
assert urllib.request.socket is not eventlet.green.urllib.request.socket
"""
    run_python(code)


@pytest.mark.parametrize("name", ["error", "parse", "request", "response"])
def test_all_names_are_there(name):
    original = importlib.import_module(f"urllib.{name}")
    green = importlib.import_module(f"eventlet.green.urllib.{name}")
    assert not {*dir(original)} - {*dir(green)}


def test_other_names():
    assert urllib2 is request
    assert urllib2.Request is request.Request
    assert response.addinfourl is request.addinfourl
    assert importlib.import_module("eventlet.green.http.cookies") is http.cookies
