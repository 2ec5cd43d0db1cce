"""Clients and servers in a line or two."""

from __future__ import annotations

import errno
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

from eventlet.event import Event
from eventlet.green import socket
from eventlet.greenio.base import GreenSocket
from eventlet.greenthread import GreenletExit, getcurrent, kill, sleep, spawn

__all__ = [
    "ReusePortUnavailableWarning",
    "ReuseRandomPortWarning",
    "StopServe",
    "connect",
    "listen",
    "serve",
    "wrap_ssl",
]


class ReuseRandomPortWarning(Warning):
    """SO_REUSEPORT was asked for together with a random port."""


class ReusePortUnavailableWarning(Warning):
    """SO_REUSEPORT was asked for and the system does not have it."""


class StopServe(Exception):
    """Raised by a handler to make `serve` return."""


#: What accept() reports about a connection that has failed already, or about the network on its
#: way: the next one may be fine.
_CLIENT_ERRNOS = frozenset(
    getattr(errno, name)
    for name in (
        "ECONNABORTED",
        "EHOSTDOWN",
        "EHOSTUNREACH",
        "ENETDOWN",
        "ENETUNREACH",
        "ENONET",
        "ENOPROTOOPT",
        "EPERM",
        "EPROTO",
    )
    if hasattr(errno, name)
)

#: What accept() reports when the process or the system has run out of something.
_EXHAUSTED_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

#: Seconds to wait until the next attempt then, at first and at most.
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0


def connect(addr: Any, family: int = socket.AF_INET, bind: Any = None) -> GreenSocket:
    """Return a socket that is connected to `addr`.

    :param addr: for TCP ``(host, port)``, for a local socket a path.
    :param family: the kind of address.
    :param bind: the address to connect from; by default wherever the system likes.
    """
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if bind is not None:
            sock.bind(bind)
        sock.connect(addr)
    except BaseException:
        sock.close()
        raise
    return sock


def listen(
    addr: Any,
    family: int = socket.AF_INET,
    backlog: int = 50,
    reuse_addr: bool = True,
    reuse_port: bool | None = None,
) -> GreenSocket:
    """Return a socket that listens at `addr`, for `serve` or a loop around ``accept()``.

    :param addr: for TCP ``(host, port)``, for a local socket a path.
    :param family: the kind of address.
    :param backlog: how many connections may wait to be accepted.
    :param reuse_addr: set SO_REUSEADDR, so that a restarted server gets its port back at once.
    :param reuse_port: set SO_REUSEPORT, so that several processes can listen at one port. By
        default that is done unless the port is 0: a random port should be nobody else's.
    """
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if reuse_addr:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family in (socket.AF_INET, socket.AF_INET6) and addr[1] == 0:
            if reuse_port:
                warnings.warn(
                    "SO_REUSEPORT with a random port (0) lets another process take the same port",
                    ReuseRandomPortWarning,
                    stacklevel=2,
                )
        elif reuse_port is None:
            reuse_port = family in (socket.AF_INET, socket.AF_INET6)
        if reuse_port:
            _set_reuse_port(sock)
        sock.bind(addr)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _set_reuse_port(sock: GreenSocket) -> None:
    option = getattr(socket, "SO_REUSEPORT", None)
    if option is None:
        return
    try:
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOPROTOOPT):
            raise
        warnings.warn(
            f"this system does not have SO_REUSEPORT ({error}): the port is not shared",
            ReusePortUnavailableWarning,
            stacklevel=3,
        )


class _Places:
    """Counts the connections that may be served at once."""

    def __init__(self, number: int) -> None:
        self.free = number
        self._freed: Event | None = None

    def take(self) -> None:
        """Take a place, waiting until there is one."""
        while self.free <= 0:
            self._freed = Event()
            self._freed.wait()
        self.free -= 1

    def give_back(self) -> None:
        """Give a place back."""
        self.free += 1
        if self._freed is not None and not self._freed.ready():
            self._freed.send()


def serve(sock: Any, handle: Callable[[Any, Any], Any], concurrency: int = 1000) -> None:
    """Serve the connections to a listening socket, each in a green thread of its own.

    :param sock: a listening socket, plain or TLS.
    :param handle: called as ``handle(connection, address)``. When it returns the connection is
        closed.
    :param concurrency: how many connections are served at once; further ones wait to be accepted.

    It returns when a handler raises `StopServe`. Any other exception from a handler ends it too,
    and is raised here; connections that are being served go on. What a client does before its
    handler runs (it may reset the connection, or fail in the TLS handshake) ends nothing but that
    connection. When the process runs out of descriptors, or the system out of memory, it says so on
    stderr, pauses, and goes on.
    """
    server = getcurrent()
    places = _Places(concurrency)
    try:
        while True:
            places.take()
            conn, addr = _accept(sock)
            spawn(_serve_one, server, places, handle, conn, addr)
            # While it waits for the next one, the loop keeps nobody's connection open.
            del conn, addr
    except StopServe:
        return


def accept_forever(sock: Any, handle: Callable[[Any, Any], object]) -> None:
    """Call ``handle(connection, address)`` for each connection to a listening socket.

    It is called right here, so it should not wait for long. What it raises ends the loop, and so
    does an error of the socket; clients, and a lack of resources, do not (see `serve`).
    """
    while True:
        handle(*_accept(sock))


def _accept(sock: Any) -> Any:
    pause = 0.0
    while True:
        try:
            return sock.accept()
        except OSError as error:
            if error.errno in _CLIENT_ERRNOS:
                continue
            if error.errno not in _EXHAUSTED_ERRNOS:
                raise
            if not pause:
                now = time.strftime("%H:%M:%S")
                sys.stderr.write(
                    f"{now} eventlet.serve: cannot accept connections: {error}. "
                    "Trying again until it works.\n"
                )
                sys.stderr.flush()
            pause = min(max(pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
        sleep(pause)


def _serve_one(
    server: Any, places: _Places, handle: Callable[[Any, Any], Any], conn: Any, addr: Any
) -> None:
    try:
        try:
            if _shake_hands(conn):
                handle(conn, addr)
        finally:
            places.give_back()
            conn.close()
    except GreenletExit:
        pass
    except Exception:
        kill(server, *sys.exc_info())


def _shake_hands(conn: Any) -> bool:
    """Do the TLS handshake, if one is due; tell whether the connection can be used."""
    if not getattr(conn, "_handshake_due", False):
        return True
    try:
        conn.do_handshake()
    except OSError:
        return False
    return True


def wrap_ssl(sock: Any, *args: Any, **kwargs: Any) -> Any:
    """Put TLS over a socket; the arguments are those of `eventlet.green.ssl.wrap_socket`.

    It is best called on the socket right where that is made: ``wrap_ssl(connect(addr))``,
    ``wrap_ssl(listen(addr), certfile=..., keyfile=..., server_side=True)``.
    """
    from eventlet.green import ssl

    return ssl.wrap_socket(sock, *args, **kwargs)
