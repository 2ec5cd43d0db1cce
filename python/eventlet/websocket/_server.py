"""The server's side of the opening handshake, as a WSGI application."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from hashlib import md5
from typing import Any

from eventlet import _core, wsgi
from eventlet.websocket._errors import BadRequest
from eventlet.websocket._hixie import DEFAULT_MAX_FRAME_LENGTH, WebSocket
from eventlet.websocket._rfc6455 import (
    GOING_AWAY,
    INTERNAL_ERROR,
    RFC6455WebSocket,
    check_pings,
)

__all__ = ["ACCEPTABLE_CLIENT_ERRORS", "WebSocketWSGI"]

#: Errors that only say that the client has gone: they end a handler without being reported.
ACCEPTABLE_CLIENT_ERRORS = {errno.ECONNRESET, errno.EPIPE, errno.ESHUTDOWN}

Handler = Callable[[Any], Any]
OriginChecker = Callable[[Any, str], Any]


class WebSocketWSGI:
    """A WSGI application that calls `handler` with each WebSocket that a client opens::

        @websocket.WebSocketWSGI
        def echo(ws):
            for message in ws:
                ws.send(message)

    The connection is closed when the handler returns. The access log gets its line then.

    All options are attributes, and may be set afterwards.

    :param handler: called with an `RFC6455WebSocket` (or, for old drafts, a `WebSocket`).
    :param max_frame_length: the longest payload of a frame that is accepted, in bytes as they are
        sent.
    :param max_message_length: the longest message that is accepted, decompressed, in bytes; None:
        as `max_frame_length`.
    :param compression: whether permessage-deflate is agreed to when a client offers it.
    :param context_takeover: whether what is compressed may refer to earlier messages, unless the
        client wants it otherwise. It compresses better, and takes some 350 KB of memory for each
        connection that has sent and received; without it an idle connection takes none.
    :param ping_interval: seconds between two pings to each client; None for none.
    :param ping_timeout: seconds that a client may take to show a sign of life after a ping; None:
        as `ping_interval`. Then the connection is given up.
    :raises ValueError: if one of these is not above 0.
    """

    def __init__(
        self,
        handler: Handler,
        max_frame_length: int = DEFAULT_MAX_FRAME_LENGTH,
        *,
        max_message_length: int | None = None,
        compression: bool = True,
        context_takeover: bool = True,
        ping_interval: float | None = None,
        ping_timeout: float | None = None,
    ) -> None:
        check_pings(ping_interval, ping_timeout)
        self.handler = handler
        self.protocol_version: int | None = None
        self.support_legacy_versions = True
        self.supported_protocols: list[str] = []
        self.origin_checker: OriginChecker | None = None
        self.max_frame_length = max_frame_length
        self.max_message_length = max_message_length
        self.compression = compression
        self.context_takeover = context_takeover
        self.ping_interval = ping_interval
        self.ping_timeout = ping_timeout

    @classmethod
    def configured(
        cls,
        handler: Handler | None = None,
        supported_protocols: list[str] | None = None,
        origin_checker: OriginChecker | None = None,
        support_legacy_versions: bool = False,
        **options: Any,
    ) -> Any:
        """Return an application with options, or a decorator that makes one.

        :param handler: as for the class; without it, a decorator is returned.
        :param supported_protocols: names of sub-protocols; the first of the client's that is among
            them is agreed to.
        :param origin_checker: called with the headers Host and Origin; if it returns something
            false, the client is answered with 403.
        :param support_legacy_versions: whether the drafts 75 and 76 are spoken as well as the
            standard.
        :param options: those of the class.
        """

        def decorate(handler: Handler) -> WebSocketWSGI:
            application = cls(handler, **options)
            application.support_legacy_versions = support_legacy_versions
            application.origin_checker = origin_checker
            if supported_protocols:
                application.supported_protocols = supported_protocols
            return application

        return decorate if handler is None else decorate(handler)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer a request; for an opening handshake, return when the handler has."""
        try:
            if not _wants_websocket(environ):
                raise BadRequest()
            if "HTTP_SEC_WEBSOCKET_VERSION" in environ:
                ws = self._handle_hybi_request(environ)
            elif self.support_legacy_versions:
                ws = self._handle_legacy_request(environ)
            else:
                raise BadRequest()
        except BadRequest as error:
            headers = [("Connection", "close"), *(error.headers or ())]
            start_response(error.status, headers)
            return [error.body or b""]
        _note_answer(environ)
        _set_idle(environ, ws)
        try:
            self._run(ws)
        finally:
            # The server sends nothing of its own then.
            wsgi.WSGI_LOCAL.already_handled = True
        return []

    def _run(self, ws: WebSocket) -> None:
        """Run the handler, and close."""
        try:
            self.handler(ws)
        except OSError as error:
            if error.errno not in ACCEPTABLE_CLIENT_ERRORS:
                _close(ws, INTERNAL_ERROR)
                raise
        except Exception:
            _close(ws, INTERNAL_ERROR)
            raise
        except BaseException:
            _close(ws, GOING_AWAY)
            raise
        _close(ws)

    def _handle_hybi_request(self, environ: dict[str, Any]) -> WebSocket:
        version = environ["HTTP_SEC_WEBSOCKET_VERSION"]
        if version not in ("8", "13"):
            raise BadRequest("426 Upgrade Required", headers=[("Sec-WebSocket-Version", "8, 13")])
        self.protocol_version = int(version)
        key = environ.get("HTTP_SEC_WEBSOCKET_KEY", "")
        if not _core.websocket_is_key(key):
            raise BadRequest()
        origin = environ.get("HTTP_ORIGIN")
        if origin is None:
            # What it was called in the drafts.
            origin = environ.get("HTTP_SEC_WEBSOCKET_ORIGIN", "") if version == "8" else ""
        checker = self.origin_checker
        if checker is not None and not checker(environ.get("HTTP_HOST"), origin):
            raise BadRequest("403 Forbidden")
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Accept: " + _core.websocket_accept(key),
        ]
        protocol = self._choose_protocol(environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", ""))
        if protocol is not None:
            lines.append("Sec-WebSocket-Protocol: " + protocol)
        offers = environ.get("HTTP_SEC_WEBSOCKET_EXTENSIONS")
        agreed = None
        if offers and self.compression:
            agreed = _core.websocket_negotiate(offers, self.context_takeover)
        extensions: dict[str, Any] | None = None
        if agreed is not None:
            extensions, header = agreed
            lines.append("Sec-WebSocket-Extensions: " + header)
        sock, received = _take_connection(environ)
        sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        ws = RFC6455WebSocket(
            sock,
            environ,
            int(version),
            protocol=protocol,
            extensions=extensions,
            max_frame_length=self.max_frame_length,
            max_message_length=self.max_message_length,
        )
        if received:
            ws._feed(received)
        if self.ping_interval is not None:
            ws.keep_alive(self.ping_interval, self.ping_timeout)
        return ws

    def _choose_protocol(self, header: str) -> str | None:
        offered = (name.strip() for name in header.split(","))
        return next((name for name in offered if name in self.supported_protocols), None)

    def _handle_legacy_request(self, environ: dict[str, Any]) -> WebSocket:
        if "HTTP_SEC_WEBSOCKET_KEY1" not in environ:
            version = 75
            lines = ["HTTP/1.1 101 Web Socket Protocol Handshake"]
            prefix = ""
        elif "HTTP_SEC_WEBSOCKET_KEY2" not in environ:
            raise BadRequest()
        else:
            version = 76
            lines = ["HTTP/1.1 101 WebSocket Protocol Handshake"]
            prefix = "Sec-"
        if "HTTP_ORIGIN" not in environ:
            raise BadRequest()
        self.protocol_version = version
        numbers = b""
        if version == 76:
            numbers = b"".join(
                self._extract_number(environ[f"HTTP_SEC_WEBSOCKET_KEY{which}"]).to_bytes(4, "big")
                for which in (1, 2)
            )
        sock, received = _take_connection(environ)
        answer = b""
        if version == 76:
            # Eight bytes follow the head, of which no header tells.
            while len(received) < 8:
                more = sock.recv(8 - len(received))
                if not more:
                    raise BadRequest()
                received += more
            answer = md5(numbers + received[:8], usedforsecurity=False).digest()
            received = received[8:]
        lines += [
            "Upgrade: WebSocket",
            "Connection: Upgrade",
            f"{prefix}WebSocket-Origin: {environ['HTTP_ORIGIN']}",
        ]
        if version == 76:
            protocol = environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "default")
            lines.append(f"Sec-WebSocket-Protocol: {protocol}")
        lines.append(f"{prefix}WebSocket-Location: {_location(environ)}")
        sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + answer)
        ws = WebSocket(sock, environ, version)
        ws._buf = received
        ws._msgs.extend(ws._parse_messages())
        return ws

    def _extract_number(self, value: str) -> int:
        """Return what a key of draft 76 stands for: its digits, divided by its spaces."""
        digits = "".join(character for character in value if character in "0123456789")
        spaces = value.count(" ")
        if not digits or not spaces or int(digits) // spaces >= 1 << 32:
            raise BadRequest()
        return int(digits) // spaces


def _wants_websocket(environ: dict[str, Any]) -> bool:
    connection = environ.get("HTTP_CONNECTION", "").lower().split(",")
    return (
        "upgrade" in (option.strip() for option in connection)
        and environ.get("HTTP_UPGRADE", "").lower() == "websocket"
        and environ.get("REQUEST_METHOD", "GET") == "GET"
    )


def _take_connection(environ: dict[str, Any]) -> tuple[Any, bytes]:
    """Return the client's socket, and what the server has read beyond the request."""
    if "eventlet.input" in environ:
        source = environ["eventlet.input"]
        sock = source.get_socket()
        take = getattr(source, "take_buffered", None)
        return sock, b"" if take is None else take()
    if "gunicorn.socket" in environ:
        return environ["gunicorn.socket"], _take_from_gunicorn(environ)
    raise RuntimeError(
        "no way to the client's socket: neither eventlet.input nor gunicorn.socket in the environ"
    )


def _take_from_gunicorn(environ: dict[str, Any]) -> bytes:
    """Return what gunicorn's parser has read beyond the head; it has no interface for that."""
    source = environ.get("wsgi.input")
    unreader = getattr(getattr(source, "reader", None), "unreader", None)
    buffer = getattr(unreader, "buf", None)
    if buffer is None or not buffer.tell():
        return b""
    received: bytes = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return received


def _note_answer(environ: dict[str, Any]) -> None:
    """Have the access log show what the handshake was answered with."""
    note = getattr(environ.get("eventlet.input"), "note_answer", None)
    if note is not None:
        note(101)


def _set_idle(environ: dict[str, Any], ws: WebSocket) -> None:
    """Have the server end the connection when it stops, rather than wait for its end."""
    set_idle = environ.get("eventlet.set_idle")
    if set_idle is None:
        return
    if isinstance(getattr(set_idle, "__self__", None), _core.Connection):
        set_idle(ws._go_away)
    else:
        set_idle()


def _close(ws: WebSocket, code: int | None = None) -> None:
    if isinstance(ws, RFC6455WebSocket):
        ws.close(close_data=None if code is None else (code, ""))
    else:
        ws._send_closing_frame(True)


def _location(environ: dict[str, Any]) -> str:
    scheme = "wss" if environ.get("wsgi.url_scheme") == "https" else "ws"
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    location = f"{scheme}://{environ.get('HTTP_HOST')}{path}"
    query = environ.get("QUERY_STRING")
    return f"{location}?{query}" if query else location
