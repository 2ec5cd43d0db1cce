"""The standard library's validator between the server and the applications at hand: it is silent.

It raises AssertionError for what breaks PEP 3333, warns of what is doubtful, and complains to
stderr of iterables that were not closed: all of that is found in what the program says.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.http_server import Server
from support.processes import Program, fetch
from support.wsgi_site import SITE

ROOT = Path(__file__).resolve().parent.parent

#: Runs a program in which whatever is served is watched.
WATCHING = r"""
import runpy, sys, warnings
from wsgiref.validate import validator
from eventlet import wsgi

warnings.simplefilter("always")
real = wsgi.server

def server(sock, app, *args, **kwargs):
    checked = validator(app)

    def watched(env, start):
        del env["headers_raw"]  # the one key without a dot in it that is no string
        return checked(env, start)

    return real(sock, watched, *args, **kwargs)

wsgi.server = server
"""
RUN = (
    WATCHING
    + r"""
import os
sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
)

NOISE = re.compile(r"Traceback|AssertionError|Iterator garbage|Warning|Exception ignored")


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    """A function that runs an example, watched, on a free port."""
    programs: list[Program] = []

    def run(name: str) -> Program:
        path = ROOT / "examples" / name
        program = Program("-c", RUN, path, "--bind", "127.0.0.1:0", cwd=ROOT)
        programs.append(program.__enter__())
        return program

    yield run
    for program in programs:
        # Killed: an interrupt might come between the end of a response and the cleaning up.
        with program:
            program.stop(signal.SIGKILL)
            assert not NOISE.search(program.stderr), program.stderr


def test_wsgi_stream(start: Callable[..., Program]) -> None:
    port = start("wsgi_stream.py").port()
    assert fetch(port, "/?lines=3&pause=0")[0] == 200
    assert fetch(port, "/?lines=x")[0] == 400


def test_flask_app(start: Callable[..., Program]) -> None:
    pytest.importorskip("flask", reason="Flask is not installed")
    port = start("flask_app.py").port()
    assert fetch(port)[0] == 200
    assert fetch(port, "/hello.json?name=you")[0] == 200
    assert fetch(port, "/slow?seconds=0")[0] == 200
    assert fetch(port, "/count")[0] == 200
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert fetch(port, "/greet", "POST", "name=you", form)[0] == 200
    assert fetch(port, "/nothing", "HEAD")[0] == 404


def test_demo(start: Callable[..., Program]) -> None:
    pytest.importorskip("flask", reason="Flask is not installed")
    port = start("demo/app.py").port(r"demo on http://127\.0\.0\.1:(\d+)")
    for path in ("/", "/stats", "/ping", "/static/demo.css"):
        assert fetch(port, path)[0] in {200, 404}
    body = json.dumps({"count": 10})
    started = fetch(port, "/load/requests", "POST", body, {"Content-Type": "application/json"})
    assert started[0] == 200


@pytest.fixture(scope="module")
def site() -> Iterator[Server]:
    """The applications of the server's own tests, watched."""
    server = Server(SITE + WATCHING)
    yield server
    server.kill()


@pytest.mark.parametrize(
    "path", ["/", "/?q", "/query?a%20b", "/environ", "/bigblock?300032", "/ignore", "/stats"]
)
def test_applications_of_the_tests(site: Server, path: str) -> None:
    site.clear()
    for method in ("GET", "HEAD", "POST"):
        with site.connect() as client:
            body = b"unread" if method == "POST" else b""
            assert client.request(method, path, body=body).status == 200
    assert not NOISE.search("\n".join(site.log)), site.log


@pytest.mark.parametrize(
    "result", ["[]", "[b'']", "[b'a', b'b']", "(b'a',)", "iter([b'a', b'', b'b'])"]
)
def test_results(site: Server, result: str) -> None:
    site.clear()
    code = f"start('200 OK', [('Content-Type', 'text/plain')])\nresult = {result}"
    with site.connect() as client:
        for method in ("GET", "HEAD", "POST"):
            response = client.request(method, "/run", [("X-Code", json.dumps(code))])
            assert response.status == 200
    assert not NOISE.search("\n".join(site.log)), site.log


@pytest.mark.parametrize(
    "calls",
    [
        "f.read(3), f.read(100)",
        "f.readline(), f.readline(5)",
        "f.readlines()",
        "list(f)",
        "env['wsgi.errors'].flush()",
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_inputs(site: Server, calls: str, chunked: bool) -> None:
    site.clear()
    code = f"f = env['wsgi.input']\n{calls}\n"
    code += "start('200 OK', [('Content-Type', 'text/plain')])\nresult = [b'read']"
    body = b"some lines\nand more\n"
    head = f"POST /run HTTP/1.1\r\nHost: t\r\nX-Code: {json.dumps(code)}\r\n"
    with site.connect() as client:
        if chunked:
            framed = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
            client.send(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + framed)
        else:
            client.send(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert client.response().body == b"read"
    assert not NOISE.search("\n".join(site.log)), site.log
