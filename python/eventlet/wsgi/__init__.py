"""A WSGI server: each request runs in a green thread of its own.

::

    from eventlet import listen, wsgi

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"Hello!"]

    wsgi.server(listen(("127.0.0.1", 8080)), app)

What a client can make the server hold is bounded. A connection that waits takes half a kilobyte,
and 16 KiB with TLS. One that sends takes no more than its head may have (`url_length_limit` and
`max_header_size`) and one read of 64 KiB, less than 256 KiB with the defaults, however it sends:
nothing is read ahead of the application, so the rest stays in the buffers of the system. One that
does not read its response holds the block that is being sent, until `send_timeout` is over.

`server` serves until its green thread is killed; a `Server` can be started, stopped and asked for
figures. Both are native; the package takes the options and has what has to be Python.
"""

from __future__ import annotations

from eventlet import _core
from eventlet.corolocal import local
from eventlet.green import BaseHTTPServer
from eventlet.wsgi._defaults import (
    DEFAULT_LOG_FORMAT,
    DEFAULT_MAX_HTTP_VERSION,
    DEFAULT_MAX_SIMULTANEOUS_REQUESTS,
    MAX_HEADER_LINE,
    MAX_REQUEST_LINE,
    MAX_TOTAL_HEADER_SIZE,
    MINIMUM_CHUNK_SIZE,
)
from eventlet.wsgi._log import LoggerFileWrapper, LoggerNull, RequestLog, get_logger
from eventlet.wsgi._protocol import (
    BROKEN_SOCK,
    STATE_CLOSE,
    STATE_IDLE,
    STATE_REQUEST,
    HttpProtocol,
)
from eventlet.wsgi._server import Server, WSGIApplication, server

__all__ = [
    "ALREADY_HANDLED",
    "BROKEN_SOCK",
    "DEFAULT_LOG_FORMAT",
    "DEFAULT_MAX_HTTP_VERSION",
    "DEFAULT_MAX_SIMULTANEOUS_REQUESTS",
    "MAX_HEADER_LINE",
    "MAX_REQUEST_LINE",
    "MAX_TOTAL_HEADER_SIZE",
    "MINIMUM_CHUNK_SIZE",
    "STATE_CLOSE",
    "STATE_IDLE",
    "STATE_REQUEST",
    "WSGI_LOCAL",
    "BaseHTTPServer",
    "ChunkReadError",
    "HttpProtocol",
    "Input",
    "LoggerFileWrapper",
    "LoggerNull",
    "RequestLog",
    "RequestRecord",
    "Server",
    "TruncatedBodyError",
    "WSGIApplication",
    "format_date_time",
    "get_logger",
    "is_accepting",
    "server",
]

#: Programs clear it to have their servers end after the next connection.
is_accepting = True

#: ``WSGI_LOCAL.already_handled = True`` says that the application has answered through the socket
#: itself (``environ['eventlet.input'].get_socket()``): the server sends nothing for this request.
#: ``environ['eventlet.input'].note_answer(code)`` has the access log show its status code.
WSGI_LOCAL = local()


Input = _core.Input

RequestRecord = _core.RequestRecord

#: What an application returned that had answered through the socket itself. It is an empty result
#: like any other: `WSGI_LOCAL` is what says so.
ALREADY_HANDLED: tuple[bytes, ...] = ()


class ChunkReadError(ValueError):
    """The body of a request is malformed."""


class TruncatedBodyError(ChunkReadError, ConnectionError):
    """The connection ended within a request body that comes in chunks."""


def _encode_header_line(header: tuple[str, str]) -> bytes:
    return _core.encode_header_line(*header)


def format_date_time(timestamp: float) -> str:
    """Return a Unix timestamp (seconds) as HTTP writes dates (RFC 9110 section 5.6.7)."""
    from email.utils import formatdate

    return formatdate(timestamp, usegmt=True)
