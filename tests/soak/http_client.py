"""A small HTTP/1.1 client over a green socket, which checks what it is given.

It knows only what the soak needs: responses with a length, in chunks, or up to the end.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Any

import eventlet


class BadResponse(Exception):
    """The server sent what a server must not send."""


@dataclass
class Response:
    """One response, whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def closes(self) -> bool:
        """Whether the connection ends with this response."""
        return self.headers.get("connection", "").lower() == "close"


class Connection:
    """One connection to a server; always to be used in a `with` block."""

    def __init__(self, address: Any) -> None:
        self.sock = eventlet.connect(address)
        self._data = bytearray()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.sock.sendall(data)

    def finish(self) -> None:
        """Say that nothing more will be sent."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """End the connection as by a crash: the peer sees a reset, not an end."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def drain(self) -> bytes:
        """All that comes until the end, be it an end or a reset."""
        data = bytes(self._data)
        self._data.clear()
        try:
            while some := self.sock.recv(64 * 1024):
                data += some
        except ConnectionError:
            pass
        return data

    def response(self) -> Response:
        """Read the next response."""
        head = self._through(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, _, rest = head[0].partition(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0") or not rest[:3].isdecimal():
            raise BadResponse(f"not a status line: {head[0]!r}")
        status = int(rest[:3])
        headers: dict[str, str] = {}
        for line in head[1:-2]:
            name, colon, value = line.partition(":")
            if not colon or name.lower() in headers:
                raise BadResponse(f"a bad or doubled header: {line!r}")
            headers[name.lower()] = value.strip()
        return Response(status, headers, self._body(headers))

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int(self._through(b"\r\n").partition(b";")[0], 16):
                body += self._exactly(size)
                if self._exactly(2) != b"\r\n":
                    raise BadResponse("a chunk that is longer than it says")
            self._through(b"\r\n")
            return body
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        return self.drain()

    def _through(self, mark: bytes) -> bytes:
        while (end := self._data.find(mark)) < 0:
            self._more()
        return self._take(end + len(mark))

    def _exactly(self, size: int) -> bytes:
        while len(self._data) < size:
            self._more()
        return self._take(size)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._data[:size])
        del self._data[:size]
        return taken

    def _more(self) -> None:
        some = self.sock.recv(64 * 1024)
        if not some:
            raise BadResponse(f"the connection ended early, after {bytes(self._data[:80])!r}")
        self._data += some
