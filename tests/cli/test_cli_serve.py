"""`eventlet serve`: how it serves, over TCP and Unix sockets, and with which options."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import eventlet
from eventlet.cli import _address
from eventlet.cli._errors import CommandError
from support.hello import HELLO, Getter, released
from support.processes import PATIENCE, Program, UnixHTTPConnection, fetch, http_connection

# ------------------------------------------------------------------------------------------------
# Serving


def test_serves_over_tcp(serve: Callable[..., Program], folder: Path) -> None:
    program = serve()
    line = program.wait_for(r"^.*$")[0]
    assert re.fullmatch(
        rf"eventlet {re.escape(eventlet.__version__)} serving hello:app on "
        rf"http://127\.0\.0\.1:\d+ \(pid {program.pid}\); Ctrl-C stops",
        line,
    )
    assert fetch(program.port()) == (200, f"hello from {folder.name}".encode())
    # One line at the start, and one for the request.
    program.wait_for(r'"GET / HTTP/1\.1" 200 ', "stderr")
    assert program.stop() == 0
    assert program.stdout.count("\n") == 1
    assert program.stderr.count("\n") == 1


def test_serves_on_several_addresses(serve: Callable[..., Program], folder: Path) -> None:
    program = serve("--bind", "127.0.0.1:0", "--bind", "unix:hello.sock")
    line = program.wait_for(r"^eventlet .*$")[0]
    ports = re.findall(r"http://127\.0\.0\.1:(\d+)", line)
    assert len({*ports}) == 2
    for port in ports:
        assert fetch(int(port))[0] == 200
    connection = UnixHTTPConnection(folder / "hello.sock")
    assert fetch(connection)[0] == 200
    connection.close()
    assert program.stop() == 0
    assert not (folder / "hello.sock").exists()


def test_serves_over_ipv6(serve: Callable[..., Program]) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    port = serve(bind="[::1]:0").port(r"http://\[::1\]:(\d+)")
    connection = http_connection(port, "::1")
    assert fetch(connection)[0] == 200
    connection.close()


@pytest.mark.parametrize("app", ["hello:site.inner.wsgi", "hello:factory()", "hello:factory( )"])
def test_finds_the_application(app: str, serve: Callable[..., Program]) -> None:
    assert fetch(serve(app=app).port())[0] == 200


def test_finds_an_application_in_a_package(serve: Callable[..., Program], folder: Path) -> None:
    package = folder / "shop" / "web"
    package.mkdir(parents=True)
    (package / "views.py").write_text("from hello import app\n")
    assert fetch(serve(app="shop.web.views:app").port())[0] == 200


def test_chdir(start: Callable[..., Program], folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "hello.py").rename(folder / "elsewhere" / "hello.py")
    program = start("serve", "--chdir", "elsewhere", "hello:app", "-b", "127.0.0.1:0")
    assert fetch(program.port()) == (200, b"hello from elsewhere")


def test_the_folder_comes_before_installed_modules(
    serve: Callable[..., Program], folder: Path
) -> None:
    # A module of the standard library that nothing here imports.
    (folder / "this.py").write_text("from hello import app\n")
    assert fetch(serve(app="this:app").port())[0] == 200


def test_what_is_yielded_leaves_at_once(serve: Callable[..., Program], folder: Path) -> None:
    connection = http_connection(serve().port())
    connection.request("GET", "/stream")
    response = connection.getresponse()
    assert response.read(5) == b"first"  # The second part does not exist yet.
    released(folder)
    assert response.read() == b"second"
    connection.close()


def test_access_log_in_a_file(serve: Callable[..., Program], folder: Path) -> None:
    program = serve("--access-log", "access.log")
    port = program.port()
    for _ in range(3):
        fetch(port, "/page")
    assert program.stop() == 0
    lines = (folder / "access.log").read_text().splitlines()
    assert sum('"GET /page HTTP/1.1" 200' in line for line in lines) == 3
    assert program.stderr == ""


def test_access_log_off(serve: Callable[..., Program]) -> None:
    program = serve("--access-log", "off")
    fetch(program.port())
    assert program.stop() == 0
    assert program.stderr == ""


@pytest.mark.parametrize("log", ["-", "off", "access.log"])
def test_a_failure_of_the_application_is_reported_once(
    log: str, serve: Callable[..., Program], folder: Path
) -> None:
    program = serve("--access-log", log)
    status, body = fetch(program.port(), "/fail")
    assert status == 500
    assert b"on purpose" not in body
    assert program.stop() == 0
    written = program.stderr + (folder / log).read_text() if log == "access.log" else program.stderr
    assert written.count("RuntimeError: on purpose") == 1


def test_debug_sends_the_traceback(serve: Callable[..., Program]) -> None:
    status, body = fetch(serve("--debug").port(), "/fail")
    assert status == 500
    assert b"RuntimeError: on purpose" in body


def test_quiet(serve: Callable[..., Program], folder: Path) -> None:
    program = serve("--quiet", bind="unix:hello.sock")
    _wait_for_socket(folder / "hello.sock", program)
    connection = UnixHTTPConnection(folder / "hello.sock")
    assert fetch(connection)[0] == 200
    connection.close()
    assert program.stop() == 0
    assert (program.stdout, program.stderr) == ("", "")


def _wait_for_socket(path: Path, program: Program) -> None:
    """A quiet server gives no sign but this."""
    for _ in range(int(PATIENCE * 100)):
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        with pytest.raises(subprocess.TimeoutExpired):
            program.process.wait(0.01)
    pytest.fail("it does not listen")


def test_keep_alive(serve: Callable[..., Program]) -> None:
    connection = http_connection(serve("--keep-alive", "0.2").port())
    connection.request("GET", "/")
    response = connection.getresponse()
    response.read()
    assert response.getheader("Connection", "").lower() != "close"
    # Idle too long: the server ends it, and says nothing.
    sock = connection.sock
    assert sock is not None
    assert sock.recv(1) == b""
    connection.close()


def test_no_keep_alive(serve: Callable[..., Program]) -> None:
    connection = http_connection(serve("--keep-alive", "0").port())
    connection.request("GET", "/")
    response = connection.getresponse()
    response.read()
    assert response.getheader("Connection", "").lower() == "close"
    connection.close()


def test_max_concurrency(serve: Callable[..., Program], folder: Path) -> None:
    program = serve("--max-concurrency", "2", "--keep-alive", "0")
    port = program.port()
    getters = [Getter(port, "/hold") for _ in range(6)]
    program.wait_for("^holding 2$")
    released(folder)
    assert [getter.result()[0] for getter in getters] == [200] * 6
    assert fetch(port, "/most") == (200, b"2")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_allows_as_many_files_as_connections(serve: Callable[..., Program]) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        program = serve("--max-concurrency", "2000")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    limits = Path(f"/proc/{program.pid}/limits").read_text()
    soft = re.search(r"^Max open files +(\d+)", limits, re.MULTILINE)
    assert soft is not None
    assert int(soft[1]) == min(3024, before[1])


def test_socket_timeout(serve: Callable[..., Program]) -> None:
    port = serve("--socket-timeout", "0.2").port()
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost:")
        # Half a request: the server gives up, with or without a word.
        data = b""
        while some := sock.recv(4096):
            data += some
        assert b"200 OK" not in data


# ------------------------------------------------------------------------------------------------
# Unix sockets


def test_a_stale_unix_socket_is_replaced(serve: Callable[..., Program], folder: Path) -> None:
    path = folder / "hello.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    assert path.is_socket()
    program = serve(bind="unix:hello.sock")
    connection = UnixHTTPConnection(path)
    assert fetch(connection)[0] == 200
    connection.close()
    assert program.stop() == 0


def test_a_unix_socket_in_use_is_refused(
    serve: Callable[..., Program], start: Callable[..., Program], folder: Path
) -> None:
    serve(bind="unix:hello.sock")
    second = start("serve", "hello:app", "--bind", "unix:hello.sock")
    assert second.wait() == 1
    assert second.stderr == (
        "eventlet: error: cannot listen on unix:hello.sock: "
        "the address is in use by another program\n"
    )
    connection = UnixHTTPConnection(folder / "hello.sock")
    assert fetch(connection)[0] == 200
    connection.close()


def test_a_regular_file_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(CommandError, match="a file that is not a socket is in the way"):
        _address.listen(_address.parse("unix:hello.py"), 1)
    assert (folder / "hello.py").read_text() == HELLO


def test_a_unix_socket_of_somebody_else_stays(serve: Callable[..., Program], folder: Path) -> None:
    path = folder / "hello.sock"
    program = serve(bind="unix:hello.sock")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as successor:
        successor.bind(str(path))
        assert program.stop() == 0
        assert path.is_socket()
