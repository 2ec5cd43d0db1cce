"""TCP or TLS echo as a program for threads has it, on a patched standard library."""

import argparse
import sys

if "gevent" in sys.argv:
    from gevent import monkey

    monkey.patch_all()
else:
    import eventlet

    eventlet.monkey_patch()

import contextlib
import socket
import ssl
import threading


def handle(conn: socket.socket) -> None:
    """Send back what comes in."""
    with conn, contextlib.suppress(ConnectionError):
        while data := conn.recv(65536):
            conn.sendall(data)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--certificate", help="a file with key and certificate, for TLS")
    parser.add_argument("--library", choices=["eventlet", "gevent"], default="eventlet")
    args = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", args.port), backlog=2048)
    if args.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(args.certificate)
        listener = context.wrap_socket(listener, server_side=True)
    while True:
        conn, _ = listener.accept()
        threading.Thread(target=handle, args=(conn,), daemon=True).start()
