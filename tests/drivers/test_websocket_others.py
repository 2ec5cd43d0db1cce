"""WebSocket with others: their clients and our server, our client and their servers."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.processes import PATIENCE, Program

HERE = Path(__file__).parent
PROTOCOL = "echo.v1"
MESSAGES = [
    "good morning",
    "",
    b"",
    "\u00e4\u20ac\U0001f600" * 50,
    bytes(range(256)) * 300,
    "x" * (1 << 20),
]


def _peer(name: str, module: str = "") -> Callable[..., Any]:
    @pytest.fixture(scope="module", name=f"{name}_server")
    def server() -> Iterator[str]:
        if module:
            pytest.importorskip(module, reason=f"{module} is not installed")
        with Program(HERE / "websocket_peer.py", name) as peer:
            yield f"ws://127.0.0.1:{peer.port('^([0-9]+)$')}"

    return server


eventlet_server = _peer("eventlet")
websockets_server = _peer("websockets", "websockets")
aiohttp_server = _peer("aiohttp", "aiohttp")


# Their clients


@pytest.mark.parametrize("compression", ["deflate", None])
def test_websockets_client(eventlet_server: str, compression: str | None) -> None:
    client = pytest.importorskip("websockets.asyncio.client", reason="websockets is not installed")
    from websockets.exceptions import ConnectionClosedError, InvalidStatus

    async def main() -> None:
        options: dict[str, Any] = {"compression": compression, "max_size": None, "proxy": None}
        protocols = ["other", PROTOCOL]
        async with client.connect(eventlet_server, subprotocols=protocols, **options) as ws:
            assert ws.subprotocol == PROTOCOL
            assert bool(ws.protocol.extensions) == bool(compression)
            for message in MESSAGES:
                await ws.send(message)
                assert await ws.recv() == message
            # In fragments, with a ping between them.
            await ws.send(iter(["good ", "morn", "", "ing"]))
            assert await ws.recv() == "good morning"
            await (await ws.ping(b"are you there?"))
        assert ws.close_code == 1000
        async with client.connect(f"{eventlet_server}/close", **options) as ws:
            with pytest.raises(ConnectionClosedError) as closed:
                await ws.recv()
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "enough")
        # A frame that is no text ends the connection, and says why.
        async with client.connect(eventlet_server, **options) as ws:
            await ws.send(b"\xff\xfe", text=True)
            with pytest.raises(ConnectionClosedError) as closed:
                await ws.recv()
            assert closed.value.rcvd.code == 1007
        headers = {"Sec-WebSocket-Version": "7"}
        with pytest.raises(InvalidStatus) as refused:
            await client.connect(eventlet_server, additional_headers=headers, **options)
        assert refused.value.response.status_code in (400, 426)

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_websockets_client_in_threads(eventlet_server: str) -> None:
    client = pytest.importorskip("websockets.sync.client", reason="websockets is not installed")
    with client.connect(eventlet_server, max_size=None, proxy=None) as ws:
        for message in MESSAGES:
            ws.send(message)
            assert ws.recv(PATIENCE) == message


@pytest.mark.parametrize("compress", [0, 15])
def test_aiohttp_client(eventlet_server: str, compress: int) -> None:
    aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not installed")

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            options = {"compress": compress, "max_msg_size": 0, "protocols": [PROTOCOL]}
            async with session.ws_connect(eventlet_server, **options) as ws:
                assert ws.protocol == PROTOCOL
                assert bool(ws.compress) == bool(compress)
                for message in MESSAGES:
                    is_text = isinstance(message, str)
                    await (ws.send_str if is_text else ws.send_bytes)(message)
                    echo = await ws.receive()
                    assert echo.type is (aiohttp.WSMsgType.TEXT if is_text else echo.type.BINARY)
                    assert echo.data == message
                assert await ws.close(code=4000)
            async with session.ws_connect(f"{eventlet_server}/close") as ws:
                last = await ws.receive()
                assert (last.type, last.data, last.extra) == (last.type.CLOSE, 4001, "enough")

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_websocket_client(eventlet_server: str) -> None:
    client = pytest.importorskip("websocket", reason="websocket-client is not installed")
    options: dict[str, Any] = {"timeout": PATIENCE, "http_no_proxy": ["127.0.0.1"]}
    ws = client.create_connection(eventlet_server, subprotocols=[PROTOCOL], **options)
    with contextlib.closing(ws):
        assert ws.subprotocol == PROTOCOL
        for message in MESSAGES:
            is_text = isinstance(message, str)
            (ws.send if is_text else ws.send_binary)(message)
            opcode, data = ws.recv_data()
            assert opcode == (client.ABNF.OPCODE_TEXT if is_text else client.ABNF.OPCODE_BINARY)
            assert data == (message.encode() if isinstance(message, str) else message)
        ws.ping("are you there?")
        opcode, data = ws.recv_data(control_frame=True)
        assert (opcode, data) == (client.ABNF.OPCODE_PONG, b"are you there?")
    ws = client.create_connection(f"{eventlet_server}/close", **options)
    assert ws.recv_data() == (client.ABNF.OPCODE_CLOSE, struct.pack("!H", 4001) + b"enough")
    ws.shutdown()


@pytest.mark.parametrize("library", ["websocket", "websockets"])
def test_clients_for_threads_in_a_patched_process(
    run_patched: Callable[..., Any], eventlet_server: str, library: str
) -> None:
    pytest.importorskip(library)
    code = """
if given.library == "websocket":
    from websocket import create_connection
    def echo(number):
        ws = create_connection(given.url + "/slow", timeout=20)
        ws.send(str(number))
        answer = ws.recv()
        ws.close()
        return int(answer)
else:
    from websockets.sync.client import connect
    def echo(number):
        with connect(given.url + "/slow", proxy=None) as ws:
            ws.send(str(number))
            return int(ws.recv(20))
assert overlap(echo) == [*range(50)]
"""
    run_patched(code, url=eventlet_server, library=library)


# Their servers


@pytest.mark.parametrize("library", ["aiohttp", "eventlet", "websockets"])
@pytest.mark.parametrize("compression", [True, False])
def test_our_client(request: Any, library: str, compression: bool, clean_hub: Any) -> None:
    from eventlet import websocket

    url = request.getfixturevalue(f"{library}_server")
    options: dict[str, Any] = {"compression": compression, "max_frame_length": 4 << 20}
    options |= {"proxy": None, "subprotocols": ["other", PROTOCOL], "timeout": PATIENCE}
    with websocket.connect(url, **options) as ws:
        assert ws.protocol == PROTOCOL
        assert ("permessage-deflate" in ws.extensions) == compression
        for message in MESSAGES:
            ws.send(message)
            assert ws.wait(PATIENCE) == message
        ws.send("good ", final=False)
        ws.ping(b"are you there?")
        ws.send("morning", continuation=True)
        assert ws.wait(PATIENCE) == "good morning"
    with websocket.connect(f"{url}/close", **options) as ws:
        assert ws.wait(PATIENCE) is None
        assert (ws.close_code, ws.close_reason) == (4001, "enough")
