"""The command line: what it prints, what it refuses, how it serves and how it stops."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import eventlet
from eventlet.cli import _address, _target, main
from eventlet.cli._errors import CommandError, UsageError
from support.processes import PATIENCE, Program, UnixHTTPConnection, fetch, http_connection

HELLO = """\
import os, sys, time
import eventlet

running = 0
most = 0
sleeps = "--no-patch" not in sys.argv

def app(environ, start_response):
    global running, most
    path = environ["PATH_INFO"]
    if path == "/fail":
        raise RuntimeError("on purpose")
    if path == "/hold":
        # Runs until the test creates the file; says so first.
        running += 1
        most = max(most, running)
        print("holding", running, flush=True)
        while not os.path.exists("release"):
            eventlet.sleep(0.01)
        running -= 1
    if path == "/block":
        # Holds the whole process.
        print("blocking", flush=True)
        while True:
            pass
    if path == "/sleep":
        print("sleeping", flush=True)
        time.sleep(60 if sleeps else 0)
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return stream()
    if path == "/most":
        body = str(most).encode()
    else:
        body = b"hello from " + os.path.basename(os.getcwd()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]

def stream():
    yield b"first"
    while not os.path.exists("release"):
        eventlet.sleep(0.01)
    yield b"second"

class Site:
    class inner:
        wsgi = staticmethod(app)
    number = 5

site = Site()

def factory():
    return app

def broken_factory():
    raise LookupError("no database")

def factory_of_nothing():
    return None

async def asynchronous(scope, receive, send):
    pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an application in it."""
    (tmp_path / "hello.py").write_text(HELLO)
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Program]]:
    """A function that runs `eventlet ARGS` in the folder."""
    programs = []

    def run(*args: str | Path) -> Program:
        programs.append(Program("-m", "eventlet", *args, cwd=folder))
        return programs[-1]

    yield run
    for program in programs:
        program.__exit__(*sys.exc_info())


@pytest.fixture
def serve(start: Callable[..., Program]) -> Callable[..., Program]:
    """A function that serves on a free port of loopback and waits until that is so."""

    def run(*args: str | Path, app: str = "hello:app", bind: str = "127.0.0.1:0") -> Program:
        program = start("serve", app, "--bind", bind, *args)
        if "--quiet" not in args:
            program.wait_for(r"^eventlet \S+ serving .*$")
        return program

    return run


def run_main(*args: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run the command line in this process; its status and what it printed."""
    if args[:1] == ("serve",):
        # It is the tests' process, too.
        args = (*args, "--no-patch")
    status = main(args)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def released(folder: Path) -> None:
    """Let requests for /hold and /stream go on."""
    (folder / "release").touch()


class Getter(threading.Thread):
    """A request made in another thread; `result` waits for its outcome."""

    def __init__(self, port: int, path: str) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.path = path
        self.outcome: tuple[int, bytes] | BaseException | None = None
        self.start()

    def run(self) -> None:
        """Make the request."""
        try:
            self.outcome = fetch(self.port, self.path)
        except Exception as error:
            self.outcome = error

    def result(self) -> tuple[int, bytes]:
        """Status and body."""
        self.join(PATIENCE)
        assert isinstance(self.outcome, tuple), repr(self.outcome)
        return self.outcome


# What it says about itself


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run_main("--version", capsys=capsys)
    assert (status, err) == (0, "")
    version = re.escape(eventlet.__version__)
    assert re.fullmatch(
        rf"eventlet {version} \(greenlet [\d.]+\S*, CPython [\d.]+\S*, hub \w+\)\n", out
    )


def test_version_of_the_module_and_of_the_command(start: Callable[..., Program]) -> None:
    with start("--version") as program:
        assert program.wait() == 0
        assert program.stdout.startswith(f"eventlet {eventlet.__version__} (greenlet ")


@pytest.mark.parametrize("args", [["--help"], ["serve", "--help"]])
def test_help(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run_main(*args, capsys=capsys)
    assert (status, err) == (0, "")
    assert "examples:\n  eventlet serve hello:app\n" in out


def test_every_option_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run_main("serve", "--help", capsys=capsys)
    for option in (
        "--bind",
        "--chdir",
        "--access-log",
        "--keep-alive",
        "--max-concurrency",
        "--socket-timeout",
        "--graceful-timeout",
        "--backlog",
        "--quiet",
        "--debug",
    ):
        assert re.search(rf"^  (-b( ADDRESS)?, )?{option}\b", out, re.MULTILINE), option


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run_main(capsys=capsys)
    assert (status, out) == (2, "")
    assert err.startswith("usage: eventlet ")


def test_help_loads_no_server(run_python: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    code = """
    import sys
    from eventlet.cli import main
    assert main(["--help"]) == 0
    assert main(["serve", "--backlog", "x", "m:a"]) == 2
    assert not {"eventlet.wsgi", "eventlet.cli._serve"} & set(sys.modules)
    """
    run_python(textwrap.dedent(code))


# What it refuses


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["sing"], 2, "invalid choice: 'sing'"),
        (["serve"], 2, "required: MODULE:APP"),
        (["serve", "hello:app", "--loud"], 2, "unrecognized arguments: --loud"),
        (["serve", "hello:app", "--backlog", "0"], 2, "'0' is not a whole number of 1 or more"),
        (["serve", "hello:app", "--keep-alive", "-1"], 2, "'-1' is not a number of seconds"),
        (["serve", "hello:app", "--keep-alive", "nan"], 2, "'nan' is not a number of seconds"),
        (["serve", "hello:app", "--max-concurrency", "many"], 2, "'many' is not a whole number"),
        (["serve", "hello:app", "--chdir", "nowhere"], 1, "--chdir nowhere: No such file"),
        (["serve", "hello:app", "--access-log", "no/where"], 1, "cannot write no/where: No such"),
        # The application
        (["serve", "hello"], 2, "'hello' does not say which object to serve: hello:app"),
        (["serve", "hello:"], 2, "'hello:' is not of the form module:app"),
        (["serve", "hello:app:app"], 2, "is not of the form module:app"),
        (["serve", "./hello.py:app"], 2, "'./hello.py' is a file: name the module"),
        (["serve", "hello.py:app"], 2, "'hello.py' is a file: name the module, as in hello:app"),
        (["serve", "hello:factory(1)"], 2, "called without arguments: factory()"),
        (["serve", "helo:app"], 1, "no module named 'helo' ... did you mean hello?"),
        (["serve", "hello.views:app"], 1, "no module named 'hello.views'"),
        (["serve", "nowhere.views:app"], 1, "no module named 'nowhere'"),
        (["serve", "hello:ap"], 1, "module 'hello' has no attribute 'ap': did you mean app"),
        (["serve", "hello:wsgi"], 1, "has no attribute 'wsgi': it has Site, app, asynchronous"),
        (
            ["serve", "hello:site.iner"],
            1,
            "object 'hello.site' has no attribute ... did you mean inner",
        ),
        (["serve", "hello:site.number"], 1, "'hello:site.number' is of type int, not a WSGI"),
        (["serve", "hello:factory"], 1, "did you mean 'hello:factory()'?"),
        (["serve", "hello:factory_of_nothing()"], 1, "is of type NoneType, not a WSGI application"),
        (["serve", "hello:site.number()"], 1, "what it names is of type int: it cannot be called"),
        (["serve", "hello:asynchronous"], 1, "is asynchronous"),
        # The address
        (["serve", "hello:app", "-b", "8000"], 2, "bad address '8000' ... as 127.0.0.1:8000"),
        (["serve", "hello:app", "-b", "here"], 2, "bad address 'here' ... as here:8000"),
        (["serve", "hello:app", "-b", ":80"], 2, "the host is missing"),
        (["serve", "hello:app", "-b", "here:"], 2, "the port must be a number"),
        (["serve", "hello:app", "-b", "here:http"], 2, "the port must be a number"),
        (["serve", "hello:app", "-b", "here:65536"], 2, "the port must be a number"),
        (["serve", "hello:app", "-b", "here:-1"], 2, "the port must be a number"),
        (["serve", "hello:app", "-b", "::1:80"], 2, "an IPv6 address is written"),
        (["serve", "hello:app", "-b", "[::1]"], 2, "an IPv6 address is written"),
        (["serve", "hello:app", "-b", "unix:"], 2, "the path of the unix socket is missing"),
        (["serve", "hello:app", "-b", "unix:" + "x" * 200], 2, "bytes, this one has 200"),
        (["serve", "hello:app", "-b", "unix:no/where"], 1, "unix:no/where: no such file"),
        (["serve", "hello:app", "-b", "unix:hello.py"], 1, "a file that is not a socket"),
        (["serve", "hello:app", "-b", "192.0.2.1:80"], 1, "this machine has no such address"),
        (["serve", "hello:app", "-b", "no..where:80"], 1, "host 'no..where': "),
    ],
)
def test_errors_are_one_line(
    args: list[str],
    status: int,
    message: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "hello", raising=False)
    got, out, err = run_main(*args, capsys=capsys)
    assert (got, out) == (status, "")
    assert re.fullmatch(r"eventlet( serve)?: error: .*\n", err), err
    for part in message.split(" ... "):
        assert part in err


def test_an_address_in_use_is_refused(serve: Callable[..., Program], folder: Path) -> None:
    port = serve().port()
    with Program(
        "-m", "eventlet", "serve", "hello:app", "-b", f"127.0.0.1:{port}", cwd=folder
    ) as p:
        assert p.wait() == 1
        assert p.stderr == (
            f"eventlet: error: cannot listen on 127.0.0.1:{port}: "
            "the address is in use by another program\n"
        )
    assert fetch(port)[0] == 200


def test_what_may_not_be_listened_on_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # A test may run as root, who may listen on anything.
    def listen(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(eventlet, "listen", listen)
    with pytest.raises(CommandError, match=r"127.0.0.1:80: permission denied \(ports below 1024"):
        _address.listen(_address.parse("127.0.0.1:80"), 1)
    with pytest.raises(CommandError, match=r"127.0.0.1:8080: permission denied$"):
        _address.listen(_address.parse("127.0.0.1:8080"), 1)


def test_good_addresses() -> None:
    parse = _address.parse
    assert (parse("127.0.0.1:80").host, parse("127.0.0.1:80").port) == ("127.0.0.1", 80)
    assert (parse("[::1]:0").host, parse("[::1]:0").port) == ("::1", 0)
    assert parse("localhost:65535").port == 65535
    assert parse("unix:/run/x:y").path == "/run/x:y"
    with pytest.raises(UsageError):
        parse("localhost:८०")


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("from os import no_such_name", "ImportError: cannot import name 'no_such_name'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("x = = 1", "SyntaxError: invalid syntax"),
        ("raise SystemExit('not now')", "SystemExit: not now"),
    ],
)
def test_an_application_that_fails_to_import_shows_where(
    source: str, line: str, start: Callable[..., Program], folder: Path
) -> None:
    (folder / "broken.py").write_text(f"# A comment.\n{source}\n")
    program = start("serve", "broken:app", "-b", "127.0.0.1:0")
    assert program.wait() == 1
    assert 'broken.py", line 2' in program.stderr
    assert line in program.stderr
    assert re.search(r"^eventlet: error: importing 'broken' failed: ", program.stderr, re.M)
    # Where this command called from is of no interest.
    assert "importlib" not in program.stderr
    assert "_target.py" not in program.stderr


def test_a_factory_that_fails_shows_where(start: Callable[..., Program]) -> None:
    program = start("serve", "hello:broken_factory()", "-b", "127.0.0.1:0")
    assert program.wait() == 1
    assert "in broken_factory" in program.stderr
    assert program.stderr.endswith(
        "eventlet: error: calling 'hello:broken_factory()' failed: LookupError: no database\n"
    )


def test_what_may_be_an_application_is_taken() -> None:
    class Callable_:
        def __call__(self, environ: object, start_response: object) -> list[bytes]:
            return []

    class Class_:
        def __init__(self, environ: object, start_response: object) -> None:
            pass

    # The last one is written in C and does not say what it takes.
    for app in (Callable_(), Class_, Callable_().__call__, lambda *args: [], dict.update):
        _target._check_wsgi(app, "m:app")


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


# Stopping


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
