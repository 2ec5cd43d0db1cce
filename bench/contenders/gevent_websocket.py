"""WebSocket with gevent-websocket: echo, and at /broadcast a word to everybody."""

import argparse
from collections.abc import Callable, Iterable
from typing import Any

from gevent.pywsgi import WSGIServer
from geventwebsocket.handler import WebSocketHandler

everybody: set[Any] = set()


def echo(ws: Any) -> None:
    """Send back what comes in."""
    while (message := ws.receive()) is not None:
        ws.send(message)


def broadcast(ws: Any) -> None:
    """Send what comes in to everybody."""
    everybody.add(ws)
    try:
        while (message := ws.receive()) is not None:
            for each in tuple(everybody):
                each.send(message)
    finally:
        everybody.discard(ws)


def app(environ: dict, start_response: Callable) -> Iterable[bytes]:
    """Choose by the path."""
    (broadcast if environ["PATH_INFO"] == "/broadcast" else echo)(environ["wsgi.websocket"])
    return []


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    WSGIServer(
        ("127.0.0.1", port), app, backlog=2048, log=None, handler_class=WebSocketHandler
    ).serve_forever()
