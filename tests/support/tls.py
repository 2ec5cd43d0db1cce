"""Handshakes for the tests of TLS."""

import contextlib

import eventlet
from eventlet.green import socket


def accept_and_shake(listener):
    """Accept a connection from a TLS listener and do its handshake; return it."""
    conn, _ = listener.accept()
    try:
        conn.do_handshake()
    except BaseException:
        conn.close()
        raise
    return conn


def shake(client_context, server_context, **kwargs):
    """Do a handshake in two green threads; return both ends."""
    one, two = socket.socketpair()
    server = eventlet.spawn(server_context.wrap_socket, two, server_side=True)
    try:
        client = client_context.wrap_socket(one, server_hostname="localhost", **kwargs)
    except BaseException:
        one.close()
        with contextlib.suppress(OSError):
            server.wait().close()
        raise
    return client, server.wait()
