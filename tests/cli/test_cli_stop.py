"""`eventlet serve`: how it stops, and what of that its requests notice."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from support.hello import Getter, released
from support.processes import PATIENCE, Program, UnixHTTPConnection, fetch, http_connection


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_running_request_finishes(
    number: signal.Signals, serve: Callable[..., Program], folder: Path
) -> None:
    program = serve()
    port = program.port()
    idle = http_connection(port)
    assert fetch(idle)[0] == 200
    getter = Getter(port, "/hold")
    program.wait_for("^holding 1$")

    program.send(number)
    program.wait_for(r"^eventlet: stopping when the running requests end \(30 s at most\)$")
    # Idle connections are ended, new ones are not let in.
    assert idle.sock is not None
    assert idle.sock.recv(1) == b""
    idle.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), PATIENCE)
    assert program.process.poll() is None

    released(folder)
    assert getter.result()[0] == 200
    assert program.wait() == 0


def test_a_hundred_running_requests_finish(serve: Callable[..., Program], folder: Path) -> None:
    program = serve("--access-log", "off")
    port = program.port()
    getters = [Getter(port, "/hold") for _ in range(100)]
    program.wait_for("^holding 100$")
    program.send(signal.SIGINT)
    program.wait_for("^eventlet: stopping")
    released(folder)
    assert [getter.result() for getter in getters] == [
        (200, f"hello from {folder.name}".encode())
    ] * 100
    assert program.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_stops_at_once(
    number: signal.Signals, serve: Callable[..., Program]
) -> None:
    program = serve("--graceful-timeout", "1000")
    connection = http_connection(program.port())
    assert fetch(connection)[0] == 200
    assert program.stop(number) == 0
    connection.close()


def test_requests_that_take_too_long_are_cut_off(serve: Callable[..., Program]) -> None:
    program = serve("--graceful-timeout", "0.2")
    getter = Getter(program.port(), "/hold")
    program.wait_for("^holding 1$")
    assert program.stop() == 0
    assert "eventlet: requests still running after 0.2 s were cut off\n" in program.stderr
    getter.join(PATIENCE)
    assert isinstance(getter.outcome, (OSError, http.client.HTTPException))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_it_at_once(
    number: signal.Signals, status: int, serve: Callable[..., Program], folder: Path
) -> None:
    program = serve("--bind", "unix:hello.sock")
    Getter(program.port(), "/hold")
    program.wait_for("^holding 1$")
    program.send(signal.SIGINT)
    program.wait_for("^eventlet: stopping")
    assert program.stop(number) == status
    assert not (folder / "hello.sock").exists()


def test_signals_reach_a_process_that_is_held(serve: Callable[..., Program], folder: Path) -> None:
    program = serve(bind="unix:hello.sock")
    connection = UnixHTTPConnection(folder / "hello.sock")
    connection.request("GET", "/block")
    program.wait_for("^blocking$")
    # Nothing answers the first one, as the application lets nothing else run. Two signals of a
    # kind may arrive as one, so they are of two kinds.
    program.send(signal.SIGINT)
    assert program.stop(signal.SIGTERM) in (130, 143)
    connection.close()
    assert not (folder / "hello.sock").exists()


def test_the_application_may_block(serve: Callable[..., Program]) -> None:
    program = serve()
    sleeper = socket.create_connection(("127.0.0.1", program.port()))
    sleeper.sendall(b"GET /sleep HTTP/1.1\r\nHost: x\r\n\r\n")
    program.wait_for("^sleeping$")
    assert fetch(program.port())[0] == 200
    sleeper.close()


def test_the_standard_library_may_stay_as_it_is(
    serve: Callable[..., Program], folder: Path
) -> None:
    (folder / "unpatched.py").write_text(
        "import time, hello\nassert isinstance(time.sleep, type(len))\napp = hello.app\n"
    )
    assert fetch(serve("--no-patch", app="unpatched:app").port(), "/sleep")[0] == 200


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_leaves_no_descriptors_and_handlers(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    code = """
    import os, signal, sys
    import eventlet
    from eventlet.cli import main

    def app(environ, start_response): ...
    sys.modules["hello"] = sys.modules["__main__"]

    eventlet.sleep(0)
    for _ in range(3):
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        files = sorted(os.listdir("/proc/self/fd"))
        eventlet.spawn_after(0.05, os.kill, os.getpid(), signal.SIGTERM)
        assert main(["serve", "hello:app", "-b", "127.0.0.1:0", "--access-log", "log"]) == 0
        assert sorted(os.listdir("/proc/self/fd")) == files
        assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    """
    run_python(textwrap.dedent(code))
