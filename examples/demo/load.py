"""The load the demo's buttons make, all of it in the same process and OS thread as the server."""

from __future__ import annotations

import random
import re
import time
from typing import Any

import eventlet

CLIENTS = 64  # connections over which requests are made
NAPS = 100  # how often a sleeper sleeps ...
NAP = 0.1  # ... and for how many seconds
SPEECH = 20.0  # seconds a chat guest stays

MOST_SLEEPERS = 100_000
MOST_REQUESTS = 500_000
MOST_GUESTS = 2_000

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Load:
    """What is going on, and what came of it."""

    def __init__(self, web: tuple[str, int], chat: tuple[str, int]) -> None:
        self.web = web
        self.chat = chat
        self.sleepers = 0
        self.requests_left = 0
        self.client_sockets = 0
        self.last_run = ""

    def spawn_sleepers(self, count: int) -> int:
        """Spawn green threads that sleep again and again; how many were spawned."""
        count = max(0, min(count, MOST_SLEEPERS - self.sleepers))
        self.sleepers += count
        for _ in range(count):
            eventlet.spawn_n(self._sleeper)
        return count

    def _sleeper(self) -> None:
        # Not all at the same moment.
        eventlet.sleep(random.random() * NAP)
        for _ in range(NAPS):
            eventlet.sleep(NAP)
        self.sleepers -= 1

    def spawn_requests(self, count: int) -> int:
        """Make requests to ourselves, in the background; how many will be made."""
        count = max(0, min(count, MOST_REQUESTS - self.requests_left))
        self.requests_left += count
        eventlet.spawn_n(self._request_run, count)
        return count

    def _request_run(self, count: int) -> None:
        start = time.monotonic()
        shares = [count // CLIENTS + (n < count % CLIENTS) for n in range(CLIENTS)]
        clients = [eventlet.spawn(self._client, share) for share in shares if share]
        done = sum(client.wait() for client in clients)
        seconds = time.monotonic() - start
        if done:
            self.last_run = f"{done:,} requests in {seconds:.2f} s: {done / seconds:,.0f} a second"
        if done < count:
            self.last_run = f"{count - done:,} of {count:,} requests failed"

    def _client(self, count: int) -> int:
        """Make requests one after the other on one connection; how many were answered."""
        request = b"GET /ping HTTP/1.1\r\nHost: %b\r\n\r\n" % self.web[0].encode()
        answered = 0
        try:
            sock = eventlet.connect(self.web)
            self.client_sockets += 1
            try:
                for _ in range(count):
                    sock.sendall(request)
                    _read_response(sock)
                    answered += 1
                    self.requests_left -= 1
            finally:
                self.client_sockets -= 1
                sock.close()
        except OSError:
            self.requests_left -= count - answered
        return answered

    def spawn_guests(self, count: int) -> int:
        """Bring guests into the chat, who leave after a while; how many come."""
        count = max(0, min(count, MOST_GUESTS))
        for number in range(count):
            eventlet.spawn_n(self._guest, number)
        return count

    def _guest(self, number: int) -> None:
        try:
            sock = eventlet.connect(self.chat)
        except OSError:
            return
        self.client_sockets += 1
        listener = eventlet.spawn(_listen, sock)
        try:
            end = time.monotonic() + SPEECH
            while (left := end - time.monotonic()) > 0:
                eventlet.sleep(min(left, random.uniform(2, 10)))
                sock.sendall(b"guest %d says hello\n" % number)
        except OSError:
            pass
        finally:
            self.client_sockets -= 1
            listener.kill()
            sock.close()


def _listen(sock: Any) -> None:
    """Take what the chat sends, so that it need not drop us."""
    try:
        while sock.recv(4096):
            pass
    except OSError:
        pass


def _read_response(sock: Any) -> None:
    """Read a response that says how long it is; OSError if it does not come whole."""
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += _some(sock)
    length = _LENGTH.search(data, 0, end)
    if length is None:
        raise OSError("a response without a length")
    missing = end + 4 + int(length[1]) - len(data)
    while missing > 0:
        missing -= len(_some(sock))


def _some(sock: Any) -> bytes:
    data: bytes = sock.recv(4096)
    if not data:
        raise ConnectionError("the server closed the connection")
    return data
