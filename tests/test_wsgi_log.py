"""The access log of a server: in which order and when its lines are written, and what if it fails.

What the lines say is in test_wsgi_log_line.py.
"""

import os
import re
import sys

import pytest

SITE = r"""
import os, sys

def app(env, start):
    name = env["PATH_INFO"].strip("/")
    if name == "note":
        sys.stderr.write(f"note {env['QUERY_STRING']}\n")
    elif name == "fail":
        raise RuntimeError("failure " + env["QUERY_STRING"])
    elif name == "exit":
        start("200 OK", [])
        def end():
            yield b"Hello!"
        env["eventlet.posthooks"].append((lambda env: eventlet.spawn(sys.exit, 7), (), {}))
        return end()
    elif name == "fork":
        pid = os.fork()
        if not pid:
            sys.exit()
        os.waitpid(pid, 0)
    start("200 OK", [("Content-Length", "6")])
    return [b"Hello!"]
"""


@pytest.fixture
def serve(start_server):
    """A function that starts a server of the applications above."""

    def start(options="", source="", **kwargs):
        return start_server(SITE + source, options, **kwargs)

    return start


def pipelined(client, *paths):
    """Send requests at once and read the responses."""
    client.send("".join(f"GET {path} HTTP/1.1\r\nHost: t\r\n\r\n" for path in paths))
    for _ in paths:
        client.response()


def targets(lines):
    """The targets in lines of the access log."""
    return [found[1] for line in lines if (found := re.search(r'"GET (\S+) HTTP', line))]


def test_lines_are_in_order_and_none_is_missing(serve, tmp_path):
    path = tmp_path / "log"
    server = serve(f"log=open({str(path)!r}, 'w')")
    paths = [f"/{number}" for number in range(500)]
    with server.connect() as client, server.connect() as other:
        pipelined(client, *paths)
        other.get("/other")
        pipelined(client, *paths)
    server.stop()
    lines = path.read_text().splitlines()
    assert [each for each in targets(lines) if each != "/other"] == paths * 2
    assert "/other" in targets(lines)
    assert "wsgi starting up" in lines[0]
    assert lines[-2:] == ["wsgi exiting", f"({server.process.pid}) wsgi exited"]


def test_a_traceback_comes_after_what_was_before_it(serve):
    server = serve()
    with server.connect() as client:
        pipelined(client, "/1", "/2", "/fail?3")
        server.wait_log('"GET /fail')
    lines = "\n".join(server.log)
    places = [lines.index(text) for text in ("/1", "/2", "RuntimeError: failure", '"GET /fail')]
    assert places == sorted(places)


def test_nothing_is_lost_at_the_end(serve, tmp_path):
    path = tmp_path / "log"
    server = serve(f"log=open({str(path)!r}, 'w')")
    with server.connect() as client:
        client.send("GET /1 HTTP/1.1\r\nHost: t\r\n\r\nGET /exit HTTP/1.1\r\nHost: t\r\n\r\n")
        client.response()
        assert client.response().body == b"Hello!"
        assert server.wait() == 0
    assert targets(path.read_text().splitlines()) == ["/1", "/exit"]


def test_a_child_does_not_write_the_lines_of_its_parent(serve, tmp_path):
    path = tmp_path / "log"
    server = serve(f"log=open({str(path)!r}, 'a', buffering=1)")
    with server.connect() as client:
        pipelined(client, "/1", "/fork", "/2")
    server.stop()
    assert targets(path.read_text().splitlines()) == ["/1", "/fork", "/2"]


def test_a_file_of_the_programs_own_gets_each_line_at_once(serve):
    source = r"""
class File:
    def write(self, text):
        print("written", repr(text), flush=True)
"""
    server = serve("log=File()", source=source)
    with server.connect() as client:
        pipelined(client, "/1", "/2")
    lines = [server.wait_out("written .*GET", count) for count in (1, 2)]
    assert targets(lines) == ["/1", "/2"]
    assert all(line.endswith("\\n'") for line in lines)


FAILING = r"""
class Log:
    broken = True
    def info(self, *args):
        if self.broken:
            raise OSError("no space left")
        print("logged", args[-1], flush=True)
    debug = info
log = Log()
inner = app
def app(env, start):
    if env["PATH_INFO"] in ("/mend", "/break"):
        Log.broken = env["PATH_INFO"] == "/break"
    return inner(env, start)
"""


def test_a_log_that_fails_is_reported_once(serve):
    server = serve("log=log", source=FAILING)
    with server.connect() as client:
        pipelined(client, *["/"] * 20)
        pipelined(client, "/mend", "/2", "/break", "/", "/", "/mend")
        server.wait_out("logged .*/mend", 2)
    assert targets(server.out) == ["/mend", "/2", "/mend"]
    assert "\n".join(server.log).count("OSError: no space left") == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk(serve):
    server = serve("log=open('/dev/full', 'w', buffering=1)")
    with server.connect() as client:
        pipelined(client, *["/"] * 50)
        server.wait_log("No space left on device")
        pipelined(client, *["/"] * 50)
    server.stop()
    # Once while it serves; and the interpreter, at its end, has the file closed.
    assert "\n".join(server.log).count("No space left on device") <= 2


def test_a_line_that_cannot_be_encoded_takes_no_other_with_it(serve, tmp_path):
    path = tmp_path / "log"
    server = serve(f"log=open({str(path)!r}, 'w', encoding='ascii')")
    with server.connect() as client:
        pipelined(client, "/1", "/caf\xe9", "/2")
    # An interrupt that came while Python reports this would be a part of the report.
    server.wait_log("^UnicodeEncodeError")
    server.stop()
    assert targets(path.read_text().splitlines()) == ["/1", "/2"]


def test_formats_are_gathered_too(serve, tmp_path):
    path = tmp_path / "log"
    server = serve(f"log=open({str(path)!r}, 'w'), log_format='%(request_line)s 100%%'")
    with server.connect() as client:
        pipelined(client, "/1", "/2")
    server.stop()
    lines = path.read_text().splitlines()
    assert [line for line in lines if "GET" in line] == [
        "GET /1 HTTP/1.1 100%",
        "GET /2 HTTP/1.1 100%",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="counts system calls with strace's means")
def test_lines_are_written_together(serve, tmp_path):
    path = tmp_path / "log"
    source = r"""
import io
class Raw(io.FileIO):
    def write(self, data):
        # In one piece: the thread that writes lines and the end of the server may both be here.
        os.write(1, b"wrote %d\n" % len(bytes(data).splitlines()))
        return super().write(data)
"""
    server = serve(
        f"log=io.TextIOWrapper(io.BufferedWriter(Raw({str(path)!r}, 'w')), line_buffering=True)",
        source=source,
    )
    with server.connect() as client:
        pipelined(client, *["/"] * 30)
    server.stop()
    counts = [int(line.split()[1]) for line in server.out if line.startswith("wrote")]
    assert max(counts) >= 30


HANDSHAKE = (
    "GET /chat HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.mark.parametrize("pool", ["", "custom_pool=eventlet.GreenPool(5)"])
def test_a_websocket_is_logged_with_the_status_of_its_handshake(serve, pool):
    source = """
from eventlet import websocket
@websocket.WebSocketWSGI
def app(ws):
    ws.send("hello")
"""
    server = serve(pool, source=source)
    for version, status in ((13, 101), (99, 426)):
        with server.connect() as client:
            client.send(HANDSHAKE.format(version=version))
            client.rest()
        server.wait_log(f'"GET /chat HTTP/1.1" {status} ')


def test_an_application_says_what_it_has_answered(serve):
    source = """
def app(env, start):
    source = env["eventlet.input"]
    source.get_socket().sendall(b"HTTP/1.1 299 OK\\r\\n\\r\\n")
    source.note_answer(299)
    return []
"""
    server = serve(source=source)
    with server.connect() as client:
        client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        assert client.rest().startswith(b"HTTP/1.1 299")
    server.wait_log('"GET / HTTP/1.1" 299 ')
