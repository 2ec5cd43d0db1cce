"""A connection as the standard has it: RFC 6455, with permessage-deflate of RFC 7692."""

from __future__ import annotations

import fcntl
import os
import socket as _socket
import struct
import termios
import time
import weakref
from collections import deque
from typing import Any

from eventlet import _core
from eventlet.greenthread import spawn_n
from eventlet.hubs import get_hub
from eventlet.timeout import Timeout
from eventlet.websocket._errors import ConnectionClosedError
from eventlet.websocket._hixie import DEFAULT_MAX_FRAME_LENGTH, WebSocket

__all__ = ["RFC6455WebSocket"]

#: How long a closing frame may take to leave, in seconds.
_CLOSE_TIMEOUT = 5.0

#: How long the peer gets to take in the closing frame before the connection is closed, in seconds.
_LINGER = 2.0

#: The codes that a closing frame may have (RFC 6455 section 7.4).
VALID_CLOSE_STATUS = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}

GOING_AWAY = 1001
INTERNAL_ERROR = 1011


class RFC6455WebSocket(_core.WebSocketBase, WebSocket):
    """One end of a connection, whose opening handshake is over.

    Attributes besides those of `WebSocket`: ``client``, ``extensions`` (what was agreed upon),
    ``max_frame_length``, ``max_message_length``, and ``close_code`` and ``close_reason``, which
    tell how the connection has ended. It can be iterated over, and used in a ``with`` statement,
    which closes it.

    :param sock: the connection.
    :param environ: the WSGI environment of the request.
    :param version: 8 or 13.
    :param protocol: the sub-protocol that was agreed upon.
    :param client: whether this is the client's end.
    :param extensions: what was agreed upon: ``{"permessage-deflate": {}}``, the inner dict with the
        flags ``server_no_context_takeover`` and ``client_no_context_takeover``, and the numbers
        ``server_max_window_bits`` and ``client_max_window_bits``.
    :param max_frame_length: the longest payload of a frame that is accepted, in bytes.
    :param max_message_length: the longest message that is accepted, decompressed, in bytes; None:
        as `max_frame_length`. Whoever sends more is disconnected with the code 1009.
    :raises ValueError: for extensions that cannot be.
    """

    _messages: deque[Any] | None = None
    _keepalive: _Keepalive | None = None

    def __init__(
        self,
        sock: Any,
        environ: dict[str, Any],
        version: int = 13,
        protocol: str | None = None,
        client: bool = False,
        extensions: dict[str, Any] | None = None,
        max_frame_length: int = DEFAULT_MAX_FRAME_LENGTH,
        max_message_length: int | None = None,
    ) -> None:
        if max_message_length is None:
            max_message_length = max_frame_length
        self._extensions = extensions
        self._configure(client, extensions, max_frame_length, max_message_length)
        self._set_up(sock, environ, version)
        self.protocol = protocol

    @property
    def extensions(self) -> dict[str, Any]:
        """What was agreed upon."""
        return {} if self._extensions is None else self._extensions

    @extensions.setter
    def extensions(self, value: dict[str, Any] | None) -> None:
        self._set_extensions(value)
        self._extensions = value

    @property
    def _msgs(self) -> deque[Any]:  # type: ignore[override]
        # Nothing of ours is in it: messages are not received before somebody wants them.
        if self._messages is None:
            self._messages = deque()
        return self._messages

    def __enter__(self) -> RFC6455WebSocket:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(close_data=(1000 if kind is None else INTERNAL_ERROR, ""))

    def ping(self, data: bytes = b"") -> None:
        """Send a ping, which the peer answers unasked.

        :param data: up to 125 bytes, which the answer repeats.
        :raises ProtocolError: for more.
        :raises OSError: if the connection is closed or broken.
        """
        self.send(data, control_code=9)

    def keep_alive(self, interval: float | None, timeout: float | None = None) -> None:
        """Ping the peer from time to time, so that a connection that is dead is found out.

        If nothing comes, the connection is given up: `wait` returns None, and ``close_code`` is
        1006. Nobody has to be in `wait` for it, but a peer that has sent what nobody takes counts
        as alive.

        :param interval: seconds between two pings; None for none.
        :param timeout: seconds that the peer may take to send something after a ping; None:
            `interval`.
        :raises ValueError: if one of them is not above 0.
        """
        check_pings(interval, timeout)
        if self._keepalive is not None:
            self._keepalive.stop()
            self._keepalive = None
        if interval is not None:
            self._keepalive = _Keepalive(self, interval, interval if timeout is None else timeout)

    def _send_closing_frame(
        self, ignore_send_errors: bool = False, close_data: tuple[int, str | bytes] | None = None
    ) -> None:
        if self.version not in (8, 13) or self.websocket_closed:
            return
        try:
            with Timeout(_CLOSE_TIMEOUT, False):
                self._send_close(_close_payload(close_data))
        except OSError:
            if not ignore_send_errors:
                raise

    def close(self, close_data: tuple[int, str | bytes] | None = None) -> None:
        """Send a closing frame, if none has been sent, and close the connection.

        It waits no longer than 5 seconds for the frame to leave, and not for the peer's: a green
        thread that is in `wait` gets None. It may be called again, and does nothing then.

        :param close_data: the code and the reason; None for a frame without. Applications have the
            codes 1000 (the end), 1001 (going away), 3000 to 4999 (their own) and others of RFC 6455
            section 7.4. A reason is cut after 123 bytes of UTF-8.
        :raises ValueError: for a code that a closing frame must not have; nothing is closed then.
        """
        if close_data is not None and close_data[0] not in VALID_CLOSE_STATUS:
            raise ValueError(
                f"no code of a closing frame: {close_data[0]!r}"
                " (1000 to 1003, 1007 to 1014 and 3000 to 4999 are)"
            )
        if self._keepalive is not None:
            self._keepalive.stop()
        try:
            self._send_closing_frame(True, close_data)
        finally:
            self._close_socket()

    def _close_socket(self) -> None:
        """Close the connection, in such a way that the peer gets to read what was sent last.

        If it may still be sending, closing at once would make the kernel answer with a reset, which
        can destroy the closing frame on its way: so what it sends is read for a moment, behind the
        caller's back.
        """
        sock = self.socket
        if sock is None:
            return
        awaited = self._awaits_close
        self.websocket_closed = True
        try:
            sock.shutdown(_socket.SHUT_WR)
            if awaited:
                spawn_n(_linger, os.dup(sock.fileno()))
        except OSError as error:
            self._log_close_error(error)
        finally:
            sock.close()

    def _go_away(self) -> None:
        """Tell the peer that the server stops, and close the connection: `wait` returns None."""
        self.close(close_data=(GOING_AWAY, ""))

    def _give_up(self) -> None:
        """Take the connection for dead."""
        self._disconnected()
        try:
            self.socket.shutdown(_socket.SHUT_RDWR)
        except OSError as error:
            self._log_close_error(error)

    def _recv_frame(self, message: Message | None = None) -> Message:
        """Receive a single frame, for a look below messages; nothing is decompressed or answered.

        :param message: the one that it may belong to.
        :raises ConnectionClosedError: at the end.
        :raises FailedConnectionError: for a frame that breaks a rule.
        """
        frame = self._next_frame()
        if frame is None:
            raise ConnectionClosedError()
        finished, compressed, opcode, payload = frame
        if message is None or opcode & 8:
            message = Message(opcode, compressed)
        message.push(payload, finished)
        return message


def check_pings(interval: float | None, timeout: float | None) -> None:
    """Refuse what cannot be a number of seconds between pings, or until a sign of life.

    :raises ValueError: if one of them is not above 0.
    """
    for name, value in (("ping_interval", interval), ("ping_timeout", timeout)):
        if value is not None and not value > 0:
            raise ValueError(f"{name} is a number of seconds above 0, or None, not {value!r}")


class Message:
    """Frames that belong together, as they came."""

    def __init__(self, opcode: int, compressed: bool) -> None:
        self.opcode = opcode
        self.compressed = compressed
        self.finished = False
        self.data: list[bytes] = []

    def push(self, data: bytes, final: bool = False) -> None:
        """Add the payload of a frame; `final` if it is the last."""
        self.data.append(data)
        self.finished = final

    def getvalue(self) -> bytes | str:
        """Return the payload: str if it is text, and not compressed."""
        data = b"".join(self.data)
        return data.decode() if self.opcode == 1 and not self.compressed else data


class _Keepalive:
    """Pings a peer. It does not keep the connection's object alive, and has one timer at a time."""

    def __init__(self, websocket: RFC6455WebSocket, interval: float, timeout: float) -> None:
        self.websocket = weakref.ref(websocket)
        self.interval = interval
        self.timeout = timeout
        self.next_ping = time.monotonic() + interval
        #: When a sign of life is due; None if none is.
        self.deadline: float | None = None
        self.timer = get_hub().schedule_call_global(interval, self.look)

    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def look(self) -> None:
        """Give up, ping, or do nothing; then wait for the next time."""
        self.timer = None
        websocket = self.websocket()
        if websocket is None or websocket.websocket_closed:
            return
        now = time.monotonic()
        if websocket._take_heard() or _has_data(websocket.socket):
            self.deadline = None
        elif self.deadline is not None and now >= self.deadline:
            websocket._give_up()
            return
        if now >= self.next_ping:
            self.next_ping = now + self.interval
            if self.deadline is None:
                self.deadline = now + self.timeout
            websocket._try_ping(b"")
        due = self.next_ping if self.deadline is None else min(self.next_ping, self.deadline)
        self.timer = get_hub().schedule_call_global(max(due - now, 0.0), self.look)


def _has_data(sock: Any) -> bool:
    """Tell whether the kernel has data of the peer that nobody has read."""
    try:
        size = fcntl.ioctl(sock.fileno(), termios.FIONREAD, struct.pack("i", 0))
    except OSError:
        return False
    return bool(struct.unpack("i", size)[0])


def _close_payload(close_data: tuple[int, str | bytes] | None) -> bytes:
    if close_data is None:
        return b""
    code, reason = close_data
    if isinstance(reason, str):
        reason = reason.encode()
    if len(reason) > 123:
        # Cut between two characters.
        reason = reason[:123].decode("utf-8", "ignore").encode()
    return struct.pack("!H", code) + reason


def _linger(fileno: int) -> None:
    """Read what still comes until the peer has finished, then close."""
    from eventlet.greenio import GreenSocket

    sock = GreenSocket(fileno=fileno)
    try:
        with Timeout(_LINGER, False):
            while sock.recv(65536):
                pass
    except OSError:
        pass
    finally:
        sock.close()


def receive(sock: Any, size: int, seconds: float) -> Any:
    """Receive from a socket with methods of its own, for so many seconds at the most.

    :raises TimeoutError: when they are over.
    """
    with Timeout(seconds, TimeoutError("timed out")):
        return sock.recv(size)
