"""Many clients of Socket.IO, in one process without green threads.

    python socketio_crowd.py PORT CLIENTS

Each connects by long polling and goes over to WebSocket, unless it is one of ten that stay. Each is
answered, and then each hears what one of them says to all. The last line is "ok".
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Iterable
from typing import Any

import aiohttp
import socketio

AT_A_TIME = 50  # handshakes
PATIENCE = 30.0  # seconds for each step


async def together(what: Iterable[Awaitable[Any]]) -> list[Any]:
    """The results of many, which have to come within some time."""
    return await asyncio.wait_for(asyncio.gather(*what), PATIENCE)


async def main(port: int, count: int) -> None:
    """Gather, speak, leave."""
    url = f"http://127.0.0.1:{port}"
    door = asyncio.Semaphore(AT_A_TIME)
    heard = asyncio.Queue()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

        async def join(number: int) -> socketio.AsyncClient:
            client = socketio.AsyncClient(reconnection=False, http_session=http)
            client.on("news", heard.put)
            stays = number % 10 == 0
            async with door:
                await client.connect(url, transports=["polling"] if stays else None)
            # After connecting by long polling, the client goes over by itself.
            assert client.transport() == ("polling" if stays else "websocket"), client.transport()
            data = {"number": number, "text": "\u00e4\u20ac" * 10, "bytes": bytes(range(256))}
            assert await client.call("echo", data, timeout=PATIENCE) == data
            return client

        clients = await together(join(number) for number in range(count))
        print("joined", flush=True)
        await clients[-1].emit("tell", "good morning")
        assert {*await together(heard.get() for _ in range(count))} == {"good morning"}
        print("heard", flush=True)
        await together(client.disconnect() for client in clients)
    assert heard.empty()
    print("ok", flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
