"""Green sockets and pipes: they wait without blocking the other green threads."""

from __future__ import annotations

from typing import Any

from eventlet.greenio.base import (
    _GLOBAL_DEFAULT_TIMEOUT,
    BUFFER_SIZE,
    CONNECT_ERR,
    CONNECT_SUCCESS,
    SOCKET_BLOCKING,
    SOCKET_CLOSED,
    GreenSocket,
    set_nonblocking,
    shutdown_safe,
    socket_accept,
    socket_checkerr,
    socket_connect,
    socket_timeout,
)
from eventlet.greenio.pipe import GreenFileIO, GreenPipe, _fileobject

__all__ = [
    "BUFFER_SIZE",
    "CONNECT_ERR",
    "CONNECT_SUCCESS",
    "SOCKET_BLOCKING",
    "SOCKET_CLOSED",
    "SSL",
    "_GLOBAL_DEFAULT_TIMEOUT",
    "GreenFileIO",
    "GreenPipe",
    "GreenSocket",
    "_fileobject",
    "set_nonblocking",
    "shutdown_safe",
    "socket_accept",
    "socket_checkerr",
    "socket_connect",
    "socket_timeout",
]


def __getattr__(name: str) -> Any:
    # pyOpenSSL takes long to load, and few programs have it.
    if name == "SSL":
        from eventlet.greenio.base import find_openssl

        value = globals()["SSL"] = find_openssl()
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
