"""The WebSocket servers and what is asked of them."""

import socket
from functools import partial

from harness import loads
from harness.clients import most_connections
from harness.common import MESSAGES, PER_CONNECTION, PORT, RATE, contender
from harness.model import BENCH, OURS, Context, Figures, Metric, Workload
from harness.process import HOST

RELEASE = BENCH / "target" / "release"

# A key and its answer, as RFC 6455 has them for an example.
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
# "ping" as text, masked; and what comes back.
MASK = b"\x01\x02\x03\x04"
MESSAGE = b"\x81\x84" + MASK + bytes(a ^ b for a, b in zip(b"ping", MASK, strict=True))
ECHO = b"\x81\x04ping"

SERVE = (
    *("{python}", "-m", "eventlet", "serve", "--workers", "2", "--reuse-port", "--quiet"),
    *("--max-concurrency", "20000", "--backlog", "2048", "--access-log", "off", "--bind", "{bind}"),
)
GRANIAN = (
    *("{python}", "-m", "granian", "--workers", "1", "--log-level", "error"),
    *("--host", "127.0.0.1", *PORT, "--backpressure", "65536"),
)
CONTENDERS = (
    contender(OURS, OURS, "{python}", "eventlet_websocket.py", *PORT),
    contender("eventlet-0.41", "eventlet-0.41", "{python}", "eventlet_websocket.py", *PORT),
    contender("gevent-websocket", "gevent-websocket", "{python}", "gevent_websocket.py", *PORT),
    contender("websockets", "websockets", "{python}", "websockets_websocket.py", *PORT),
    contender(
        "uvicorn",
        "uvicorn",
        *("{python}", "-m", "uvicorn", "--host", "127.0.0.1", *PORT, "--ws", "wsproto"),
        *("--loop", "uvloop", "--http", "httptools", "--log-level", "warning"),
        *("--backlog", "2048", "--lifespan", "off"),
        *("--ws-ping-interval", "3600", "--ws-ping-timeout", "3600", "asgi_websocket:app"),
    ),
    contender("granian-asgi", "granian", *GRANIAN, "--interface", "asgi", "asgi_websocket:app"),
    contender("granian-rsgi", "granian", *GRANIAN, "--interface", "rsgi", "rsgi_websocket:app"),
    contender("tungstenite", "native", "{native}/tungstenite-echo", *PORT),
)
CLIENT = Metric("client_cpu", "client's core", "%")


def shake_hands(conn: socket.socket) -> None:
    """Have the server speak WebSocket."""
    conn.sendall(HANDSHAKE)
    got = b""
    while not got.endswith(b"\r\n\r\n"):
        data = conn.recv(4096)
        if not data or len(got) > 16_384:
            raise OSError("no handshake")
        got += data
    if not got.startswith(b"HTTP/1.1 101 ") or ACCEPT not in got:
        raise OSError("the handshake was refused")


def ask(conn: socket.socket) -> None:
    """One message, and its echo."""
    conn.sendall(MESSAGE)
    got = b""
    while len(got) < len(ECHO):
        data = conn.recv(64)
        if not data:
            raise OSError("the connection was closed")
        got += data
    if got != ECHO:
        raise OSError("no echo")


def check(port: int) -> None:
    """Does it echo?"""
    with socket.create_connection((HOST, port), timeout=5) as conn:
        shake_hands(conn)
        ask(conn)


def idle(count: int, context: Context) -> Figures:
    """Resident memory of a server for each connection that has had one echo."""
    return loads.idle_connections(count, context, check=check, begin=shake_hands, ask=ask)


def idle_in_one(count: int, context: Context) -> Figures:
    """The same for a server of one process, which may not have so many connections."""
    return idle(min(count, most_connections()), context)


def echo(name: str, size: int, kind: str) -> Workload:
    """Echo of messages of a size and kind."""
    what = f"{size} bytes" if size < 1024 else f"{size // 1024} KiB"
    return Workload(
        f"websocket-{name}-{kind}",
        "websocket",
        f"WebSocket echo, {what} of {kind}, 100 connections",
        "One message in flight on each connection; every echoed byte is checked. No compression.",
        (MESSAGES, *RATE, CLIENT),
        CONTENDERS,
        lambda context: loads.messages(
            RELEASE / "echo-load", 100, size, check, context, "--websocket", kind
        ),
    )


SIZES = {"64b": 64, "1k": 1024, "64k": 64 * 1024}

WORKLOADS = (
    *(echo(name, size, kind) for name, size in SIZES.items() for kind in ("text", "binary")),
    Workload(
        "websocket-broadcast",
        "websocket",
        "WebSocket, 64 bytes to each of 1000 connections",
        "One of them sends a message, which the server sends to all; when all have it, the next."
        " The latency is that of a message for everybody.",
        (
            Metric("per_second", "deliveries", "1/s", lower_is_better=False),
            *RATE,
            CLIENT,
        ),
        CONTENDERS,
        lambda context: loads.messages(RELEASE / "broadcast-load", 1000, 64, check, context),
    ),
    Workload(
        "websocket-idle",
        "memory",
        "memory of an idle WebSocket connection",
        "20,000 connections, or as many files as may be open, that have had one echo; growth of the"
        " server's resident memory (user space), divided by them.",
        (PER_CONNECTION,),
        CONTENDERS,
        partial(idle_in_one, 20_000),
        most_rounds=1,
    ),
    Workload(
        "websocket-idle-workers",
        "memory",
        "memory of an idle WebSocket connection, with two workers",
        "20,000 connections to `eventlet serve --workers 2 --reuse-port`, that have had one echo;"
        " growth of the resident memory of all its processes, divided by them.",
        (PER_CONNECTION,),
        (contender(OURS, OURS, *SERVE, "eventlet_websocket:app"),),
        partial(idle, 20_000),
        most_rounds=1,
    ),
)
