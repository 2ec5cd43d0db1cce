"""TCP echo with Eventlet: a green thread for each connection."""

import argparse
from socket import socket

from eventlet import listen, serve


def handle(conn: socket, address: tuple) -> None:
    """Send back what comes in."""
    try:
        while data := conn.recv(65536):
            conn.sendall(data)
    except ConnectionError:
        pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    listener = listen(("127.0.0.1", parser.parse_args().port), backlog=2048)
    serve(listener, handle, concurrency=10_000)
