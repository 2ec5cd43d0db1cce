"""An echo server for the suite's client. It prints its port."""

from __future__ import annotations

from typing import Any

import eventlet
from eventlet import websocket, wsgi

LARGEST = 32 << 20  # bytes; the suite sends messages of up to 16 MiB


def echo(ws: Any) -> None:
    """Send back what comes, until the client leaves."""
    while (message := ws.wait()) is not None:
        ws.send(message)


if __name__ == "__main__":
    listener = eventlet.listen(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    app = websocket.WebSocketWSGI(echo, max_frame_length=LARGEST)
    wsgi.server(listener, app, log_output=False)
