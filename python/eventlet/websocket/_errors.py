"""What can go wrong with a WebSocket."""

from __future__ import annotations

__all__ = [
    "BadRequest",
    "ConnectionClosedError",
    "FailedConnectionError",
    "HandshakeError",
    "ProtocolError",
]


class BadRequest(Exception):
    """A request that is no opening handshake, or not one that is accepted.

    :param status: the status line of the answer.
    :param body: its body.
    :param headers: headers to add to it.
    """

    def __init__(
        self,
        status: str = "400 Bad Request",
        body: bytes | None = None,
        headers: list[tuple[str, str]] | None = None,
    ) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = headers


class ConnectionClosedError(Exception):
    """The connection ended within a frame."""


class FailedConnectionError(Exception):
    """The peer broke a rule of the protocol.

    :param status: the code that the connection is closed with.
    :param message: what was wrong.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


class HandshakeError(ConnectionError):
    """A server, or a proxy, does not open a WebSocket.

    :param message: what is wrong with its answer.
    :param status: the status code of the answer, if it is one.
    :param headers: its headers, with names in lower case.
    :param body: the beginning of its body, as far as it had been received.
    """

    def __init__(
        self,
        message: str,
        status: int | None = None,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {} if headers is None else headers
        self.body = body


class ProtocolError(ValueError):
    """A frame that must not be sent."""
