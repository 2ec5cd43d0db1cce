"""WebSocket with websockets on uvloop: echo, and at /broadcast a word to everybody.

No compression and no pings: the others are not asked for them either.
"""

import argparse

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

everybody: set[ServerConnection] = set()


async def handle(ws: ServerConnection) -> None:
    """Serve one connection."""
    if ws.request is None or ws.request.path != "/broadcast":
        async for message in ws:
            await ws.send(message)
        return
    everybody.add(ws)
    try:
        async for message in ws:
            broadcast(everybody, message)
    finally:
        everybody.discard(ws)


async def main(port: int) -> None:
    """Serve until killed."""
    async with serve(
        handle, "127.0.0.1", port, compression=None, ping_interval=None, backlog=2048
    ) as server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(main(parser.parse_args().port))
