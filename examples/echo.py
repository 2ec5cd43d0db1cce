"""A TCP echo server: what a client sends, it gets back.

    python examples/echo.py
    nc 127.0.0.1 7000

The handler below is written as if there were one client; there may be ten thousand.
"""

from __future__ import annotations

import argparse
from typing import Any

import eventlet


def echo(sock: Any, address: Any) -> None:
    """Serve one client. Each runs in a green thread of its own, so a plain loop will do."""
    try:
        # While recv() waits for this client, the other green threads run.
        while data := sock.recv(64 * 1024):
            sock.sendall(data)
    except OSError:
        pass  # The client vanished. Its connection ends here, and nobody else's does.


def main() -> None:
    """Listen where `--bind` says and echo until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bind", default="127.0.0.1:7000", metavar="HOST:PORT")
    host, _, port = parser.parse_args().bind.rpartition(":")

    listener = eventlet.listen((host, int(port)), backlog=1024)
    print("echo listening on {}:{}".format(*listener.getsockname()), flush=True)
    try:
        # `serve` accepts connections and spawns `echo(sock, address)` for each, at most so many
        # at a time; it closes the socket once `echo` returns.
        eventlet.serve(listener, echo, concurrency=10_000)
    except KeyboardInterrupt:
        print("bye")


if __name__ == "__main__":
    main()
