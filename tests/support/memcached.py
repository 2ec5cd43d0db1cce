"""A memcached server for tests, from the program that is installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from . import daemons
from .daemons import Unavailable as Unavailable


@contextlib.contextmanager
def server() -> Iterator[tuple[str, int]]:
    """Start a server; the address to connect to."""
    program = daemons.find("memcached")
    user = daemons.account("memcache")

    @contextlib.contextmanager
    def start(port: int) -> Iterator[None]:
        # It only says that it listens when it is asked to be very talkative.
        options = ["-l", "127.0.0.1", "-p", str(port), "-U", "0", "-vv"]
        with (
            daemons.folder(user) as folder,
            daemons.running(program, *options, ready="server listening", where=folder, user=user),
        ):
            yield

    with daemons.on_free_port(start) as port:
        yield ("127.0.0.1", port)
