"""A Redis server for tests, from the program that is installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from . import daemons
from .daemons import Unavailable as Unavailable


@contextlib.contextmanager
def server() -> Iterator[dict[str, object]]:
    """Start a server; the arguments with which to connect to it."""
    program = daemons.find("redis-server")

    @contextlib.contextmanager
    def start(port: int) -> Iterator[None]:
        with daemons.folder() as folder:
            options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", folder]
            with daemons.running(program, *options, ready="eady to accept", where=folder):
                yield

    with daemons.on_free_port(start) as port:
        yield {"host": "127.0.0.1", "port": port}
