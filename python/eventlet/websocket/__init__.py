"""WebSocket: a server, as a WSGI application, and a client.

::

    from eventlet import listen, websocket, wsgi

    @websocket.WebSocketWSGI
    def echo(ws):
        for message in ws:
            ws.send(message)

    wsgi.server(listen(("127.0.0.1", 8080)), echo)

and, elsewhere::

    with websocket.connect("ws://127.0.0.1:8080/") as ws:
        ws.send("hello")
        print(ws.wait())

`broadcast` sends a message to many connections at once.

A message is a str if it is text, and bytes if it is binary. The protocol itself is native; see
`RFC6455WebSocket` for what there is to do with a connection.
"""

from __future__ import annotations

from eventlet.websocket._broadcast import broadcast
from eventlet.websocket._client import connect
from eventlet.websocket._errors import (
    BadRequest,
    ConnectionClosedError,
    FailedConnectionError,
    HandshakeError,
    ProtocolError,
)
from eventlet.websocket._hixie import DEFAULT_MAX_FRAME_LENGTH, WebSocket
from eventlet.websocket._rfc6455 import VALID_CLOSE_STATUS, RFC6455WebSocket
from eventlet.websocket._server import ACCEPTABLE_CLIENT_ERRORS, WebSocketWSGI

__all__ = [
    "ACCEPTABLE_CLIENT_ERRORS",
    "DEFAULT_MAX_FRAME_LENGTH",
    "PROTOCOL_GUID",
    "VALID_CLOSE_STATUS",
    "BadRequest",
    "ConnectionClosedError",
    "FailedConnectionError",
    "HandshakeError",
    "ProtocolError",
    "RFC6455WebSocket",
    "WebSocket",
    "WebSocketWSGI",
    "broadcast",
    "connect",
]

#: What is appended to the key of an opening handshake (RFC 6455 section 1.3).
PROTOCOL_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
