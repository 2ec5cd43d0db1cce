"""`eventlet serve` when it is told to stop: who has connected by then is served."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.processes import PATIENCE, Program
from support.serving import start

APP = """\
import os, sys
from eventlet.patcher import original

time = original("time")

def app(environ, start_response):
    if environ["PATH_INFO"] == "/block":
        # No other green thread runs, and nothing is accepted.
        sys.stdout.write("blocking\\n")
        sys.stdout.flush()
        while not os.path.exists("release"):
            time.sleep(0.01)
    start_response("200 OK", [])
    return [b"Hello!"]
"""

#: More than a server accepts before it looks at anything else.
CLIENTS = 300


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """A function that starts a server in the test's folder."""
    (tmp_path / "pids.py").write_text(APP)
    programs = []

    def run(*args: str, **kwargs: object) -> Program:
        programs.append(start(tmp_path, "--access-log", "off", *args, **kwargs))  # type: ignore[arg-type]
        return programs[-1]

    yield run
    for program in programs:
        program.__exit__(*sys.exc_info())


def ask(address: object, path: str = "/") -> socket.socket:
    """Send a request; the connection."""
    family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
    client = socket.socket(family, socket.SOCK_STREAM)
    client.settimeout(PATIENCE)
    client.connect(address)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
    return client


def answer(client: socket.socket) -> bytes:
    """All that comes until the end of a connection."""
    with client:
        received = b""
        while data := client.recv(65536):
            received += data
        return received


@pytest.mark.parametrize("way", [(), ("--workers", "1"), ("--workers", "1", "--reuse-port")])
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_who_waits_to_be_accepted_is_served(
    way: tuple[str, ...], kind: str, serve: Callable[..., Program], tmp_path: Path
) -> None:
    path = tmp_path / "s"
    program = serve(*way, bind=["127.0.0.1:0" if kind == "tcp" else f"unix:{path}"])
    address = ("127.0.0.1", program.port()) if kind == "tcp" else str(path)
    first = ask(address, "/block")
    program.wait_for("blocking")
    clients = [ask(address) for _ in range(CLIENTS)]
    program.send(signal.SIGTERM)
    (tmp_path / "release").touch()
    assert b"200 OK" in answer(first)
    for client in clients:
        response = answer(client)
        assert response.startswith(b"HTTP/1.1 200 OK\r\n"), response
        assert response.endswith(b"\r\n\r\nHello!")
    assert program.wait() == 0
    assert program.stderr == ""


@pytest.mark.parametrize("way", [(), ("--workers", "1")])
def test_who_only_connects_holds_up_nobody(
    way: tuple[str, ...], serve: Callable[..., Program]
) -> None:
    program = serve(*way, "--graceful-timeout", "0.2")
    address = ("127.0.0.1", program.port())
    with socket.create_connection(address, PATIENCE) as silent:
        # The queue is served in order, so the first one has been accepted, too.
        with ask(address) as other:
            assert b"200 OK" in other.recv(65536)
        program.send(signal.SIGTERM)
        assert answer(silent) == b""
    assert program.wait() == 0
    # There was no request to wait for, or to cut off.
    assert program.stderr == ""
    assert "stopping" not in program.stdout


def test_a_socket_that_was_passed_is_left_to_whoever_made_it(
    serve: Callable[..., Program], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        listener.set_inheritable(True)
        program = Program(
            *("-m", "eventlet", "serve", "pids:app", "--bind", f"fd://{listener.fileno()}"),
            *("--access-log", "off"),
            cwd=tmp_path,
            pass_fds=[listener.fileno()],
        )
        with program:
            first = ask(listener.getsockname(), "/block")
            program.wait_for("blocking")
            clients = [ask(listener.getsockname()) for _ in range(CLIENTS)]
            program.send(signal.SIGTERM)
            (tmp_path / "release").touch()
            assert b"200 OK" in answer(first)
            assert program.wait() == 0
        # The last one of the queue is still in it.
        listener.settimeout(PATIENCE)
        accepted = set()
        while clients[-1].getsockname() not in accepted:
            connection, peer = listener.accept()
            accepted.add(peer)
            connection.close()
        for client in clients:
            client.close()
