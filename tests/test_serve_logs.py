"""The access log and the error log of `eventlet serve`, also where they cannot be written."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventlet.cli import _access_log, _log_sink
from eventlet.cli._errors import CommandError, UsageError
from eventlet.wsgi import RequestRecord
from support.load import Load
from support.processes import Program, fetch
from support.serving import start, workers


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


# What lines say

ENVIRON = {
    "HTTP_HOST": "shop.example",
    "HTTP_REFERER": "x",
    "HTTP_USER_AGENT": '\xe9\n\\"',
    "PATH_INFO": "/a b",
    "QUERY_STRING": "c=1",
    "REMOTE_USER": "joe",
    "REQUEST_METHOD": "GET",
}


def line(form: str, environ: dict[str, Any] | None = ENVIRON) -> str:
    """A line of a format, its date made the same always."""
    formatter = _access_log.formatter(form) or _access_log.default
    line = "GET /a%20b?c=1 HTTP/1.1"
    text = formatter(RequestRecord(environ, "10.0.0.1", "555", line, 404, 99, 0.0123456))
    assert text.endswith("\n")
    assert text.count("\n") == 1
    return re.sub(r"\d\d/[A-Z][a-z]{2}/\d{4}.\d\d:\d\d:\d\d( [-+]\d{4})?", "DATE", text[:-1])


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("default", '10.0.0.1 - - [DATE] "GET /a%20b?c=1 HTTP/1.1" 404 99 0.012346'),
        ("common", '10.0.0.1 - joe [DATE] "GET /a%20b?c=1 HTTP/1.1" 404 99'),
        (
            "combined",
            r'10.0.0.1 - joe [DATE] "GET /a%20b?c=1 HTTP/1.1" 404 99 "x" "\xE9\x0A\x5C\x22"',
        ),
        (
            "%(client_ip)s:%(client_port)s %(method)s %(path)s %(query)s %(protocol)s %(host)s",
            "10.0.0.1:555 GET /a b c=1 HTTP/1.1 shop.example",
        ),
        (
            "%(user)s %(status_code)d %(body_length)d %(wall_seconds).2f %(user_agent)s 100%%",
            r"joe 404 99 0.01 \xE9\x0A\x5C\x22 100%",
        ),
    ],
)
def test_formats(form: str, expected: str) -> None:
    assert line(form) == expected


def test_json() -> None:
    values = json.loads(line("json"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[-+]\d{4}", values.pop("time"))
    assert values.pop("pid") == os.getpid()
    assert values == {
        "body_length": 99,
        "client_ip": "10.0.0.1",
        "client_port": "555",
        "host": "shop.example",
        "method": "GET",
        "path": "/a b",
        "protocol": "HTTP/1.1",
        "query": "c=1",
        "referer": "x",
        "request_line": "GET /a%20b?c=1 HTTP/1.1",
        "status_code": 404,
        "user": "joe",
        "user_agent": '\xe9\n\\"',
        "wall_seconds": 0.012346,
    }


@pytest.mark.parametrize("form", ["default", "common", "combined", "json", "%(path)s %(user)s"])
def test_what_is_no_request_has_a_line(form: str) -> None:
    assert line(form, None)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("comon", "did you mean common"),
        ("xyz", "default, common, combined, json, or a template"),
        ("%(status)s", "unknown name 'status': did you mean status_code"),
        ("%(zzz)s", "unknown name 'zzz': there are body_length, client_ip"),
        ("%(path)d", "--access-format"),
        ("%(path", "--access-format"),
    ],
)
def test_templates_that_cannot_be_filled_in(form: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        _access_log.formatter(form)


@pytest.mark.parametrize("form", ["combined", "%(client_ip)s %(path)s %(user_agent)s"])
def test_a_line_for_each_request(form: str, serve: Callable[..., Program], tmp_path: Path) -> None:
    program = serve("--access-log", "access.log", "--access-format", form)
    fetch(program.port(), "/page%0A", headers={"User-Agent": "test"})
    assert program.stop() == 0
    (written,) = (tmp_path / "access.log").read_text().splitlines()
    if form == "combined":
        assert re.fullmatch(
            r'127\.0\.0\.1 - - \[.*\] "GET /page%0A HTTP/1\.1" 200 \d+ "-" "test"', written
        )
    else:
        assert written == r"127.0.0.1 /page\x0A test"
    assert program.stderr == ""


# Where they go


class Later:
    """Calls functions when the test says."""

    def __init__(self) -> None:
        self.functions: list[Callable[[], object]] = []

    def __call__(self, function: Callable[[], object]) -> None:
        self.functions.append(function)

    def run(self) -> None:
        """Call them."""
        functions, self.functions = self.functions, []
        for function in functions:
            function()


def test_lines_are_gathered(tmp_path: Path) -> None:
    later = Later()
    path = tmp_path / "log"
    sink = _log_sink.open_sink(str(path), later)
    sink.write("one\n")
    sink.write("two\n")
    assert len(later.functions) == 1
    assert path.read_text() == ""
    later.run()
    assert path.read_text() == "one\ntwo\n"
    sink.write("x" * 70_000 + "\n")
    assert path.stat().st_size == 70_009
    sink.write("three\n")
    sink.close()
    assert path.read_text().endswith("three\n")


def test_a_full_disk_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    later = Later()
    path = tmp_path / "log"
    sink = _log_sink.open_sink(str(path), later)
    real = os.write
    room = 6

    def write(fd: int, data: Any) -> int:
        nonlocal room
        if not room:
            raise OSError(28, "No space left on device")
        written = real(fd, bytes(data)[:room])
        room -= written
        return written

    monkeypatch.setattr(_log_sink, "_write", write)
    for text in ("one\n", "two\nthree\n", "four\n"):
        sink.write(text)
        later.run()
    assert sink.lost == 3
    assert path.read_text() == "one\ntw"
    room = 100
    sink.write("five\n")
    later.run()
    assert path.read_text() == "one\ntw\nfive\n"
    assert capsys.readouterr().err == (
        f"eventlet: the access log {path} cannot be written: No space left on device;"
        " serving without it\n"
        "eventlet: the access log is written again; it lacks 3 lines\n"
    )
    sink.close()


def test_a_reader_that_does_not_read_holds_up_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_log_sink, "_MOST_KEPT", 100_000)
    reader, writer = os.pipe()
    later = Later()
    sink = _log_sink.Lines(writer, None, later)
    for number in range(2000):
        sink.write(f"{number:99}\n")
        later.run()
    assert 0 < sink.lost < 2000
    assert capsys.readouterr().err.count("nobody reads it") == 1
    text = ""
    os.set_blocking(reader, False)
    while True:
        try:
            text += os.read(reader, 65536).decode()
        except BlockingIOError:
            break
        sink.write("")
        sink.flush()
    got = [int(each) for each in text.split()]
    assert got == sorted({*got})
    assert len(got) + sink.lost == 2000
    os.close(reader)
    # A reader that has gone is no reason to fail either.
    sink.write("x\n")
    sink.flush()
    os.close(writer)


def test_syslog(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "log")
    with pytest.raises(CommandError, match="no log daemon listens at"):
        _log_sink.Syslog(path)

    def daemon() -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sock.bind(path)
        sock.settimeout(5)
        return sock

    with daemon() as first:
        sink = _log_sink.Syslog(path)
        sink.write("one\n")
        assert first.recv(100) == f"<30>eventlet[{os.getpid()}]: one".encode()
    os.unlink(path)
    sink.write("lost\n")
    assert sink.lost == 1
    with daemon() as second:
        # A daemon that was started anew is found without help.
        sink.write("two\n")
        assert second.recv(100).endswith(b": two")
    sink.close()
    assert capsys.readouterr().err.count("\n") == 2


@pytest.mark.parametrize("many", [(), ("--workers", "2")])
def test_logs_are_opened_again(
    many: tuple[str, ...], serve: Callable[..., Program], tmp_path: Path
) -> None:
    log, errors = tmp_path / "access.log", tmp_path / "error.log"
    program = serve("--access-log", "access.log", "--error-log", "error.log", *many)
    if many:
        workers(program, 2)
    with Load(program.port(), path="/fail") as load:
        log.rename(tmp_path / "access.log.1")
        errors.rename(tmp_path / "error.log.1")
        program.send(signal.SIGUSR1)
        while not (log.exists() and errors.exists()):
            load.wait_for_more(1)
        load.wait_for_more(30)
    assert program.stop() == 0
    texts = [(tmp_path / f"access.log{end}").read_text() for end in ("", ".1")]
    assert all('"GET /fail HTTP/1.1" 500' in text for text in texts)
    assert sum(text.count("GET /fail") for text in texts) == len(load.result.bodies)
    assert {*load.result.statuses} == {500}
    assert program.stderr == ""


def test_a_log_that_cannot_be_opened_again_stays(
    serve: Callable[..., Program], tmp_path: Path
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    program = serve("--access-log", "logs/access.log")
    fetch(program.port(), "/one")
    (folder / "access.log").rename(tmp_path / "moved.log")
    folder.rmdir()
    program.send(signal.SIGUSR1)
    program.wait_for("cannot open .*: No such file.*; going on with the old file", "stderr")
    fetch(program.port(), "/two")
    assert program.stop() == 0
    assert "GET /two" in (tmp_path / "moved.log").read_text()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("many", [(), ("--workers", "2")])
def test_a_full_disk_stops_nothing(many: tuple[str, ...], serve: Callable[..., Program]) -> None:
    program = serve("--access-log", "/dev/full", *many)
    if many:
        workers(program, 2)
    with Load(program.port()) as load:
        load.wait_for_more(200)
    assert not load.result.lost
    assert program.stop() == 0
    times = program.stderr.count("/dev/full cannot be written: No space left on device")
    assert 1 <= times <= 2  # once a process
    assert program.stderr.count("\n") == times


def test_an_error_log_that_cannot_be_opened(serve: Callable[..., Program]) -> None:
    program = serve("--error-log", "no/where", wait=False)
    assert program.wait() == 1
    assert program.stderr == "eventlet: error: --error-log no/where: No such file or directory\n"
