"""`eventlet serve` under test: started in a folder of its own, and its workers looked at."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from support.processes import PATIENCE, Program

#: Answers with the number of its process, and does what else tests need.
APP = """\
import os, sys, time
import eventlet

# Said by the hub, so by a worker that serves.
eventlet.spawn(lambda: sys.stdout.write(f"up {os.getpid()}\\n") and sys.stdout.flush())

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/hold":
        # Runs until the test creates the file; says so first.
        sys.stdout.write("holding\\n")
        sys.stdout.flush()
        while not os.path.exists("release"):
            eventlet.sleep(0.01)
    if path == "/block":
        sys.stdout.write("blocking\\n")
        sys.stdout.flush()
        while True:
            pass
    if path == "/fail":
        raise RuntimeError("on purpose")
    body = str(os.getpid()).encode() if path != "/version" else b"one"
    if path == "/multiprocess":
        body = str(environ["wsgi.multiprocess"]).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


def start(
    folder: Path,
    *args: str | Path,
    app: str = "pids:app",
    bind: Iterable[str] = ("127.0.0.1:0",),
    env: dict[str, str] | None = None,
    wait: bool = True,
) -> Program:
    """Start `eventlet serve` in a folder, whose `pids.py` is `APP` unless there is one."""
    if not (folder / "pids.py").exists():
        (folder / "pids.py").write_text(APP)
    binds = [part for address in bind for part in ("--bind", address)]
    program = Program("-m", "eventlet", "serve", app, *binds, *args, cwd=folder, env=env)
    if wait:
        program.wait_for(r"^eventlet \S+ serving .*$")
    return program


def workers(program: Program, count: int, without: Iterable[int] = ()) -> set[int]:
    """The numbers of the workers, once so many serve, and none of the others is there any more."""
    end = time.monotonic() + PATIENCE
    arbiter = psutil.Process(program.pid)
    while True:
        pids = {child.pid for child in arbiter.children() if _is_running(child)}
        up = all(f"up {pid}\n" in program.stdout for pid in pids)
        if up and len(pids) == count and not pids & {*without}:
            return pids
        assert program.process.poll() is None, program.stderr
        assert time.monotonic() < end, (pids, program.stdout, program.stderr)
        time.sleep(0.02)


def _is_running(process: psutil.Process) -> bool:
    try:
        # What has ended and lost its parent may stay in the table until the system looks at it.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for_end(pids: Iterable[int]) -> None:
    """Wait until processes have ended that are not ours to wait for."""
    left = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.append(psutil.Process(pid))
    end = time.monotonic() + PATIENCE
    while left := [process for process in left if _is_running(process)]:
        assert time.monotonic() < end, left
        time.sleep(0.01)
