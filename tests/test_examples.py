"""The examples: each is started as a reader would start it, used, and ended with Ctrl-C."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.processes import PATIENCE, Program, fetch, http_connection

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
CLIENTS = ROOT / "tests" / "support" / "chat_clients.py"

needs_flask = pytest.mark.skipif(importlib.util.find_spec("flask") is None, reason="needs Flask")


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    """A function that runs an example on a free port."""
    programs = []

    def run(name: str, *args: str) -> Program:
        programs.append(Program(EXAMPLES / name, "--bind", "127.0.0.1:0", *args, cwd=ROOT))
        return programs[-1]

    yield run
    for program in programs:
        program.__exit__(*sys.exc_info())


@pytest.fixture
def serve() -> Iterator[Callable[..., Program]]:
    """A function that serves an example with the command `eventlet`."""
    programs = []

    def run(app: str) -> Program:
        options = ("--chdir", EXAMPLES, "--bind", "127.0.0.1:0")
        programs.append(Program("-m", "eventlet", "serve", *options, app, cwd=ROOT))
        return programs[-1]

    yield run
    for program in programs:
        program.__exit__(*sys.exc_info())


def connect(port: int) -> socket.socket:
    """A connection that does not wait for ever."""
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def receive(sock: socket.socket, size: int) -> bytes:
    """So many bytes, or what came before the end."""
    data = b""
    while len(data) < size and (some := sock.recv(size - len(data))):
        data += some
    return data


def test_every_example_is_listed() -> None:
    listed = set(re.findall(r"^\| `(\S+)` \|", (EXAMPLES / "README.md").read_text(), re.MULTILINE))
    parts = {EXAMPLES / "demo" / name for name in ("figures.py", "load.py", "rooms.py")}
    programs = {*EXAMPLES.rglob("*.py")} - parts
    assert listed == {program.relative_to(EXAMPLES).as_posix() for program in programs}


# echo.py


def test_echo(start: Callable[..., Program]) -> None:
    program = start("echo.py")
    port = program.port()
    with connect(port) as first, connect(port) as second:
        data = bytes(range(256)) * 400
        for sock in (first, second):
            sock.sendall(data)
        for sock in (second, first):
            assert receive(sock, len(data)) == data
        first.shutdown(socket.SHUT_WR)
        assert first.recv(1) == b""
    assert program.stop(signal.SIGINT) == 0
    assert program.stdout.endswith("bye\n")
    assert "Traceback" not in program.stderr


# wsgi_stream.py


@pytest.mark.parametrize("how", ["start", "serve"])
def test_wsgi_stream(
    how: str, start: Callable[..., Program], serve: Callable[..., Program]
) -> None:
    program = start("wsgi_stream.py") if how == "start" else serve("wsgi_stream:app")
    port = program.port()
    connection = http_connection(port)
    # With a minute before the next line, the first one comes alone.
    connection.request("GET", "/?lines=2&pause=60")
    response = connection.getresponse()
    assert re.fullmatch(rb"1 \d\d:\d\d:\d\d\n", response.readline())
    connection.close()
    status, body = fetch(port, "/?lines=3&pause=0.01")
    assert (status, body.count(b"\n")) == (200, 3)
    for query in ("lines=x", "lines=-1", "lines=1&pause=nan", "pause=1e9"):
        assert fetch(port, f"/?{query}")[0] == 400


# flask_app.py


@needs_flask
@pytest.mark.parametrize("how", ["start", "serve"])
def test_flask_app(how: str, start: Callable[..., Program], serve: Callable[..., Program]) -> None:
    program = start("flask_app.py") if how == "start" else serve("flask_app:app")
    port = program.port()
    status, body = fetch(port)
    assert status == 200
    assert b"<h1>Green Flask</h1>" in body
    status, body = fetch(port, "/hello.json?name=Ada")
    assert (status, json.loads(body)) == (200, {"hello": "Ada", "method": "GET"})
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert fetch(port, "/greet", "POST", "name=%3Cb%3E+Ada", form) == (200, b"Good day, <b> Ada!\n")
    assert fetch(port, "/greet", "POST", "name=+", form)[0] == 400
    status, body = fetch(port, "/slow?seconds=nan")
    assert (status, json.loads(body)) == (200, {"waited": 0.0})
    assert fetch(port, "/nowhere")[0] == 404
    connection = http_connection(port)
    connection.request("GET", "/count")
    response = connection.getresponse()
    assert [json.loads(line)["number"] for line in response] == [1, 2, 3, 4, 5]
    connection.close()
    assert program.stop(signal.SIGINT) == 0


# chat.py


def test_chat_says_everything_to_all_others(start: Callable[..., Program]) -> None:
    port = start("chat.py").port()
    command = [sys.executable, str(CLIENTS), "--port", str(port)]
    command += ["--clients", "200", "--talkers", "20", "--seconds", str(PATIENCE)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=2 * PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["delivered"] == 20 * 199


def test_chat_lines_stay_whole(start: Callable[..., Program]) -> None:
    program = start("chat.py")
    with connect(program.port()) as ann, connect(program.port()) as bob:
        _meet(ann, bob)
        ann.sendall(b"half a ")
        bob.sendall(b"first\n")
        assert receive(ann, 6) == b"first\n"
        ann.sendall(b"line\nand two\nthree")
        assert receive(bob, 20) == b"half a line\nand two\n"
    assert program.stop(signal.SIGINT) == 0
    assert "Traceback" not in program.stderr


def test_chat_refuses_a_line_without_end(start: Callable[..., Program]) -> None:
    program = start("chat.py")
    with connect(program.port()) as ann:
        with pytest.raises(ConnectionError):
            _babble(ann)
    assert program.stop(signal.SIGINT) == 0


def _babble(sock: socket.socket) -> None:
    """Send a line that does not end, until the other side has had enough."""
    for _ in range(10_000):
        sock.sendall(b"x" * 4096)
    pytest.fail("forty megabytes without a line's end were taken")


def test_chat_is_not_delayed_by_a_slow_participant(start: Callable[..., Program]) -> None:
    """One never reads. Another gets all that is said, and the slow one is dropped in the end."""
    program = start("chat.py")
    port = program.port()
    slow = socket.socket()
    # A small window, so that there is soon no more room for what it does not read.
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.settimeout(PATIENCE)
    slow.connect(("127.0.0.1", port))
    with slow, connect(port) as ann, connect(port) as bob:
        _meet(ann, bob)
        _meet(ann, slow, bob)
        line = b"x" * 4000 + b"\n"
        # More than the outbox holds and the kernel has room for.
        for _ in range(4000):
            ann.sendall(line)
            assert receive(bob, len(line)) == line
        # What the kernel has already taken still arrives; then comes the end.
        got = 0
        try:
            while some := slow.recv(1 << 20):
                got += len(some)
        except ConnectionError:
            pass
        assert got < 4000 * len(line)
        ann.sendall(b"still here\n")
        assert receive(bob, 11) == b"still here\n"


def _meet(caller: socket.socket, other: socket.socket, *more: socket.socket) -> None:
    """Wait until the server has let in both: what is said before that, nobody hears.

    `more` hear it as well and shall not be bothered by it later.
    """
    other.settimeout(0.05)
    for number in range(int(PATIENCE / 0.05)):
        caller.sendall(b"%4d\n" % number)
        try:
            heard = receive(other, 5)
        except TimeoutError:
            continue
        finally:
            other.settimeout(PATIENCE)
        # Those sent since then, if it heard an early one late.
        receive(other, 5 * (number - int(heard)))
        for one in more:
            _drain_until(one, b"%4d\n" % number)
        return
    pytest.fail("they never met")


def _drain_until(sock: socket.socket, end: bytes) -> None:
    data = b""
    while not data.endswith(end):
        some = sock.recv(4096)
        assert some
        data += some


# demo/app.py


@needs_flask
def test_demo(start: Callable[..., Program]) -> None:
    program = start("demo/app.py")
    port = program.port(r"^demo on http://127\.0\.0\.1:(\d+)$")
    chat_port = program.port(r"^chat on 127\.0\.0\.1:(\d+)$")

    status, page = fetch(port)
    assert status == 200
    assert b"nc 127.0.0.1 %d" % chat_port in page
    # All that the page needs comes from here.
    assert not re.search(rb"""(?:src|href)=["'](?:https?:)?//""", page)
    for path in re.findall(rb'(?:src|href)="(/static/[^"]+)"', page):
        assert fetch(port, path.decode())[0] == 200
    assert fetch(port, "/static/chart.js")[0] == 200

    assert fetch(port, "/ping") == (200, b"pong\n")
    status, stats = fetch(port, "/stats")
    assert status == 200
    assert {*json.loads(stats)["history"][-1]} >= {
        "time",
        "requests",
        "switches",
        "green_threads",
        "connections",
        "memory",
        "participants",
    }

    assert _load(port, "sleepers", 50) == (200, {"started": 50})
    assert _load(port, "requests", 300) == (200, {"started": 300})
    assert _load(port, "guests", 3) == (200, {"started": 3})
    assert _load(port, "havoc", 1)[0] == 404
    assert _load(port, "sleepers", -1)[0] == 400
    assert _load(port, "sleepers", "many")[0] == 400
    # As a form on another page would send it.
    assert fetch(port, "/load/sleepers", "POST", '{"count": 1}')[0] == 415

    with connect(chat_port), contextlib.closing(OpenPage(port)) as page:
        for _ in range(10):
            sample = page.event("figures")["samples"][-1]
            if sample["participants"] == 5 and not sample["requests_left"]:
                break
        assert sample["participants"] == 5
        assert sample["sleepers"] == 50
        assert sample["connections"] >= 2
        assert sample["memory"] > 1 << 20
        assert sample["last_run"].startswith("300 requests in ")
        # An open page does not keep it from ending; it is told to come back.
        assert program.stop(signal.SIGINT) == 0
        assert page.farewell() == 1001
    assert "Traceback" not in program.stderr


class OpenPage:
    """What a page of the demo does, without a browser."""

    def __init__(self, port: int, **options: Any) -> None:
        websocket = pytest.importorskip("websocket", reason="websocket-client is not installed")
        url = f"ws://127.0.0.1:{port}/socket"
        self.ws = websocket.create_connection(url, PATIENCE, **options)
        self.waiting: list[Any] = []

    def close(self) -> None:
        """Hang up."""
        self.ws.shutdown()

    def send(self, message: Any) -> None:
        """Send an object; text as it is."""
        self.ws.send(message if isinstance(message, str) else json.dumps(message))

    def event(self, kind: str) -> Any:
        """The next event of a kind."""
        while True:
            while self.waiting:
                event = self.waiting.pop(0)
                if event["type"] == kind:
                    return event
            self.waiting += json.loads(self.ws.recv())

    def farewell(self) -> int:
        """The code with which the server closes the connection."""
        while True:
            opcode, data = self.ws.recv_data()
            if opcode == 8:
                return int.from_bytes(data[:2], "big")


def _load(port: int, action: str, count: object) -> tuple[int, Any]:
    headers = {"Content-Type": "application/json"}
    status, body = fetch(port, f"/load/{action}", "POST", json.dumps({"count": count}), headers)
    return status, json.loads(body) if status == 200 else None


@needs_flask
def test_demo_figures_of_the_hub(start: Callable[..., Program]) -> None:
    """What the hub counts is shown."""
    from eventlet.hubs import get_hub

    if not hasattr(get_hub(), "stats"):
        pytest.skip("this hub does not count")
    program = start("demo/app.py")
    port = program.port(r"^demo on http://127\.0\.0\.1:(\d+)$")
    with contextlib.closing(OpenPage(port)) as page:
        page.event("figures")
        sample = page.event("figures")["samples"][-1]
    assert sample["switches"] >= 0
    assert sample["green_threads"] >= 3
    assert program.stop() == 0


@needs_flask
def test_demo_rooms(start: Callable[..., Program]) -> None:
    """Who is where, and who hears whom; `tests/test_demo_page.py` sees it in a browser."""
    program = start("demo/app.py")
    port = program.port(r"^demo on http://127\.0\.0\.1:(\d+)$")
    chat_port = program.port(r"^chat on 127\.0\.0\.1:(\d+)$")
    with contextlib.closing(OpenPage(port)) as ann, contextlib.closing(OpenPage(port)) as bob:
        for nonsense in ("", "[", "[]", "7", "{}", '{"type": "say", "text": "early"}'):
            ann.send(nonsense)
            assert ann.event("refused")["reason"]
        for name, room in ((None, "lobby"), ("", "lobby"), ("x" * 25, "lobby"), ("Ann", " \n")):
            ann.send({"type": "enter", "name": name, "room": room})
            assert ann.event("refused")["reason"]

        ann.send({"type": "enter", "name": "Ann", "room": "lobby"})
        assert ann.event("welcome")["lines"] == []
        # A name is one person's.
        bob.send({"type": "enter", "name": "ann", "room": "lobby"})
        assert bob.event("welcome")["name"] == "ann 2"
        bob.send({"type": "enter", "name": "Bob", "room": "lobby"})
        assert bob.event("welcome")["name"] == "Bob"
        while ann.event("here")["names"] != ["Ann", "Bob"]:
            pass
        with connect(chat_port) as terminal:
            while not ann.event("here")["terminals"]:
                pass
            terminal.sendall(b"one\ntw\xff\x07\n\n")
            heard = [bob.event("line")["line"]["text"] for _ in range(2)]
            assert heard == ["one", "tw\ufffd"]
            ann.send({"type": "say", "text": "two\nlines\x1b[2J"})
            assert receive(terminal, 19) == b"Ann: two lines [2J\n"
            line = bob.event("line")["line"]
            assert (line["from"], line["text"]) == ("Ann", "two lines [2J")
        for text in ("", " ", "x" * 1001, 7, None):
            ann.send({"type": "say", "text": text})
            assert ann.event("refused")["reason"]

        # A room is there for as long as somebody is in it.
        ann.send({"type": "enter", "name": "Ann", "room": "Attic"})
        assert ann.event("welcome")["room"] == "attic"
        while {"name": "attic", "count": 1} not in bob.event("rooms")["rooms"]:
            pass
        ann.send({"type": "say", "text": "dusty"})
        ann.event("line")
        ann.send({"type": "enter", "name": "Ann", "room": "lobby"})
        texts = [line["text"] for line in ann.event("welcome")["lines"]]
        assert texts == ["one", "tw\ufffd", "two lines [2J"]
        while "attic" in (room["name"] for room in bob.event("rooms")["rooms"]):
            pass
        for number in range(27):
            bob.send({"type": "enter", "name": "Bob", "room": f"cell {number}"})
            assert bob.event("welcome")["room"] == f"cell {number}"
    assert program.stop() == 0
    assert "Traceback" not in program.stderr


@needs_flask
def test_demo_refuses_a_page_from_elsewhere(start: Callable[..., Program]) -> None:
    """It could speak with the name, and from the network, of whoever reads it."""
    websocket = pytest.importorskip("websocket", reason="websocket-client is not installed")
    port = start("demo/app.py").port(r"^demo on http://127\.0\.0\.1:(\d+)$")
    OpenPage(port, origin=f"http://127.0.0.1:{port}").close()
    for origin in ("http://127.0.0.1", f"http://localhost:{port}", "null", "https://example.com"):
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            OpenPage(port, origin=origin)
        assert refused.value.status_code == 403
    assert fetch(port, "/socket")[0] == 400


@needs_flask
def test_demo_on_an_address_in_use(start: Callable[..., Program]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = start("demo/app.py", "--chat-bind", f"127.0.0.1:{port}")
        assert program.wait() == 1
        assert re.fullmatch(rf"cannot listen on 127\.0\.0\.1:{port}: .*\n", program.stderr)
