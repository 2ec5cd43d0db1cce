"""WebSocket with Eventlet, whichever is installed: echo, and at /broadcast a word to everybody."""

import argparse
import sys
from collections.abc import Callable, Iterable
from typing import Any

import eventlet
from eventlet import websocket, wsgi

everybody: set[Any] = set()


def send_to_each(connections: Iterable[Any], message: Any) -> None:
    """Send a message to many, with an Eventlet that has no function for it."""
    for each in tuple(connections):
        each.send(message)


send_to_all = getattr(websocket, "broadcast", send_to_each)


@websocket.WebSocketWSGI
def echo(ws: Any) -> None:
    """Send back what comes in."""
    while (message := ws.wait()) is not None:
        ws.send(message)


@websocket.WebSocketWSGI
def broadcast(ws: Any) -> None:
    """Send what comes in to everybody."""
    everybody.add(ws)
    try:
        while (message := ws.wait()) is not None:
            send_to_all(everybody, message)
    finally:
        everybody.discard(ws)


def app(environ: dict, start_response: Callable) -> Iterable[bytes]:
    """Choose by the path."""
    handler = broadcast if environ["PATH_INFO"] == "/broadcast" else echo
    return handler(environ, start_response)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    listener = eventlet.listen(("127.0.0.1", parser.parse_args().port), backlog=2048)
    wsgi.server(listener, app, log_output=False, max_size=65_536, log=sys.stderr)
