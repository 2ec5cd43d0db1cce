"""WebSocket as an application for granian's own interface: echo, and a word to everybody."""

from typing import Any

CLOSE, BINARY = 0, 1

everybody: set[Any] = set()


async def app(scope: Any, protocol: Any) -> None:
    """Serve one connection."""
    if scope.proto != "ws":
        return
    ws = await protocol.accept()
    everywhere = scope.path == "/broadcast"
    if everywhere:
        everybody.add(ws)
    try:
        while (message := await ws.receive()).kind != CLOSE:
            for each in tuple(everybody) if everywhere else (ws,):
                send = each.send_bytes if message.kind == BINARY else each.send_str
                await send(message.data)
    finally:
        everybody.discard(ws)
    protocol.close()
