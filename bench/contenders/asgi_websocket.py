"""WebSocket as an ASGI application: echo, and at /broadcast a word to everybody."""

from collections.abc import Awaitable, Callable

Receive = Callable[[], Awaitable[dict]]
Send = Callable[[dict], Awaitable[None]]

everybody: set[Send] = set()


async def app(scope: dict, receive: Receive, send: Send) -> None:
    """Serve one connection."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    everywhere = scope["path"] == "/broadcast"
    if everywhere:
        everybody.add(send)
    try:
        while (event := await receive())["type"] == "websocket.receive":
            text, data = event.get("text"), event.get("bytes")
            reply = {"text": text} if text is not None else {"bytes": data}
            for each in tuple(everybody) if everywhere else (send,):
                await each({"type": "websocket.send", **reply})
    finally:
        everybody.discard(send)
