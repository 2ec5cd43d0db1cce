"""Servers of other projects for the tests: what is common to starting and stopping them.

Each has its data in a temporary folder of its own, says on its output when it is ready, and ends
with the test run, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

PATIENCE = 60.0  # seconds a server may take to start
ATTEMPTS = 5  # a free port may be somebody else's by the time it is used


class Unavailable(Exception):
    """There is no server to start here, for this reason."""


class NotStarted(Exception):
    """The server is installed, and ended before it was ready: what it said."""


def find(*programs: str) -> str:
    """Return the path of the first of these programs that is there; paths, or names on PATH."""
    for program in programs:
        found = shutil.which(program)
        if found is not None:
            return found
    raise Unavailable(f"{programs[0]} is not installed")


def account(name: str) -> str | None:
    """Return the user to run a server as that refuses to be run by root: None is this one."""
    if os.getuid() != 0:
        return None
    try:
        pwd.getpwnam(name)
    except KeyError:
        raise Unavailable(f"it does not run as root, and there is no user {name} here") from None
    return name


@contextlib.contextmanager
def folder(user: str | None = None) -> Iterator[Path]:
    """A temporary folder that belongs to `user`."""
    # A short path: that of a Unix socket may have about 100 characters.
    path = Path(tempfile.mkdtemp(prefix="d"))
    try:
        if user is not None:
            shutil.chown(path, user)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def free_port() -> int:
    """Return a port of loopback that nobody listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


@contextlib.contextmanager
def on_free_port(
    start: Callable[[int], contextlib.AbstractContextManager[object]],
) -> Iterator[int]:
    """Start a server by `start(port)`; the port it got."""
    with contextlib.ExitStack() as stack:
        for attempt in range(ATTEMPTS):
            port = free_port()
            try:
                stack.enter_context(start(port))
                break
            except NotStarted:
                if attempt == ATTEMPTS - 1:
                    raise
        yield port


@contextlib.contextmanager
def running(
    *command: str | Path,
    ready: str,
    where: Path,
    user: str | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Run a server in a folder from when its output has had `ready`, a pattern, in it.

    NotStarted if it ends before, TimeoutError if it takes too long.
    """
    keeper = Path(__file__).with_name("keeper.py")
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", keeper, where, user or "", ready, *command],
        cwd=where,
        env={**os.environ, **(env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
        # Signals for the group of this process are not for it.
        start_new_session=True,
    )
    try:
        if not select.select([process.stdout], [], [], PATIENCE)[0]:
            raise TimeoutError(f"{command[0]} is not ready after {PATIENCE} s")
        line = process.stdout.readline()
        if line != "ready\n":
            raise NotStarted(f"{command[0]}:\n{line}{process.stdout.read()}")
        yield
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
