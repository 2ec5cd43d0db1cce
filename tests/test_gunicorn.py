"""The worker for gunicorn: natively, and with gunicorn's own parser where settings ask for it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import ssl
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from support import certificates
from support.load import Load
from support.processes import PATIENCE, Program, UnixHTTPConnection, fetch, http_connection
from support.serving import wait_for_end

pytest.importorskip("gunicorn")

APP = """\
import json, os, socket, sys, time
from eventlet.patcher import is_monkey_patched, original

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/hold":
        sys.stdout.write("holding\\n")
        sys.stdout.flush()
        while not os.path.exists("release"):
            time.sleep(0.01)
    if path == "/freeze":
        # No other green thread runs, and nothing is accepted.
        sys.stdout.write("freezing\\n")
        sys.stdout.flush()
        while not os.path.exists("release"):
            original("time").sleep(0.01)
    if path == "/block":
        sys.stdout.write("blocking\\n")
        sys.stdout.flush()
        while True:
            pass
    if path == "/fail":
        raise RuntimeError("on purpose")
    if path == "/file":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return environ["wsgi.file_wrapper"](open("app.py", "rb"))
    if path == "/echo":
        body = environ["wsgi.input"].read()
    elif path == "/environ":
        shown = {key: value for key, value in environ.items()
                 if isinstance(value, (str, int, bool, tuple))}
        shown["patched"] = is_monkey_patched("time")
        shown["socket"] = hasattr(environ.get("gunicorn.socket"), "recv")
        body = json.dumps(shown).encode()
    else:
        body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body))), ("X-Test", "yes")])
    return [body]
"""

#: What has gunicorn's own parser read requests, and changes nothing that the tests look at.
CLASSIC = ("--casefold-http-method",)

both = pytest.mark.parametrize("path", [(), CLASSIC], ids=["native", "classic"])


class Servers:
    """Starts gunicorn in a folder, and ends what it has started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._programs: list[Program] = []
        (folder / "app.py").write_text(APP)

    def start(
        self, *args: str | Path, bind: str = "127.0.0.1:0", workers: int = 1, config: str = ""
    ) -> Program:
        """Start it, and wait for its workers."""
        folder = self._folder
        (folder / "gunicorn.conf.py").write_text(textwrap.dedent(config))
        flags = ["--worker-class", "eventlet.gunicorn.EventletWorker", "--workers", str(workers)]
        flags += ["--bind", bind, "--worker-tmp-dir", str(folder)]
        # The home of newer versions' control socket.
        env = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
        program = Program("-m", "gunicorn", *flags, *args, "app:app", cwd=folder, env=env)
        self._programs.append(program)
        program.wait_for(rf"(Booting worker(.|\n)*){{{workers}}}", "stderr")
        return program

    def end(self) -> None:
        """End them, and their workers."""
        for program in self._programs:
            children = []
            if program.process.poll() is None:
                children = psutil.Process(program.pid).children()
            program.__exit__(*sys.exc_info())
            for child in children:
                if child.is_running():
                    child.kill()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """A function that starts gunicorn in the test's folder, and waits for its workers."""
    servers = Servers(tmp_path)
    yield servers.start
    servers.end()


@pytest.fixture(scope="module", params=[(), CLASSIC], ids=["native", "classic"])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    """A server for tests that only ask it something."""
    servers = Servers(tmp_path_factory.mktemp("gunicorn"))
    form = '%(h)s "%(r)s" %(s)s %(m)s %(U)s %(q)s %({x-test}o)s %({x-sent}i)s %(a)s %(D)s'
    log = ("--access-logfile", "-", "--access-logformat", form)
    yield servers.start(*request.param, *log, workers=2)
    servers.end()


def port_of(program: Program) -> int:
    """Where it listens; gunicorn tells on stderr."""
    return int(program.wait_for(r"Listening at: https?://127\.0\.0\.1:(\d+)", "stderr")[1])


def environ(port: int, path: str = "/environ", **headers: str) -> dict[str, Any]:
    """The environ of a request."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    status, body = fetch(port, path, headers=sent)
    assert status == 200, body
    found: dict[str, Any] = json.loads(body)
    return found


def test_it_serves(running: Program) -> None:
    port = port_of(running)
    with Load(port) as load:
        load.wait_for_more(50)
    assert not load.result.lost
    assert {*load.result.statuses} == {200}
    seen = environ(port, "/environ?a=b%20c")
    assert seen["patched"] is True
    assert seen["REMOTE_ADDR"] == "127.0.0.1"
    assert seen["SERVER_PORT"] == str(port)
    assert seen["RAW_URI"] == "/environ?a=b%20c"
    assert seen["QUERY_STRING"] == "a=b%20c"
    assert seen["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert seen["SERVER_SOFTWARE"].startswith("gunicorn")
    assert (seen["wsgi.multithread"], seen["wsgi.multiprocess"]) == (True, True)
    assert seen["wsgi.url_scheme"] == "http"
    assert environ(port)["QUERY_STRING"] == ""
    assert fetch(port, "/file") == (200, APP.encode())


def test_bodies(running: Program) -> None:
    port = port_of(running)
    assert fetch(port, "/echo", "POST", b"x" * 100_000) == (200, b"x" * 100_000)
    assert fetch(port, "/echo", "POST", iter([b"one", b"two"])) == (200, b"onetwo")


def test_the_access_log(running: Program) -> None:
    port = port_of(running)
    fetch(port, "/a?b", headers={"X-Sent": "there", "User-Agent": "test"})
    line = r'^127\.0\.0\.1 "GET /a\?b HTTP/1\.1" 200 GET /a b yes there test \d+$'
    running.wait_for(line)
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        sock.sendall(b"nonsense\r\n\r\n")
        assert b" 400 " in sock.recv(1000)


def test_a_failure_is_logged_once(running: Program) -> None:
    status, body = fetch(port_of(running), "/fail")
    assert status == 500
    assert b"on purpose" not in body
    running.wait_for(r"\[ERROR\] Error handling request(.|\n)*RuntimeError: on purpose\n", "stderr")
    assert fetch(port_of(running))[0] == 200
    assert running.stderr.count("RuntimeError: on purpose") == 1


def test_proxies_that_are_trusted(running: Program) -> None:
    port = port_of(running)
    assert environ(port, X_Forwarded_Proto="https")["wsgi.url_scheme"] == "https"
    assert environ(port, X_Forwarded_Proto="http")["wsgi.url_scheme"] == "http"
    # That header does not say who the client is, for gunicorn.
    seen = environ(port, X_Forwarded_For="10.1.2.3")
    assert seen["REMOTE_ADDR"] == "127.0.0.1"
    contradictory = {"X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "off"}
    assert fetch(port, headers=contradictory)[0] == 400
    status, body = fetch(port, "/shop/environ", headers={"SCRIPT_NAME": "/shop"})
    assert status == 200
    seen = json.loads(body)
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("/shop", "/environ")


def test_a_websocket_has_its_socket(running: Program) -> None:
    seen = environ(port_of(running), Connection="Upgrade", Upgrade="websocket")
    assert seen["socket"] is True


@both
def test_requests_run_at_the_same_time(
    path: tuple[str, ...], serve: Callable[..., Program], tmp_path: Path
) -> None:
    program = serve(*path)
    port = port_of(program)
    held = [http_connection(port) for _ in range(3)]
    for connection in held:
        connection.request("GET", "/hold")
    program.wait_for("(holding\n){3}")
    assert fetch(port)[0] == 200
    # Told to end, it lets them finish.
    program.send(signal.SIGTERM)
    program.wait_for("Handling signal: term", "stderr")
    (tmp_path / "release").touch()
    for connection in held:
        assert connection.getresponse().status == 200
        connection.close()
    assert program.wait() == 0


@both
def test_a_reload_loses_nothing(path: tuple[str, ...], serve: Callable[..., Program]) -> None:
    # A connection may be idle for longer than the load leaves one.
    program = serve(*path, "--keep-alive", "5", workers=2)
    with Load(port_of(program), 4 if path else 6) as load:
        program.send(signal.SIGHUP)
        program.wait_for(r"(Worker exiting(.|\n)*){2}", "stderr")
        load.wait_for_more(30)
    assert not load.result.lost
    assert program.stop() == 0


@both
def test_who_is_accepted_at_the_very_end_is_served(
    path: tuple[str, ...], serve: Callable[..., Program], tmp_path: Path
) -> None:
    program = serve(*path)
    (worker,) = psutil.Process(program.pid).children()
    frozen, *clients = [http_connection(port_of(program)) for _ in range(5)]
    frozen.request("GET", "/freeze")
    program.wait_for("freezing")
    for client in clients:
        client.request("GET", "/")
    # It is told to end, and finds those who wait, at the same time. What it leaves, the next one
    # serves: the arbiter keeps the listening socket.
    worker.send_signal(signal.SIGTERM)
    (tmp_path / "release").touch()
    for client in (frozen, *clients):
        assert client.getresponse().status == 200
        client.close()
    assert program.stop() == 0


@both
def test_a_worker_ends_after_some_requests(
    path: tuple[str, ...], serve: Callable[..., Program]
) -> None:
    program = serve(*path, "--max-requests", "20", "--max-requests-jitter", "5")
    with Load(port_of(program), 2) as load:
        program.wait_for(r"Autorestarting worker(.|\n)*Booting worker", "stderr")
        load.wait_for_more(5)
    assert not load.result.lost
    assert len({*load.result.bodies}) > 1
    assert program.stop() == 0


def test_a_killed_worker_is_replaced(serve: Callable[..., Program]) -> None:
    program = serve(workers=2)
    with Load(port_of(program)) as load:
        victim = int(load.result.bodies[0])
        os.kill(victim, signal.SIGKILL)
        program.wait_for(r"(Booting worker(.|\n)*){3}", "stderr")
        load.wait_for_more(30)
    assert all(last in (None, str(victim).encode()) for _, last in load.result.lost)
    assert program.stop() == 0


def test_a_stuck_worker_is_replaced(serve: Callable[..., Program]) -> None:
    program = serve("--timeout", "2")
    connection = http_connection(port_of(program))
    connection.request("GET", "/block")
    program.wait_for(r"WORKER TIMEOUT(.|\n)*Booting worker", "stderr")
    connection.close()
    assert fetch(port_of(program))[0] == 200
    assert program.stop() == 0


@pytest.mark.parametrize(("number", "path"), [(signal.SIGQUIT, ()), (signal.SIGINT, CLASSIC)])
def test_it_can_be_ended_at_once(
    number: signal.Signals, path: tuple[str, ...], serve: Callable[..., Program]
) -> None:
    program = serve(*path)
    connection = http_connection(port_of(program))
    connection.request("GET", "/hold")
    program.wait_for("holding")
    assert program.stop(number) == 0
    connection.close()


def test_workers_do_not_outlive_their_arbiter(serve: Callable[..., Program]) -> None:
    program = serve()
    (child,) = psutil.Process(program.pid).children()
    assert fetch(port_of(program))[0] == 200
    program.process.kill()
    wait_for_end([child.pid])
    assert "Parent changed, shutting down" in program.stderr


def test_limits(serve: Callable[..., Program]) -> None:
    program = serve(
        "--limit-request-line", "100", "--limit-request-fields", "5",
        "--limit-request-field_size", "200",
    )  # fmt: skip
    port = port_of(program)
    assert fetch(port, "/" + "x" * 60)[0] == 200
    assert fetch(port, "/" + "x" * 120)[0] == 414
    assert fetch(port, headers={f"X-{n}": "x" for n in range(3)})[0] == 200
    assert fetch(port, headers={f"X-{n}": "x" for n in range(9)})[0] == 431
    assert fetch(port, headers={"X-Long": "x" * 100})[0] == 200
    assert fetch(port, headers={"X-Long": "x" * 300})[0] == 431
    assert program.stop() == 0


@both
def test_keep_alive(path: tuple[str, ...], serve: Callable[..., Program]) -> None:
    program = serve(*path, "--keep-alive", "1")
    connection = http_connection(port_of(program))
    for _ in range(2):
        assert fetch(connection)[0] == 200
    assert connection.sock is not None
    assert connection.sock.recv(1) == b""
    connection.close()
    assert program.stop() == 0


@both
def test_hooks(path: tuple[str, ...], serve: Callable[..., Program]) -> None:
    config = """
    import sys

    def pre_request(worker, req):
        say(f"before {req.method} {req.path} {req.query} {dict(req.headers)['X-TEST']}")

    def post_request(worker, req, environ, resp):
        say(f"after {environ['PATH_INFO']} {resp.status} {dict(resp.headers)['X-Test']}")

    def say(text):
        sys.stdout.write(text + "\\n")
        sys.stdout.flush()
    """
    program = serve(*path, config=config)
    fetch(port_of(program), "/x?y", headers={"X-Test": "sent"})
    program.wait_for("^before GET /x y sent\nafter /x 200 OK yes$")
    assert program.stop() == 0


@both
def test_proxies_that_are_not(path: tuple[str, ...], serve: Callable[..., Program]) -> None:
    program = serve(*path, "--forwarded-allow-ips", "10.0.0.1")
    seen = environ(port_of(program), X_Forwarded_Proto="https", SCRIPT_NAME="/shop")
    assert seen["wsgi.url_scheme"] == "http"
    assert seen["SCRIPT_NAME"] == ""
    assert program.stop() == 0


def test_the_proxy_protocol(serve: Callable[..., Program]) -> None:
    program = serve(config="proxy_protocol = True")
    with socket.create_connection(("127.0.0.1", port_of(program)), PATIENCE) as sock:
        sock.sendall(b"PROXY TCP4 10.9.8.7 10.0.0.1 555 80\r\n")
        sock.sendall(b"GET /environ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = b"".join(iter(lambda: sock.recv(65536), b""))
    assert b'"REMOTE_ADDR": "10.9.8.7"' in received
    assert program.stop() == 0


@both
def test_tls(path: tuple[str, ...], serve: Callable[..., Program], tmp_path: Path) -> None:
    cert, key = certificates.make(tmp_path)
    program = serve(*path, "--certfile", cert, "--keyfile", key)
    port = port_of(program)
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        # Not TLS: nobody else has to wait for this one.
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        context = ssl.create_default_context(cafile=cert)
        connection = http.client.HTTPSConnection(
            "localhost", port, timeout=PATIENCE, context=context
        )
        for _ in range(2):
            status, body = fetch(connection, "/environ")
            assert status == 200
            assert json.loads(body)["wsgi.url_scheme"] == "https"
        connection.close()
    assert program.stop() == 0


@both
def test_a_unix_socket(
    path: tuple[str, ...], serve: Callable[..., Program], tmp_path: Path
) -> None:
    program = serve(*path, bind="unix:app.sock")
    connection = UnixHTTPConnection(tmp_path / "app.sock")
    status, body = fetch(connection, "/environ", headers={"X-Forwarded-Proto": "https"})
    assert status == 200
    assert json.loads(body)["wsgi.url_scheme"] == "https"
    connection.close()
    assert program.stop() == 0


def test_an_application_may_be_preloaded(serve: Callable[..., Program]) -> None:
    program = serve("--preload", workers=2)
    port = port_of(program)
    assert environ(port)["patched"] is True
    with Load(port) as load:
        load.wait_for_more(30)
    assert not load.result.lost
    assert program.stop() == 0


def test_logs_are_opened_again(serve: Callable[..., Program], tmp_path: Path) -> None:
    program = serve("--access-logfile", "access.log")
    port = port_of(program)
    fetch(port, "/one")
    log = tmp_path / "access.log"
    log.rename(tmp_path / "access.log.1")
    program.send(signal.SIGUSR1)
    end = time.monotonic() + PATIENCE
    while not (log.exists() and re.search("/two", log.read_text())):
        assert time.monotonic() < end
        fetch(port, "/two")
    assert "/one" in (tmp_path / "access.log.1").read_text()
    assert program.stop() == 0
