"""The command line: what it says about itself, what it takes, and what it refuses."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import eventlet
from eventlet.cli import _address, _target, main
from eventlet.cli._errors import CommandError, UsageError
from support.processes import Program, fetch


def run_main(*args: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run the command line in this process; its status and what it printed."""
    if args[:1] == ("serve",):
        # It is the tests' process, too.
        args = (*args, "--no-patch")
    status = main(args)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


# ------------------------------------------------------------------------------------------------
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


# ------------------------------------------------------------------------------------------------
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
