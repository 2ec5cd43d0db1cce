"""WebSocket servers for these tests: ours, and those of others.

    python websocket_peer.py eventlet | aiohttp | websockets
    python websocket_peer.py socketio | flask-socketio

It prints the port that it listens on. The first three send back each message; of what a client may
ask for in its path, they understand /slow (each echo comes after 0.3 s) and /close (the connection
is closed at once, with 4001 and "enough"). They know the subprotocol "echo.v1".
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

PROTOCOL = "echo.v1"
WAIT = 0.3  # seconds
CLOSE = (4001, "enough")
LARGEST = 32 << 20  # bytes of a message


def eventlet() -> None:
    """Ours."""
    import eventlet
    from eventlet import websocket, wsgi

    @websocket.WebSocketWSGI.configured(supported_protocols=[PROTOCOL])
    def app(ws: Any) -> None:
        if ws.path == "/close":
            ws.close(CLOSE)
            return
        while (message := ws.wait()) is not None:
            if ws.path == "/slow":
                eventlet.sleep(WAIT)
            ws.send(message)

    app.max_frame_length = LARGEST
    listener = eventlet.listen(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    wsgi.server(listener, app, log_output=False)


def websockets() -> None:
    """That of websockets."""
    from websockets.asyncio.server import ServerConnection, serve

    async def handle(ws: ServerConnection) -> None:
        if ws.request.path == "/close":
            await ws.close(*CLOSE)
            return
        async for message in ws:
            await ws.send(message)

    async def main() -> None:
        async with serve(
            handle, "127.0.0.1", 0, subprotocols=[PROTOCOL], max_size=LARGEST
        ) as server:
            print(server.sockets[0].getsockname()[1], flush=True)
            await server.serve_forever()

    asyncio.run(main())


def aiohttp() -> None:
    """That of aiohttp."""
    from aiohttp import WSMsgType, web

    async def handle(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(protocols=[PROTOCOL], max_msg_size=LARGEST)
        await ws.prepare(request)
        if request.path == "/close":
            await ws.close(code=CLOSE[0], message=CLOSE[1].encode())
            return ws
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                await ws.send_str(message.data)
            else:
                await ws.send_bytes(message.data)
        return ws

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())


def socketio() -> None:
    """python-socketio, on our server."""
    import eventlet
    from eventlet import wsgi

    listener = eventlet.listen(("127.0.0.1", 0), backlog=1024)
    print(listener.getsockname()[1], flush=True)
    wsgi.server(listener, socketio_app(), log_output=False, max_size=4096)


def socketio_app() -> Any:
    """An application of python-socketio."""
    import socketio

    server = socketio.Server(async_mode="eventlet")

    @server.on("echo")
    def echo(sid: str, data: Any) -> Any:
        return data

    @server.on("tell")
    def tell(sid: str, data: Any) -> None:
        server.emit("news", data)

    return socketio.WSGIApp(server)


def flask_socketio() -> None:
    """Flask-SocketIO, which starts our server by itself."""
    import flask
    import flask_socketio

    import eventlet

    eventlet.monkey_patch()
    app = flask.Flask(__name__)
    socketio = flask_socketio.SocketIO(app, async_mode="eventlet")

    @socketio.on("echo")
    def echo(data: Any) -> Any:
        return data

    @socketio.on("tell")
    def tell(data: Any) -> None:
        socketio.emit("news", data)

    # It does not tell which port it got, but lets the listener be chosen.
    listen = eventlet.listen

    def listening(*args: Any, **options: Any) -> Any:
        listener = listen(*args, **options, backlog=1024)
        print(listener.getsockname()[1], flush=True)
        return listener

    eventlet.listen = listening
    socketio.run(app, "127.0.0.1", 0, log_output=False, max_size=4096)


if __name__ == "__main__":
    globals()[sys.argv[1].replace("-", "_")]()
