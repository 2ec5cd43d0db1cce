"""TCP or TLS echo with Eventlet: a green thread for each connection."""

import argparse
from socket import socket

from eventlet import listen, serve, wrap_ssl


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
    parser.add_argument("--certificate", help="a file with key and certificate, for TLS")
    args = parser.parse_args()
    listener = listen(("127.0.0.1", args.port), backlog=2048)
    if args.certificate:
        listener = wrap_ssl(
            listener,
            certfile=args.certificate,
            keyfile=args.certificate,
            server_side=True,
        )
    serve(listener, handle, concurrency=10_000)
