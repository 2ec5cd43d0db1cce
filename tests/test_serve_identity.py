"""`eventlet serve --user` and `--group`: who the processes are, and whose the files."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from eventlet.cli import _identity
from eventlet.cli._errors import CommandError, UsageError
from support.processes import Program, UnixHTTPConnection, fetch
from support.serving import wait_for_end, workers

APP = """\
import json, os, sys
import eventlet

print("imported by", os.geteuid(), flush=True)
eventlet.spawn(lambda: sys.stdout.write(f"up {os.getpid()}\\n") and sys.stdout.flush())

def app(environ, start_response):
    start_response("200 OK", [])
    home = [os.environ.get(name) for name in ("HOME", "USER", "LOGNAME")]
    return [json.dumps([os.getresuid(), os.getresgid(), os.getgroups(), home]).encode()]
"""

# The interpreter may be where only root may read. So the processes keep the rights of root beside
# the user's name, where the system lets them.
KEEPING_RIGHTS = """\
import ctypes, os, sys
PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP = 28, 4
ctypes.CDLL(None).prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-m", "eventlet", "serve", *sys.argv[1:]])
"""

needs_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root can become another user"
)

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody can look into."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o777)
    (path / "who.py").write_text(APP)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def serve(folder: Path) -> Iterator[Callable[..., Program]]:
    """A function that starts a server in this folder."""
    programs = []

    def run(*args: str) -> Program:
        programs.append(Program("-c", KEEPING_RIGHTS, "who:app", *args, cwd=folder))
        programs[-1].wait_for(r"^eventlet \S+ serving .*$")
        return programs[-1]

    yield run
    for program in programs:
        program.__exit__(*sys.exc_info())


def told(answer: tuple[int, bytes]) -> list[Any]:
    """What the application says of its process."""
    assert answer[0] == 200
    found: list[Any] = json.loads(answer[1])
    return found


def is_of_nobody(answer: tuple[int, bytes]) -> bool:
    uid, gid = NOBODY.pw_uid, NOBODY.pw_gid
    groups = os.getgrouplist("nobody", gid)
    return told(answer) == [[uid] * 3, [gid] * 3, groups, [NOBODY.pw_dir, "nobody", "nobody"]]


@needs_root
def test_one_process(serve: Callable[..., Program], folder: Path) -> None:
    (folder / "run").mkdir(mode=0o755)
    program = serve(
        *("--user", "nobody", "--bind", "unix:web.sock?mode=600", "--pid-file", "run/pid"),
        *("--access-log", "access.log", "--error-log", "error.log"),
    )
    program.wait_for(f"^imported by {NOBODY.pw_uid}$")
    connection = UnixHTTPConnection(folder / "web.sock")
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert is_of_nobody((answer.status, answer.read()))
    connection.close()
    assert psutil.Process(program.pid).uids() == (NOBODY.pw_uid,) * 3
    assert (folder / "run" / "pid").read_text() == f"{program.pid}\n"
    for name in ("access.log", "error.log", "web.sock", "run/pid"):
        info = (folder / name).stat()
        assert (info.st_uid, info.st_gid) == (NOBODY.pw_uid, NOBODY.pw_gid), name
    assert program.stop() == 0
    assert "GET / HTTP/1.1" in (folder / "access.log").read_text()
    assert not (folder / "web.sock").exists()


@needs_root
@pytest.mark.parametrize("more", [(), ("--reuse-port",)], ids=["one queue", "many queues"])
def test_workers(serve: Callable[..., Program], more: tuple[str, ...]) -> None:
    program = serve(
        *("--user", "nobody", "--workers", "2", "--bind", "127.0.0.1:0", *more),
        *("--access-log", "access.log"),
    )
    before = workers(program, 2)
    assert is_of_nobody(fetch(program.port(), "/"))
    for pid in (program.pid, *before):
        assert psutil.Process(pid).uids() == (NOBODY.pw_uid,) * 3
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    after = workers(program, 2, without=[victim])
    # One more than there were queues made with the rights of root.
    program.send(signal.SIGTTIN)
    after = workers(program, 3, without=[victim])
    assert is_of_nobody(fetch(program.port(), "/"))
    assert program.stop() == 0
    wait_for_end(after)


@needs_root
def test_a_group_alone(serve: Callable[..., Program]) -> None:
    program = serve("--group", str(NOBODY.pw_gid), "--bind", "127.0.0.1:0")
    uids, gids, _, home = told(fetch(program.port(), "/"))
    assert uids == [0] * 3
    assert gids == [NOBODY.pw_gid] * 3
    assert home[1] == "root"
    assert program.stop() == 0


@needs_root
def test_check_imports_as_the_user(folder: Path) -> None:
    program = Program(*("-c", KEEPING_RIGHTS, "who:app", "--check", "--user", "nobody"), cwd=folder)
    assert program.wait() == 0
    assert f"imported by {NOBODY.pw_uid}\n" in program.stdout


def options(user: str | None, group: str | None = None) -> argparse.Namespace:
    return argparse.Namespace(user=user, group=group)


def test_names_and_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    by_name = _identity.identity(options("nobody"))
    assert by_name == _identity.identity(options(str(NOBODY.pw_uid)))
    assert by_name == _identity.Identity(NOBODY.pw_uid, NOBODY.pw_gid, "nobody", NOBODY.pw_dir)
    unknown = _identity.identity(options("123456789", "4711"))
    assert unknown == _identity.Identity(123456789, 4711, None, None)
    assert _identity.identity(options(None)) is None


@pytest.mark.parametrize(
    ("user", "group", "message"),
    [
        ("no-such-user", None, "--user no-such-user: there is no such user"),
        ("4294967295", None, "--user 4294967295: there is no such user"),
        ("nobody", "no-such-group", "--group no-such-group: there is no such group"),
        ("123456789", None, "--user 123456789: the system does not know its group"),
    ],
)
def test_who_is_not_there(user: str, group: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _identity.identity(options(user, group))


def test_without_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY.pw_uid)
    monkeypatch.setattr(os, "getegid", lambda: NOBODY.pw_gid)
    # It is who it is to be.
    assert _identity.identity(options("nobody")) is None
    with pytest.raises(CommandError, match="only root can become another user"):
        _identity.identity(options("root"))
    with pytest.raises(CommandError, match="only root can become another user"):
        _identity.identity(options("nobody", "0"))
