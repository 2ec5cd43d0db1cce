"""Clients that hold connections, in processes of their own: one may have only so many files."""

import multiprocessing
import socket
from collections.abc import Callable
from multiprocessing.connection import Connection

from harness.model import Failed
from harness.process import HOST
from harness.system import allow_many_files

Use = Callable[[socket.socket], None]

SPARE_FILES = 400
"""Open files that are no such connections: those of a warm-up, and what else a process has."""
SAMPLES = 100
"""How many connections are tried at the end."""


def most_connections() -> int:
    """How many connections a process may have, a client or a server."""
    room = allow_many_files() - SPARE_FILES
    if room < 1000:
        raise Failed("too few files may be open")
    return room


def _hold(parent: Connection, port: int, count: int, begin: Use | None, ask: Use) -> None:
    """Open connections, say so, and when asked how many of them have failed since."""
    conns = []
    try:
        for _ in range(count):
            conn = socket.create_connection((HOST, port), timeout=10)
            conns.append(conn)
            if begin:
                begin(conn)
            ask(conn)
    except OSError as error:
        parent.send(f"{error}, after {len(conns)}")
        return
    parent.send("")
    parent.recv()
    errors = 0
    for conn in conns[:: max(1, count // SAMPLES)]:
        try:
            ask(conn)
        except OSError:
            errors += 1
    parent.send(errors)
    # They stay open until nobody needs them any more.
    parent.recv()


class Clients:
    """A process that holds connections to a server."""

    def __init__(self, port: int, count: int, begin: Use | None, ask: Use) -> None:
        """Have it open `count` connections; `begin` and `ask` are done on each, once."""
        self.count = count
        context = multiprocessing.get_context("fork")
        self.pipe, child = context.Pipe()
        arguments = (child, port, count, begin, ask)
        self.process = context.Process(target=_hold, args=arguments, daemon=True)
        self.process.start()
        child.close()

    def _answer(self) -> object:
        try:
            return self.pipe.recv()
        except EOFError:
            raise Failed("the clients have ended") from None

    def opened(self) -> None:
        """Wait until all of them are open."""
        problem = self._answer()
        if problem:
            raise Failed(f"cannot hold {self.count} connections: {problem}")

    def errors(self) -> int:
        """How many of a hundred do not work any more."""
        self.pipe.send(None)
        return int(str(self._answer()))

    def end(self) -> None:
        """Close them all."""
        self.process.terminate()
        self.process.join()
        self.pipe.close()
