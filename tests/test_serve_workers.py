"""`eventlet serve --workers`: workers that die, are replaced, reload, drain; no request is lost."""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from eventlet.cli._arbiter import Arbiter
from eventlet.cli._shared import Figures
from eventlet.cli._systemd import Notifier
from support.load import Load
from support.processes import PATIENCE, Program, fetch, http_connection
from support.serving import APP, start, wait_for_end, workers

QUIET = ("--access-log", "off")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """A function that starts a server in the test's folder."""
    programs = []

    def run(*args: str | Path, **kwargs: object) -> Program:
        programs.append(start(tmp_path, *QUIET, *args, **kwargs))  # type: ignore[arg-type]
        return programs[-1]

    yield run
    for program in programs:
        children = []
        if program.process.poll() is None:
            children = psutil.Process(program.pid).children()
        program.__exit__(*sys.exc_info())
        # Without their arbiter they stop by themselves; this is for those that are stuck.
        _, alive = psutil.wait_procs(children, 5)
        for child in alive:
            child.kill()


def pids(load: Load) -> set[int]:
    """The processes that answered."""
    return {int(body) for body in load.result.bodies}


def test_workers_serve(serve: Callable[..., Program]) -> None:
    program = serve("--workers", "2")
    assert re.search(r"with 2 workers \(pid \d+\); Ctrl-C stops$", program.stdout, re.M)
    children = workers(program, 2)
    with Load(program.port(), 8) as load:
        load.wait_for_more(50)
    assert pids(load) <= children
    assert not load.result.lost
    assert fetch(program.port(), "/multiprocess")[1] == b"True"
    assert program.stop() == 0
    assert program.stderr == ""
    wait_for_end(children)


def test_a_killed_worker_is_replaced(serve: Callable[..., Program]) -> None:
    program = serve("--workers", "2")
    before = workers(program, 2)
    with Load(program.port()) as load:
        victim = max(before)
        os.kill(victim, signal.SIGKILL)
        after = workers(program, 2, without=[victim])
        load.wait_for_more(100)
    # Those that it had, at most one a client.
    assert len(load.result.lost) <= 6
    assert all(last in (None, str(victim).encode()) for _, last in load.result.lost)
    assert pids(load) <= before | after
    # It may be killed when it serves, but has not said so yet.
    program.wait_for(f"worker {victim} ended by SIGKILL", "stderr")
    assert program.stop() == 0


def test_a_reload_loses_nothing(serve: Callable[..., Program], tmp_path: Path) -> None:
    program = serve("--workers", "2")
    before = workers(program, 2)
    with Load(program.port(), path="/version") as load:
        for version in ("two", "three"):
            (tmp_path / "pids.py").write_text(APP.replace('b"one"', f'b"{version}"'))
            # The time of a file may not tell two versions of one length apart.
            for cached in tmp_path.glob("__pycache__/*"):
                cached.unlink()
            program.send(signal.SIGHUP)
            load.wait_for_body(version.encode())
        program.wait_for(r"(eventlet: reloading\n(.*\n)*){2}eventlet: reloaded")
        wait_for_end(before)
        load.wait_for_more(20)
    assert not load.result.lost
    assert {*load.result.bodies} == {b"one", b"two", b"three"}
    assert program.stop() == 0
    assert program.stderr == ""


def test_a_reload_that_fails_changes_nothing(serve: Callable[..., Program], tmp_path: Path) -> None:
    program = serve("--workers", "2")
    before = workers(program, 2)
    (tmp_path / "pids.py").write_text("1 / 0\n")
    with Load(program.port()) as load:
        program.send(signal.SIGHUP)
        program.wait_for("reloading failed; going on with the workers there were", "stderr")
        load.wait_for_more(20)
        assert workers(program, 2) == before
    assert not load.result.lost
    assert program.stderr.count("ZeroDivisionError: division by zero") == 2  # traceback, message
    # It works once the application does.
    (tmp_path / "pids.py").write_text(APP)
    program.send(signal.SIGHUP)
    program.wait_for("^eventlet: reloaded$")
    assert program.stop() == 0


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_module\n", "importing 'pids' failed: ModuleNotFoundError"),
        ("app = 5\n", "'pids:app' is of type int"),
        ("import os\nos._exit(3)\n", r"worker \d+ ended with status 3 while it started"),
        (
            "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
            r"worker \d+ ended by SIGKILL while it started",
        ),
    ],
)
def test_an_application_that_cannot_start_ends_it(
    source: str, message: str, serve: Callable[..., Program], tmp_path: Path
) -> None:
    (tmp_path / "pids.py").write_text(source)
    program = serve("--workers", "4", wait=False)
    assert program.wait() == 1
    assert len(re.findall(message, program.stderr)) == 1
    assert program.stdout == ""


def test_the_number_of_workers_can_be_changed(serve: Callable[..., Program]) -> None:
    program = serve("--workers", "1")
    (first,) = workers(program, 1)
    program.send(signal.SIGTTIN)
    assert first in workers(program, 2)
    program.send(signal.SIGTTOU)
    assert workers(program, 1) == {first}
    program.send(signal.SIGTTOU)  # There is always one.
    assert fetch(program.port()) == (200, str(first).encode())
    assert program.stop() == 0


def test_a_stuck_worker_is_replaced(serve: Callable[..., Program]) -> None:
    program = serve("--workers", "1", "--worker-timeout", "1")
    (stuck,) = workers(program, 1)
    connection = http_connection(program.port())
    connection.request("GET", "/block")
    program.wait_for("^blocking$")
    workers(program, 1, without=[stuck])
    assert re.search(rf"worker {stuck} has been held up for [1-9]\.\d s", program.stderr)
    # Its stack says where.
    assert re.search(r'File ".*pids\.py", line \d+ in app', program.stderr)
    connection.close()
    assert fetch(program.port())[0] == 200
    assert program.stop() == 0


def test_workers_are_replaced_after_some_requests(serve: Callable[..., Program]) -> None:
    program = serve("--workers", "1", "--max-requests", "20", "--max-requests-jitter", "5")
    (first,) = workers(program, 1)
    with Load(program.port(), 4) as load:
        workers(program, 1, without=[first])
        load.wait_for_more(5)
    assert not load.result.lost
    assert len(pids(load)) > 1
    assert program.stop() == 0
    assert program.stderr == ""


def hold(port: int) -> tuple[threading.Thread, list[object]]:
    """A request for /hold in another thread, and where its outcome goes."""
    outcome: list[object] = []

    def ask() -> None:
        try:
            outcome.append(fetch(port, "/hold")[0])
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    return thread, outcome


@pytest.mark.parametrize("target", ["arbiter", "group", "all"])
def test_running_requests_finish(
    target: str, serve: Callable[..., Program], tmp_path: Path
) -> None:
    program = serve("--workers", "2")
    children = workers(program, 2)
    thread, outcome = hold(program.port())
    program.wait_for("^holding$")
    if target == "arbiter":
        program.send(signal.SIGTERM)
    elif target == "group":
        # What Ctrl-C does; the tests' own process is in the group, too.
        for pid in (program.pid, *children):
            os.kill(pid, signal.SIGINT)
    else:
        # What systemd does, more than once.
        for pid in (*children, program.pid, *children):
            os.kill(pid, signal.SIGTERM)
    port = program.port()
    end = time.monotonic() + PATIENCE
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                break
        assert time.monotonic() < end
        time.sleep(0.01)
    (tmp_path / "release").touch()
    thread.join(PATIENCE)
    assert outcome == [200]
    assert program.wait() == 0


def test_requests_that_take_too_long_are_cut_off(serve: Callable[..., Program]) -> None:
    program = serve("--workers", "1", "--graceful-timeout", "0.2")
    hold(program.port())
    program.wait_for("^holding$")
    assert program.stop() == 0
    assert "eventlet: requests still running after 0.2 s were cut off\n" in program.stderr


#: Becomes a server on a terminal, whose other end it inherits.
ON_A_TERMINAL = """\
import fcntl, os, sys, termios
os.setsid()
os.dup2(int(sys.argv[1]), 0)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "eventlet", "serve", *sys.argv[2:]])
"""


@pytest.mark.parametrize("many", [(), ("--workers", "2")])
def test_it_ends_with_its_terminal(many: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "pids.py").write_text(APP)
    ours, theirs = os.openpty()
    os.set_inheritable(theirs, True)
    args = ("-c", ON_A_TERMINAL, str(theirs), "pids:app", "-b", "127.0.0.1:0", *QUIET, *many)
    with Program(*args, cwd=tmp_path, pass_fds=[theirs]) as program:
        os.close(theirs)
        assert fetch(program.port())[0] == 200
        # While it is there, the signal is an order to reload.
        program.send(signal.SIGHUP)
        if many:
            program.wait_for("^eventlet: reloaded$")
        assert fetch(program.port())[0] == 200
        os.close(ours)
        assert program.wait() == 0


@pytest.mark.parametrize(
    ("signals", "status"),
    [
        ([signal.SIGTERM, signal.SIGINT], 130),
        ([signal.SIGINT, signal.SIGTERM], 143),
        ([signal.SIGQUIT], 131),
    ],
)
def test_it_can_be_ended_at_once(
    signals: list[signal.Signals], status: int, serve: Callable[..., Program], tmp_path: Path
) -> None:
    program = serve("--workers", "2", bind=["127.0.0.1:0", "unix:pids.sock"])
    children = workers(program, 2)
    hold(program.port())
    program.wait_for("^holding$")
    for number in signals[:-1]:
        program.send(number)
        while (tmp_path / "pids.sock").exists():
            time.sleep(0.01)
    assert program.stop(signals[-1]) == status
    wait_for_end(children)
    assert not (tmp_path / "pids.sock").exists()


def test_workers_do_not_outlive_the_arbiter(serve: Callable[..., Program]) -> None:
    program = serve("--workers", "2")
    children = workers(program, 2)
    program.process.kill()
    wait_for_end(children)
    assert program.wait() == -signal.SIGKILL


def test_a_unix_socket_outlives_workers(serve: Callable[..., Program], tmp_path: Path) -> None:
    program = serve("--workers", "1", bind=["127.0.0.1:0", "unix:pids.sock?mode=600"])
    (first,) = workers(program, 1)
    os.kill(first, signal.SIGTERM)
    workers(program, 1, without=[first])
    path = tmp_path / "pids.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    assert fetch(program.port())[0] == 200
    assert program.stop() == 0
    assert program.stderr == ""
    assert not path.exists()


def test_workers_may_have_queues_of_their_own(serve: Callable[..., Program]) -> None:
    program = serve("--workers", "2", "--reuse-port")
    before = workers(program, 2)
    with Load(program.port(), 16) as load:
        program.send(signal.SIGHUP)
        program.wait_for("^eventlet: reloaded$")
        wait_for_end(before)
        load.wait_for_more(100)
    assert not load.result.lost
    # With so many clients, hardly any worker remains without one.
    assert len(pids(load) - before) == 2
    assert program.stop() == 0


def test_without_descriptors_it_goes_on(serve: Callable[..., Program], tmp_path: Path) -> None:
    few = 60
    (tmp_path / "pids.py").write_text(
        f"import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, ({few}, {few}))\n" + APP
    )
    program = serve("--workers", "1")
    port = program.port()
    with Load(port, 2) as load:
        idle = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(2 * few)]
        program.wait_for("cannot accept connections for now", "stderr")
        # Those that it has are served.
        load.wait_for_more(20)
        for sock in idle:
            sock.close()
        assert fetch(port)[0] == 200
        load.wait_for_more(20)
    assert not load.result.lost
    assert program.stop() == 0
    # Said when it begins, not at each attempt; it may begin more than once.
    assert 1 <= program.stderr.count("cannot accept") <= 20


def test_it_does_not_wait_long_for_the_first_ones_to_be_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    args = argparse.Namespace(reload=False, workers=1, error_log=None)
    arbiter = Arbiter(args, [], Figures(), Notifier({}))
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    pauses = []
    for _ in range(14):
        arbiter._back_off()
        pauses.append(arbiter._next_spawn - now)
    assert pauses[0] <= 0
    assert pauses[1] == pytest.approx(0.1)
    assert pauses[5] == pytest.approx(1.6)
    assert pauses[-1] == pytest.approx(30)


def test_workers_that_die_at_once_are_not_replaced_at_once(
    serve: Callable[..., Program], tmp_path: Path
) -> None:
    (tmp_path / "pids.py").write_text(
        APP + "\neventlet.spawn_after(0.05, lambda: os.kill(os.getpid(), 9))\n"
    )
    program = serve("--workers", "1")
    started = time.monotonic()
    program.wait_for(r"(ended by SIGKILL(.|\n)*){5}", "stderr")
    # 0 + 0.1 + 0.2 + 0.4 seconds between the five.
    assert time.monotonic() - started > 0.7
    assert program.stop() == 0


@pytest.mark.parametrize("soon", [True, False])
def test_a_server_that_fails_ends_its_worker(
    soon: bool, serve: Callable[..., Program], tmp_path: Path
) -> None:
    breaking = "wsgi.Server.serve_forever = lambda self: 1 / 0\n"
    if not soon:
        breaking = "wsgi.Server.serve_forever = lambda self: (eventlet.sleep(0.05), 1 / 0)\n"
    (tmp_path / "pids.py").write_text(f"from eventlet import wsgi\n{APP}\n{breaking}")
    program = serve("--workers", "1", wait=False)
    if soon:
        # Before it serves, that is an application that cannot start.
        assert program.wait() == 1
        assert program.stderr.count("Traceback") == 1
        return
    started = time.monotonic()
    program.wait_for(r"(ended with status 1; starting another one(.|\n)*){4}", "stderr")
    # 0 + 0.1 + 0.2 seconds between the four.
    assert time.monotonic() - started > 0.3
    assert program.stop() == 0


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_workers_inherit_no_descriptors(serve: Callable[..., Program]) -> None:
    program = serve("--workers", "3")
    children = workers(program, 3)

    def sockets(pid: int) -> int:
        links = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
        return sum(link.startswith("socket:") for link in links)

    # The last one was started when there were two others already.
    assert len({sockets(pid) for pid in children}) == 1
    assert program.stop() == 0


def test_handlers_at_exit_run(serve: Callable[..., Program], tmp_path: Path) -> None:
    (tmp_path / "pids.py").write_text(
        APP + "\nimport atexit\natexit.register(print, 'at exit', flush=True)\n"
    )
    program = serve("--workers", "2")
    workers(program, 2)
    assert program.stop() == 0
    assert program.stdout.count("at exit") == 2


def test_programs_of_the_application_can_be_interrupted(
    serve: Callable[..., Program], tmp_path: Path
) -> None:
    code = "import signal; print('SIGINT', signal.getsignal(signal.SIGINT).__name__)"
    (tmp_path / "pids.py").write_text(
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {code!r}])\n{APP}"
    )
    program = serve("--workers", "1")
    program.wait_for("^SIGINT default_int_handler$")
    assert program.stop() == 0


def test_a_worker_that_does_not_come_up_is_given_up(
    serve: Callable[..., Program], tmp_path: Path
) -> None:
    (tmp_path / "pids.py").write_text("while True:\n    pass\n")
    program = serve("--workers", "2", "--boot-timeout", "0.5", wait=False)
    assert program.wait() == 1
    assert re.search(
        r"worker \d+ has not imported the application within 0\.5 s \(--boot-timeout\)",
        program.stderr,
    )
    # Its stack.
    assert re.search(r'File ".*pids\.py", line [12]', program.stderr)


def test_workers_auto(serve: Callable[..., Program]) -> None:
    program = serve("--workers", "auto")
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert program.wait_for(r"with (\d+) workers? \(pid")[1] == str(count)
    assert program.stop() == 0
