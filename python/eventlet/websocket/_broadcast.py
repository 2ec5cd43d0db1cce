"""One message for many connections."""

from __future__ import annotations

from collections.abc import Iterable

from eventlet import _core
from eventlet.websocket._rfc6455 import RFC6455WebSocket

__all__ = ["broadcast"]


def broadcast(
    connections: Iterable[RFC6455WebSocket],
    message: str | bytes | bytearray | memoryview,
    *,
    max_pending: int = 256 << 10,
) -> list[RFC6455WebSocket]:
    """Send a message to many connections without waiting for any of them.

    It costs less than a loop with `RFC6455WebSocket.send`, and a client that takes nothing holds
    nobody up. What a client does not take at once is kept for it, and leaves as soon as it can,
    before anything that is sent to it later. If too much would be kept, the client does not get the
    message at all; its connection is in the result, and stays usable::

        for ws in websocket.broadcast(everybody, "news"):
            eventlet.spawn_n(ws.close, (1013, "too slow"))

    Nothing else runs meanwhile, so `connections` may be a set that other green threads change.

    :param connections: those that get it; client's ends, compressed and TLS connections are fine.
    :param message: a str for text, anything bytes-like for binary.
    :param max_pending: how many bytes may wait for one connection, beyond what its socket has
        taken. A message that would be the only one to wait may be longer.
    :return: the connections that do not get it: they are closed, have broken, are within a message
        that is sent in fragments, or have too much waiting for them.
    :raises TypeError: if `message` is neither text nor bytes, or one of `connections` is no
        `RFC6455WebSocket`; nobody gets it then.
    """
    return _core.websocket_broadcast(connections, message, max_pending)
