"""Load on a server, by clients that count each response and never ask twice.

A request is lost if it was sent, or its first byte was, and no whole response came. Only what the
server has closed before a request began is opened again; that is what clients do who keep
connections.
"""

from __future__ import annotations

import http.client
import select
import threading
from dataclasses import dataclass, field
from types import TracebackType

from support.processes import http_connection


@dataclass
class Result:
    """What came of the requests of a load."""

    bodies: list[bytes] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    #: What became of a request that got no response, and the last body on its connection before.
    lost: list[tuple[BaseException, bytes | None]] = field(default_factory=list)


class Load:
    """Clients that ask again and again, from its start to its end::

    with Load(port) as load:
        ...
        load.wait_for_more(100)
    assert not load.result.lost
    """

    def __init__(self, port: int, clients: int = 6, path: str = "/") -> None:
        self.result = Result()
        self._port = port
        self._path = path
        self._changed = threading.Condition()
        self._ended = False
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self.wait_for_more(2 * len(self._threads))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended = True
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()

    def wait_for_more(self, count: int) -> None:
        """Wait for so many more responses."""
        with self._changed:
            wanted = len(self.result.bodies) + count
            assert self._changed.wait_for(lambda: len(self.result.bodies) >= wanted, 20), (
                f"{len(self.result.bodies)} of {wanted} responses: {self.result.lost}"
            )

    def wait_for_body(self, body: bytes) -> None:
        """Wait for a response with this body."""
        with self._changed:
            assert self._changed.wait_for(lambda: body in self.result.bodies[-50:], 20)

    def _run(self) -> None:
        connection = None
        last = None
        while not self._ended:
            if connection is None:
                connection, last = http_connection(self._port), None
            if connection.sock is not None and _is_over(connection):
                connection.close()
                connection = None
                continue
            try:
                connection.request("GET", self._path)
                response = connection.getresponse()
                last = response.read()
            except (OSError, http.client.HTTPException) as error:
                self.result.lost.append((error, last))
                connection.close()
                connection = None
                continue
            with self._changed:
                self.result.bodies.append(last)
                self.result.statuses.append(response.status)
                self._changed.notify_all()
        if connection is not None:
            connection.close()


def _is_over(connection: http.client.HTTPConnection) -> bool:
    """Whether the server has closed it already: it has nothing to say before it is asked."""
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))
