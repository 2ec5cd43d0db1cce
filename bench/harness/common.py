"""What the tables of workloads have in common: names, metrics, placeholders."""

from harness.model import Contender, Metric

LABELS = {
    "gevent": "gevent",
    "asyncio": "asyncio",
    "uvloop": "uvloop",
    "uvloop-protocol": "uvloop protocol (callbacks)",
    "epoll": "bare epoll loop in Rust",
    "eventlet-0.41-libc": "eventlet 0.41, without its own resolver",
    "gevent-pywsgi": "gevent.pywsgi",
    "gunicorn-gevent": "gunicorn, gevent worker",
    "gunicorn-gthread": "gunicorn, gthread worker",
    "gevent-websocket": "gevent, gevent-websocket",
    "granian-asgi": "granian, ASGI",
    "granian-rsgi": "granian, RSGI",
    "tungstenite": "tungstenite in Rust",
    "uvicorn": "uvicorn, wsproto",
    "uwsgi": "uWSGI",
    "websockets": "websockets, uvloop",
}

NANOSECONDS = Metric("ns", "time", "ns")
PER_CONNECTION = Metric("bytes", "each", "bytes")
RATE = (
    Metric("p50_us", "p50", "us"),
    Metric("p99_us", "p99", "us"),
    Metric("server_cpu", "server's core", "%"),
)
MESSAGES = Metric("per_second", "messages", "1/s", lower_is_better=False)
REQUESTS = Metric("per_second", "requests", "1/s", lower_is_better=False)
PORT = ("--port", "{port}")


def contender(key: str, peer: str, *command: str, cannot: str = "") -> Contender:
    """A table entry; `cannot` says why it takes no part after all."""
    return Contender(key, peer, command, LABELS.get(key, ""), cannot)
