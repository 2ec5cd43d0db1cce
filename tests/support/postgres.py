"""A PostgreSQL server for tests, from the binaries that are installed.

It listens on a Unix socket in a temporary folder only, so no port can be taken.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path


class Unavailable(Exception):
    """There is no server to start here, for this reason."""


def find_programs() -> Path:
    """Return the folder of `initdb` and `postgres`."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not versions:
        raise Unavailable("PostgreSQL's server is not installed")
    return versions[-1].parent


@contextlib.contextmanager
def server() -> Iterator[dict[str, str]]:
    """Start a server; the arguments with which to connect to it."""
    programs = find_programs()
    account: dict[str, str] = {}
    if os.getuid() == 0:
        # It refuses to be run by root.
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            raise Unavailable("PostgreSQL does not run as root, and has no account here") from None
        account = {"user": "postgres"}
    # A short path: that of a Unix socket may have about 100 characters.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    try:
        if account:
            shutil.chown(folder, account["user"])
        data = folder / "data"
        run = {"cwd": folder, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **account}
        made = subprocess.run(
            [programs / "initdb", "-A", "trust", "-U", "postgres", "--no-sync", "-D", data],
            check=False,
            text=True,
            **run,
        )
        if made.returncode:
            raise Unavailable(f"initdb: {made.stdout}")
        control = [programs / "pg_ctl", "-D", data, "-w"]
        options = f"-c listen_addresses='' -c fsync=off -k {folder}"
        log = folder / "log"
        started = subprocess.run(
            [*control, "-o", options, "-l", log, "start"],
            check=False,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **account,
        )
        if started.returncode:
            raise Unavailable(f"pg_ctl: {log.read_text() if log.exists() else ''}")
        try:
            yield {"host": str(folder), "user": "postgres", "dbname": "postgres"}
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=False, **run)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
