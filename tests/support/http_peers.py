"""What other HTTP servers make of some bytes: h11, and the standard library's.

`look` functions take all the bytes of a connection, which the client then ends, and tell which
requests are in them, in one form for all.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import h11


@dataclass(frozen=True)
class Request:
    """A request as an application is shown it; `body` is None if it did not come to its end."""

    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    body: bytes | None


def request(
    method: str, target: str, fields: Iterable[tuple[str, str]], body: bytes | None
) -> Request:
    """A request in the form in which all are compared."""
    if target.lower().startswith(("http://", "https://")):
        # Without the authority, as applications get it.
        target = re.sub("^[^/?]*", "", target.partition("://")[2])
        target = target if target.startswith("/") else "/" + target
    # Nor are they told of a question mark with nothing after it.
    target = target.removesuffix("?")
    lines = []
    for name, value in fields:
        # Names do not depend on case, nor does the only coding that there is.
        name = name.lower()
        lines.append((name, value.lower() if name == "transfer-encoding" else value))
    return Request(method, target, tuple(lines), body)


@dataclass
class Seen:
    """What a server saw: requests, then the end.

    `end` begins with "over" (the connection ended between requests, or a request was the last),
    "cut" (it ended within one), "refused" (with a status and the reason), or "lost" (the server
    does not know where the next request begins).
    """

    requests: list[Request] = field(default_factory=list)
    end: str = "over"


def look_h11(data: bytes) -> Seen:
    """What h11 sees."""
    seen = Seen()
    conn = h11.Connection(h11.SERVER, max_incomplete_event_size=65536)
    conn.receive_data(data)
    conn.receive_data(b"")
    head: Any = None
    body = b""
    try:
        while True:
            event = conn.next_event()
            if isinstance(event, h11.Request):
                head, body = event, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                seen.requests.append(_of_h11(head, body))
                is_tunnel = head.method == b"CONNECT"
                head = None
                conn.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                if is_tunnel:
                    seen.end = "over: the request was the last"
                    return seen
                conn.send(h11.EndOfMessage())
                if conn.our_state is not h11.DONE or conn.their_state is not h11.DONE:
                    seen.end = "over: the request was the last"
                    return seen
                conn.start_next_cycle()
            elif isinstance(event, h11.ConnectionClosed):
                seen.end = "over" if not conn.trailing_data[0] else "cut: in a head"
                return seen
            else:
                seen.end = f"lost: {event}"
                return seen
    except h11.RemoteProtocolError as error:
        if "without sending complete message" in str(error) or "connection" in str(error):
            seen.end = f"cut: {error}"
        else:
            seen.end = f"refused {error.error_status_hint}: {error}"
        if head is not None:
            seen.requests.append(_of_h11(head, None))
    return seen


def _of_h11(head: Any, body: bytes | None) -> Request:
    fields = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers)
    return request(head.method.decode("latin-1"), head.target.decode("latin-1"), fields, body)


class _Handler(BaseHTTPRequestHandler):
    """Reads bodies as programs for this server do."""

    protocol_version = "HTTP/1.1"

    def __init__(self, data: bytes) -> None:
        self.rfile = io.BytesIO(data)
        self.wfile = io.BytesIO()
        self.client_address = ("127.0.0.1", 0)
        self.seen = Seen()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def parse_request(self) -> bool:
        if not self.raw_requestline.strip():
            self.seen.end = "over: an empty line"
        return super().parse_request()

    def _answer(self) -> None:
        head = (self.command, self.path, self.headers.items())
        if "Transfer-Encoding" in self.headers:
            self.seen.end = "lost: it knows no Transfer-Encoding"
            self.seen.requests.append(request(*head, None))
            self.close_connection = True
            return
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            length = -1
        if length < 0:
            self.send_error(400, "Bad Content-Length")
            return
        body = self.rfile.read(min(length, 1 << 32))
        self.seen.requests.append(request(*head, body if len(body) == length else None))
        if len(body) < length:
            self.seen.end = "cut: in a body"
            self.close_connection = True
        elif self.close_connection:
            self.seen.end = "over: the request was the last"

    def send_error(self, code: int, message: Any = None, explain: Any = None) -> None:
        self.seen.end = f"refused {int(code)}: {message}"
        self.close_connection = True

    def log_message(self, *args: Any) -> None:
        pass


def look_stdlib(data: bytes) -> Seen:
    """What the standard library's server sees."""
    handler = _Handler(data)
    handler.handle()
    return handler.seen
