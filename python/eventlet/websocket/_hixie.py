"""The drafts 75 and 76, which came before the standard, and what all versions share."""

from __future__ import annotations

import errno
import socket as _socket
import sys
from collections import deque
from collections.abc import Iterator
from typing import Any

from eventlet.semaphore import Semaphore

__all__ = ["DEFAULT_MAX_FRAME_LENGTH", "WebSocket"]

#: The longest frame that is accepted, in bytes, unless told otherwise.
DEFAULT_MAX_FRAME_LENGTH = 8 << 20


class WebSocket:
    """A connection as the drafts have it: text between a byte 0 and a byte 255.

    Attributes: ``path``, ``origin`` and ``protocol`` say what the client has asked for, ``environ``
    is all of its request; ``version``, ``socket``, ``log`` (a file); ``websocket_closed`` is True
    when this end has said that it closes, or the other one has.

    :param sock: the connection.
    :param environ: the WSGI environment of the request.
    :param version: 75 or 76.
    """

    _buf: bytes

    def __init__(self, sock: Any, environ: dict[str, Any], version: int = 76) -> None:
        self._set_up(sock, environ, version)
        self.websocket_closed = False
        self._buf = b""
        self._msgs: deque[Any] = deque()
        self._sendlock = Semaphore()

    def _set_up(self, sock: Any, environ: dict[str, Any], version: int) -> None:
        self.log: Any = environ.get("wsgi.errors", sys.stderr)
        self.socket = sock
        self.origin = environ.get("HTTP_ORIGIN")
        self.protocol = environ.get("HTTP_WEBSOCKET_PROTOCOL")
        self.path = environ.get("PATH_INFO")
        self.environ = environ
        self.version = version

    @property
    def log_context(self) -> str:
        """The connection in a line of the log."""
        environ = self.environ
        return "server={}/{} client={}:{}".format(
            environ.get("HTTP_HOST"),
            environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""),
            environ.get("REMOTE_ADDR"),
            environ.get("REMOTE_PORT"),
        )

    def _pack_message(self, message: Any) -> bytes:
        if isinstance(message, str):
            message = message.encode()
        elif not isinstance(message, bytes):
            message = str(message).encode()
        return b"\x00%b\xff" % message

    def _parse_messages(self) -> list[str]:
        """Take the complete messages out of the buffer."""
        messages = []
        while self._buf:
            kind = self._buf[0]
            if kind == 0:
                end = self._buf.find(b"\xff")
                if end < 0:
                    if len(self._buf) > DEFAULT_MAX_FRAME_LENGTH:
                        raise ValueError(f"message of more than {DEFAULT_MAX_FRAME_LENGTH} bytes")
                    break
                messages.append(self._buf[1:end].decode("utf-8", "replace"))
                self._buf = self._buf[end + 1 :]
            elif kind == 0xFF:
                if len(self._buf) == 1:
                    break
                if self._buf[1] != 0:
                    raise ValueError(f"invalid closing handshake: {self._buf!r}")
                self.websocket_closed = True
                break
            else:
                raise ValueError(f"unknown kind of frame: {self._buf[:40]!r}")
        return messages

    def send(self, message: Any) -> None:
        """Send a message as text.

        :param message: a str, bytes that are UTF-8, or anything whose str() is meant.
        :raises OSError: if the connection is closed or broken.
        """
        packed = self._pack_message(message)
        with self._sendlock:
            self.socket.sendall(packed)

    def wait(self) -> Any:
        """Wait for a message, and return it; None when the connection is closed.

        :raises ValueError: if what comes is no message.
        """
        while not self._msgs:
            if self.websocket_closed:
                return None
            received = self.socket.recv(8192)
            if received == b"":
                return None
            self._buf += received
            self._msgs.extend(self._parse_messages())
        return self._msgs.popleft()

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the messages until the connection is closed."""
        while (message := self.wait()) is not None:
            yield message

    def _send_closing_frame(self, ignore_send_errors: bool = False) -> None:
        if self.version != 76 or self.websocket_closed:
            return
        self.websocket_closed = True
        try:
            self.socket.sendall(b"\xff\x00")
        except OSError:
            if not ignore_send_errors:
                raise

    def close(self) -> None:
        """Close the connection. It is also closed when the handler returns."""
        try:
            self._send_closing_frame(True)
            self.socket.shutdown(_socket.SHUT_WR)
        except OSError as error:
            self._log_close_error(error)
        finally:
            self.socket.close()

    def _go_away(self) -> None:
        """Tell the peer that the server stops, and close the connection: `wait` returns None."""
        self.close()

    def _log_close_error(self, error: OSError) -> None:
        if error.errno not in {errno.ENOTCONN, errno.EBADF}:
            self.log.write(f"{self.log_context} socket shutdown error: {error}\n")
