"""TCP or TLS echo with gevent: StreamServer, a greenlet for each connection."""

import argparse
from socket import socket

from gevent.server import StreamServer


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
    tls = {"certfile": args.certificate, "keyfile": args.certificate} if args.certificate else {}
    StreamServer(("127.0.0.1", args.port), handle, backlog=2048, **tls).serve_forever()
