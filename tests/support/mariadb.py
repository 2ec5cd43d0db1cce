"""A MariaDB server for tests, from the programs that are installed.

It listens on a Unix socket in a temporary folder only, so no port can be taken.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

from . import daemons
from .daemons import Unavailable as Unavailable


@contextlib.contextmanager
def server() -> Iterator[dict[str, str]]:
    """Start a server; the arguments with which to connect to it, for MySQLdb and PyMySQL."""
    program = daemons.find("mariadbd", "/usr/sbin/mariadbd", "/usr/local/sbin/mariadbd")
    install = daemons.find("mariadb-install-db")
    user = daemons.account("mysql")
    with daemons.folder(user) as folder:
        data = folder / "data"
        made = subprocess.run(
            [
                install,
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                f"--datadir={data}",
            ],
            check=False,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            user=user,
        )
        if made.returncode:
            raise daemons.NotStarted(f"mariadb-install-db: {made.stdout}")
        socket = folder / "socket"
        # What a crash would lose, nobody needs.
        options = [
            "--no-defaults",
            f"--datadir={data}",
            f"--socket={socket}",
            f"--pid-file={folder / 'pid'}",
            "--skip-networking",
            "--innodb-buffer-pool-size=8M",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-log-file-size=4M",
            "--max-connections=300",
        ]
        with daemons.running(
            program, *options, ready="ready for connections", where=folder, user=user
        ):
            yield {"host": "localhost", "user": "root", "passwd": "", "unix_socket": str(socket)}
