"""A PostgreSQL server for tests, from the programs that are installed.

It listens on a Unix socket in a temporary folder only, so no port can be taken.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from . import daemons
from .daemons import Unavailable as Unavailable


@contextlib.contextmanager
def server() -> Iterator[dict[str, str]]:
    """Start a server; the arguments with which to connect to it."""
    programs = find_programs()
    user = daemons.account("postgres")
    with daemons.folder(user) as folder:
        data = folder / "data"
        options = ["-A", "trust", "-U", "postgres", "--no-sync", "--lc-messages=C"]
        made = subprocess.run(
            [programs / "initdb", *options, data],
            check=False,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            user=user,
        )
        if made.returncode:
            raise daemons.NotStarted(f"initdb: {made.stdout}")
        options = ["-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
        with daemons.running(
            programs / "postgres",
            *options,
            ready="ready to accept connections",
            where=folder,
            user=user,
        ):
            yield {"host": str(folder), "user": "postgres", "dbname": "postgres"}


def find_programs() -> Path:
    """Return the folder of `initdb` and `postgres`."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not versions:
        raise Unavailable("PostgreSQL's server is not installed")
    return versions[-1].parent
