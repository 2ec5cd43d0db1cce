"""`eventlet serve`: the configuration file, `--check`, systemd, and addresses from outside."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventlet.cli import _address, _config, _service, _systemd, main
from eventlet.cli._errors import CommandError, UsageError
from support.processes import PATIENCE, Program, UnixHTTPConnection, fetch
from support.serving import APP, start, workers

try:
    import tomllib  # noqa: F401
except ModuleNotFoundError:
    pytest.importorskip("tomli")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """A function that starts a server in the test's folder."""
    programs = []

    def run(*args: str | Path, **kwargs: Any) -> Program:
        programs.append(start(tmp_path, *args, **kwargs))
        return programs[-1]

    yield run
    for program in programs:
        program.__exit__(*sys.exc_info())


def read(text: str, tmp_path: Path, *argv: str, name: str = "serve.toml") -> Any:
    """What the command line is, with a configuration file."""
    from eventlet.cli import _parser

    path = tmp_path / name
    path.write_text(text)
    _, parser = _parser()
    return _config.read_arguments(parser, ["--config", str(path), *argv])


# The configuration file


def test_a_file_says_what_options_say(tmp_path: Path) -> None:
    args = read(
        """
        app = "pids:app"
        bind = ["127.0.0.1:1", "unix:x.sock"]
        workers = 3
        keep-alive = 2.5
        max_requests = 7
        quiet = true
        debug = false
        access-format = "%(path)s"
        trusted-proxies = ["127.0.0.1", "10.0.0.0/8"]
        """,
        tmp_path,
    )
    assert args.app == "pids:app"
    assert args.bind == ["127.0.0.1:1", "unix:x.sock"]
    assert (args.workers, args.keep_alive, args.max_requests) == (3, 2.5, 7)
    assert (args.quiet, args.debug) == (True, False)
    assert args.access_format == "%(path)s"
    assert args.trusted_proxies == "127.0.0.1,10.0.0.0/8"
    assert args.graceful_timeout == 30


def test_the_command_line_goes_first(tmp_path: Path) -> None:
    text = 'app = "a:b"\nbind = "127.0.0.1:1"\nworkers = 3\nmax-body-size = 9\n'
    args = read(text, tmp_path, "--bind", "127.0.0.1:2", "--workers", "5", "c:d")
    assert (args.app, args.bind, args.workers) == ("c:d", ["127.0.0.1:2"], 5)
    assert args.max_body_size == 9


def test_pyproject(tmp_path: Path) -> None:
    text = '[project]\nname = "x"\n[tool.eventlet.serve]\napp = "a:b"\n'
    assert read(text, tmp_path, name="pyproject.toml").app == "a:b"
    assert read("[project]\n", tmp_path, "a:b", name="pyproject.toml").app == "a:b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wokers = 3", "unknown key 'wokers': did you mean workers?"),
        ("zzz = 3", r"unknown key 'zzz' (see eventlet serve --help)"),
        ("check = true", "unknown key 'check'"),
        ("quiet = 1", "quiet: true or false is needed"),
        ("workers = [1, 2]", "workers: one value is needed, not a list of 2"),
        ("workers = true", "workers: a string or a number is needed"),
        ("workers = {}", "workers: a string or a number is needed"),
        ("app = 5", "app: a string such as 'hello:app' is needed"),
        ("workers = ", "not TOML: "),
    ],
)
def test_what_is_wrong_in_a_file_is_said(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        read(text, tmp_path)
    assert str(tmp_path / "serve.toml") in str(caught.value)


def test_values_are_checked_as_those_of_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "serve.toml"
    path.write_text("workers = -3\n")
    assert main(["serve", "--config", str(path), "a:b"]) == 2
    assert capsys.readouterr().err.startswith(
        f"eventlet serve: {path}: error: argument --workers: '-3' is not a whole number"
    )


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--config", "nowhere.toml", "a:b"]) == 1
    assert capsys.readouterr().err == (
        "eventlet: error: --config nowhere.toml: No such file or directory\n"
    )


def test_old_versions_of_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def import_module(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(_config.importlib, "import_module", import_module)
    with pytest.raises(CommandError, match=r"install tomli, or use Python 3\.11"):
        read("", tmp_path)


def test_serves_what_a_file_says(serve: Callable[..., Program], tmp_path: Path) -> None:
    (tmp_path / "serve.toml").write_text(
        'app = "pids:app"\nbind = ["127.0.0.1:0"]\nworkers = 2\naccess-log = "off"\n'
    )
    program = serve("--config", "serve.toml", app="pids:app", bind=[])
    workers(program, 2)
    assert program.stop() == 0


def test_limits_reach_the_server(tmp_path: Path) -> None:
    args = read(
        """
        head-timeout = 1
        body-timeout = 0
        max-header-count = 5
        max-body-size = 6
        max-request-line = 7
        proxy-protocol = "any"
        trusted-proxies = "unix, 10.0.0.1"
        """,
        tmp_path,
    )
    options = _service.server_options(args)
    assert options["head_timeout"] == 1
    assert options["body_timeout"] is None
    assert options["send_timeout"] == 60
    assert options["max_header_count"] == 5
    assert options["max_body_size"] == 6
    assert options["url_length_limit"] == 7
    assert options["proxy_protocol"] is True
    assert options["trusted_proxies"] == ("unix", "10.0.0.1")
    assert "max_header_line" not in options
    assert read('proxy-protocol = "v2"', tmp_path).proxy_protocol == "v2"


def test_limits_are_in_force(serve: Callable[..., Program]) -> None:
    program = serve("--max-body-size", "10", "--max-header-count", "8", "--max-request-line", "99")
    port = program.port()
    assert fetch(port, "/", "POST", b"x" * 10)[0] == 200
    assert fetch(port, "/", "POST", b"x" * 11)[0] == 413
    assert fetch(port, headers={f"X-{n}": "x" for n in range(9)})[0] == 431
    assert fetch(port, "/" + "x" * 100)[0] == 414
    assert fetch(port, "/multiprocess")[1] == b"False"
    assert program.stop() == 0


# --check


def test_check(serve: Callable[..., Program]) -> None:
    program = serve("--check", "--workers", "3", bind=["127.0.0.1:80", "unix:x"], wait=False)
    assert program.wait() == 0
    assert program.stdout == (
        "pids:app would be served on 127.0.0.1:80 and unix:x, from 3 worker processes\n"
    )


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["--certfile", "nowhere.pem"], 1, "--certfile nowhere.pem: No such file or directory"),
        (["--keyfile", "x.pem"], 2, "--keyfile needs a --certfile, which turns TLS on"),
        (["--certfile", "x", "--client-certs", "optional"], 2, "optional needs --ca-certs"),
        (["--trusted-proxies", "10.0.0.0/99"], 2, "10.0.0.0/99"),
        (["--access-format", "jsn"], 2, "--access-format jsn: did you mean json?"),
        (["--statsd", "here"], 2, "--statsd here: HOST:PORT is needed"),
        (["--metrics", "9000"], 2, "bad address '9000'"),
        (["--bind", "fd://x"], 2, "the number of a descriptor is needed: fd://3"),
        (["--bind", "unix:x?mode=9"], 2, "permissions are three octal digits: ?mode=660"),
        (["--bind", "systemd:web"], 1, "no such socket; it passed none: is there a .socket unit?"),
    ],
)
def test_check_finds_mistakes(
    args: list[str], status: int, message: str, serve: Callable[..., Program]
) -> None:
    program = serve("--check", *args, bind=[], wait=False)
    assert program.wait() == status
    assert message in program.stderr
    assert program.stderr.count("\n") == 1


# Sockets from outside

#: Makes descriptor 3 (and 4) listening sockets, then becomes the server.
PASSING = """\
import os, socket, sys
from pathlib import Path
socks = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
kept = [os.dup(sock.fileno()) for sock in socks]
for sock in socks: sock.close()
for number, fd in enumerate(kept, 10): os.dup2(fd, number)
for number in (0, 1): os.dup2(10 + number, 3 + number)
os.environ.update(LISTEN_FDS="2", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="web:admin")
os.execv(sys.executable, [sys.executable, "-m", "eventlet", "serve", *sys.argv[1:]])
"""


@pytest.mark.parametrize(
    ("args", "count"),
    [
        ([], 2),
        (["--bind", "systemd:admin"], 1),
        (["--bind", "fd://4", "--workers", "2"], 1),
        (["--bind", "systemd", "--bind", "127.0.0.1:0"], 3),
    ],
)
def test_sockets_that_are_passed(args: list[str], count: int, tmp_path: Path) -> None:
    (tmp_path / "pids.py").write_text(APP)
    with Program("-c", PASSING, "pids:app", *args, cwd=tmp_path) as program:
        line = program.wait_for("^eventlet .* serving .*$")[0]
        ports = {int(port) for port in re.findall(r"http://127\.0\.0\.1:(\d+)", line)}
        assert len(ports) == count
        for port in ports:
            assert fetch(port)[0] == 200
        assert program.stop() == 0


def test_a_name_that_systemd_does_not_pass(tmp_path: Path) -> None:
    (tmp_path / "pids.py").write_text(APP)
    with Program("-c", PASSING, "pids:app", "-b", "systemd:x", cwd=tmp_path) as program:
        assert program.wait() == 1
        assert "no such socket; it passed: admin, web" in program.stderr


def test_descriptors_that_do_not_listen(tmp_path: Path) -> None:
    with open(os.devnull) as file, pytest.raises(CommandError, match="descriptor"):
        _address.listen(_address.parse(f"fd://{file.fileno()}"), 1)
    with socket.socket() as sock:
        with pytest.raises(CommandError, match="is not a socket that listens"):
            _address.listen(_address.parse(f"fd://{sock.fileno()}"), 1)
        assert sock.getsockname()


def test_descriptors_for_another_process() -> None:
    environ = {"LISTEN_FDS": "1", "LISTEN_PID": "1", "OTHER": "x"}
    assert _systemd.take_descriptors(environ) == []
    assert environ == {"OTHER": "x"}


# What systemd is told


@pytest.mark.parametrize("many", [(), ("--workers", "1")])
def test_systemd_is_told(
    many: tuple[str, ...], serve: Callable[..., Program], tmp_path: Path
) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(PATIENCE)
        program = serve(
            *many, env={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "200000"}, wait=False
        )
        told: list[str] = []

        def wait_for(word: str, count: int = 1) -> None:
            while sum(word in each for each in told) < count:
                told.append(manager.recv(1000).decode())

        wait_for("READY=1")
        assert fetch(program.port())[0] == 200
        wait_for("WATCHDOG=1", 2)
        if many:
            program.send(signal.SIGHUP)
            wait_for("RELOADING=1\nMONOTONIC_USEC=")
            wait_for("READY=1", 2)
        program.send(signal.SIGTERM)
        wait_for("STOPPING=1")
        assert program.wait() == 0


# Files


def test_pid_file(serve: Callable[..., Program], tmp_path: Path) -> None:
    for many in ((), ("--workers", "2")):
        program = serve("--pid-file", "pid", *many)
        assert int((tmp_path / "pid").read_text()) == program.pid
        assert program.stop() == 0
        assert not (tmp_path / "pid").exists()


def test_permissions_of_a_unix_socket(serve: Callable[..., Program], tmp_path: Path) -> None:
    program = serve(bind=["unix:web.sock?mode=620"])
    path = tmp_path / "web.sock"
    assert path.stat().st_mode & 0o777 == 0o620
    connection = UnixHTTPConnection(path)
    assert fetch(connection)[0] == 200
    connection.close()
    assert program.stop() == 0
    assert "unix:web.sock (pid" in program.stdout


def test_the_command_needs_no_server_to_read_a_file(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    run_python(
        """
import sys
from eventlet.cli import main
assert main(["serve", "--config", "nowhere.toml"]) == 1
assert not {"eventlet.wsgi", "eventlet.cli._serve"} & set(sys.modules)
"""
    )
