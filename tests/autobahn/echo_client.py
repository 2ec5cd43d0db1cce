"""Our client, in the hands of the suite's server: it runs all cases there are, one by one.

python echo_client.py PORT
"""

from __future__ import annotations

import sys

from eventlet import websocket

AGENT = "eventlet"
LARGEST = 32 << 20  # bytes; the suite sends messages of up to 16 MiB


def main(port: str) -> None:
    """Ask how many cases there are, echo in each, have the report written."""
    server = f"ws://127.0.0.1:{port}"
    with websocket.connect(f"{server}/getCaseCount") as ws:
        count = int(ws.wait())
    for case in range(1, count + 1):
        url = f"{server}/runCase?case={case}&agent={AGENT}"
        with websocket.connect(url, max_frame_length=LARGEST) as ws:
            while (message := ws.wait()) is not None:
                ws.send(message)
    with websocket.connect(f"{server}/updateReports?agent={AGENT}") as ws:
        ws.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
