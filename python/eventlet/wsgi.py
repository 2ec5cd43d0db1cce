"""A WSGI server: each request runs in a green thread of its own.

::

    from eventlet import listen, wsgi

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"Hello!"]

    wsgi.server(listen(("127.0.0.1", 8080)), app)

The server is native; this module takes its options and gives it what has to be Python.
"""

from __future__ import annotations

import os
import socket as _socket
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import Any, TextIO

from eventlet import _core
from eventlet.corolocal import local

__all__ = ["DEFAULT_LOG_FORMAT", "ChunkReadError", "RequestLog", "format_date_time", "server"]

#: Connections that a server holds at the same time, unless told otherwise.
DEFAULT_MAX_SIMULTANEOUS_REQUESTS = 1024

#: The version that a server speaks, unless told otherwise.
DEFAULT_MAX_HTTP_VERSION = "HTTP/1.1"

#: The longest request line, in bytes, unless told otherwise. Longer ones are answered with 414.
MAX_REQUEST_LINE = 8192

#: The longest line of a header section, in bytes, read when a server starts. Beyond it: 431.
MAX_HEADER_LINE = 8192

#: The longest header section, in bytes, read when a server starts. Beyond it: 431.
MAX_TOTAL_HEADER_SIZE = 65536

#: Programs clear it to have their servers end after the next connection.
is_accepting = True

#: ``WSGI_LOCAL.already_handled = True`` says that the application has answered through the socket
#: itself (``environ['eventlet.input'].get_socket()``): the server sends nothing for this request.
WSGI_LOCAL = local()

#: Blocks of a response are gathered until there is this much, in bytes, unless told otherwise.
MINIMUM_CHUNK_SIZE = 4096

#: What a line of the access log says.
DEFAULT_LOG_FORMAT = (
    '%(client_ip)s - - [%(date_time)s] "%(request_line)s"'
    " %(status_code)s %(body_length)s %(wall_seconds).6f"
)

WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class ChunkReadError(ValueError):
    """The body of a request is malformed."""


def format_date_time(timestamp: float) -> str:
    """Return a Unix timestamp (seconds) as HTTP writes dates (RFC 9110 section 5.6.7)."""
    from email.utils import formatdate

    return formatdate(timestamp, usegmt=True)


class RequestLog:
    """A log that gets what there is to say of each request, rather than a line of text.

    A subclass given to `server` as its `log` has `record` called once a request; messages about the
    server itself, and tracebacks, go to `write`.
    """

    def record(
        self,
        environ: dict[str, Any] | None,
        client_ip: str,
        client_port: str,
        request_line: str,
        status_code: int,
        body_length: int,
        wall_seconds: float,
    ) -> None:
        """Take note of a request that has been answered.

        Called in the green thread of the request, so it must not wait for long. What it raises is
        reported, and the server goes on.

        :param environ: the request's environ; None for what was not a request.
        :param client_ip: the address of the client, after what proxies say of it.
        :param client_port: its port.
        :param request_line: the first line of the request, as it came.
        :param status_code: of the response.
        :param body_length: bytes sent, the head included.
        :param wall_seconds: from the head of the request to the end of the response.
        """
        raise NotImplementedError

    def write(self, text: str) -> None:
        """Take a message about the server or the application, which ends with a newline."""
        sys.stderr.write(text)


class _Logger:
    """Sends lines to a logger's ``info`` and ``debug``, or to a file."""

    def __init__(self, log: Any, debug: bool) -> None:
        if callable(getattr(log, "info", None)) and callable(getattr(log, "debug", None)):
            self.info: Callable[[str], Any] = _escaping(log.info)
            self.debug: Callable[[str], Any] = _escaping(log.debug)
        else:
            write = (sys.stderr if log is None else log).write
            self.info = lambda line: write(line + "\n")
            self.debug = self.info if debug else lambda line: None


def _escaping(method: Callable[..., Any]) -> Callable[[str], Any]:
    """Keep a logger from taking percent signs of a client for its own."""
    return lambda line: method("%s", line)


def server(
    sock: Any,
    site: WSGIApplication,
    log: Any | TextIO | None = None,
    environ: dict[str, Any] | None = None,
    max_size: int | None = None,
    max_http_version: str = DEFAULT_MAX_HTTP_VERSION,
    protocol: Any = None,
    server_event: Any = None,
    minimum_chunk_size: int | None = None,
    log_x_forwarded_for: bool = True,
    custom_pool: Any = None,
    keepalive: bool | float = True,
    log_output: bool = True,
    log_format: str = DEFAULT_LOG_FORMAT,
    url_length_limit: int = MAX_REQUEST_LINE,
    debug: bool = True,
    socket_timeout: float | None = None,
    capitalize_response_headers: bool = True,
) -> None:
    """Serve a WSGI application until its green thread is killed, or the program is interrupted.

    KeyboardInterrupt and SystemExit make it return; any other exception is raised when all is done.
    At the end the connections that have no request running are closed, those that have finish it,
    and then the listening socket is closed.

    :param sock: a listening socket, as from `eventlet.listen`; wrapped for TLS, it serves HTTPS.
    :param site: the application.
    :param log: a logger, a file to write to, or a `RequestLog`; stderr by default.
    :param environ: what to add to the environ of each request.
    :param max_size: how many connections there may be at a time; further ones wait in the backlog.
    :param max_http_version: ``"HTTP/1.0"`` turns off persistent connections and chunked responses.
    :param protocol: not supported yet; leave it out.
    :param server_event: an event that is sent the server object.
    :param minimum_chunk_size: blocks of a response are gathered until there is this much, in bytes.
        The application may set ``environ['eventlet.minimum_write_chunk_size']`` for one response.
    :param log_x_forwarded_for: whether the log shows what ``X-Forwarded-For`` says, too.
    :param custom_pool: a pool whose green threads serve the connections; `max_size` is ignored
        then.
    :param keepalive: False closes each connection after one request; a number is how many seconds
        it may wait for the next one.
    :param log_output: False turns the log off.
    :param log_format: a line of the access log, with the keys of `DEFAULT_LOG_FORMAT` and
        ``client_port``.
    :param url_length_limit: the longest request line, in bytes.
    :param debug: whether a 500 response shows the traceback.
    :param socket_timeout: seconds that one read from or write to a client may take; None is no
        limit.
    :param capitalize_response_headers: whether header names are sent as ``Foo-Bar`` however they
        are written.
    :raises TypeError: for an application that cannot be called, or an option that is not supported.
    """
    if not callable(site):
        raise TypeError(f"the application must be callable, not {type(site).__name__}")
    if protocol is not None:
        raise TypeError("wsgi.server: custom protocol classes are not supported")
    if custom_pool is not None and not (
        hasattr(custom_pool, "spawn") and hasattr(custom_pool, "waitall")
    ):
        raise AttributeError("custom_pool must have the methods 'spawn' and 'waitall'")
    logger = _Logger(log, debug)
    is_tls = hasattr(sock, "do_handshake")
    timeout = float(keepalive) if keepalive and not isinstance(keepalive, bool) else None
    native = _core.WsgiServer(
        site,
        _template(is_tls, environ),
        address=_fixed_address(sock),
        log_info=logger.info,
        log_output=log_output,
        log_format=None if log_format == DEFAULT_LOG_FORMAT else log_format,
        log_x_forwarded_for=log_x_forwarded_for,
        log_record=log.record if isinstance(log, RequestLog) else None,
        max_size=DEFAULT_MAX_SIMULTANEOUS_REQUESTS if max_size is None else max_size,
        keepalive=bool(keepalive),
        keepalive_timeout=timeout,
        socket_timeout=socket_timeout,
        minimum_chunk_size=MINIMUM_CHUNK_SIZE if minimum_chunk_size is None else minimum_chunk_size,
        debug=debug,
        capitalize=capitalize_response_headers,
        http10=max_http_version == "HTTP/1.0",
        url_length_limit=url_length_limit,
        header_line_limit=MAX_HEADER_LINE,
        header_limit=max(MAX_TOTAL_HEADER_SIZE, MAX_HEADER_LINE),
    )
    if server_event is not None:
        server_event.send(native)
    pid = os.getpid()
    try:
        if log_output:
            logger.info(f"({pid}) wsgi starting up on {_describe(sock, is_tls)}")
        if custom_pool is None and _is_plain(sock):
            os.set_blocking(sock.fileno(), False)
            native.serve(sock.fileno())
        else:
            _serve_objects(native, sock, custom_pool, max_size, logger)
    except (KeyboardInterrupt, SystemExit):
        if log_output:
            logger.info("wsgi exiting")
    finally:
        if log_output:
            logger.info(f"({pid}) wsgi exited")
        try:
            sock.close()
        except OSError:
            traceback.print_exc()


def _serve_objects(
    native: _core.WsgiServer, sock: Any, pool: Any, max_size: int | None, logger: _Logger
) -> None:
    """Accept connections here, for sockets that are not plain and for pools of the user."""
    from eventlet.convenience import _accept, _shake_hands
    from eventlet.greenio import GreenSocket
    from eventlet.greenpool import GreenPool

    if pool is None:
        pool = GreenPool(DEFAULT_MAX_SIMULTANEOUS_REQUESTS if max_size is None else max_size)
    if type(sock) is _socket.socket:
        sock = GreenSocket(sock)

    def handle(connection: Any, address: Any) -> None:
        if _shake_hands(connection):
            local = _host_port(connection.getsockname())
            native.serve_connection(connection, _host_port(address), local)
        else:
            connection.close()

    try:
        while is_accepting:
            connection, address = _accept(sock)
            pool.spawn(handle, connection, address)
            del connection, address  # not to keep it open while waiting for the next
    finally:
        native.drain()
        pool.waitall()


def _is_plain(sock: Any) -> bool:
    """Tell whether a listening socket is no more than its descriptor."""
    if not isinstance(sock, _socket.socket) or hasattr(sock, "do_handshake"):
        return False
    from eventlet.greenio import GreenSocket

    return type(sock).accept in (_socket.socket.accept, GreenSocket.accept)


def _template(is_tls: bool, extra: dict[str, Any] | None) -> dict[str, Any]:
    """Return what the environs of all requests have in common."""
    template: dict[str, Any] = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SCRIPT_NAME": "",
        "SERVER_PROTOCOL": "HTTP/1.0",
        "wsgi.errors": sys.stderr,
        "wsgi.multiprocess": False,
        "wsgi.multithread": True,
        "wsgi.run_once": False,
        "wsgi.url_scheme": "https" if is_tls else "http",
        "wsgi.version": (1, 0),
    }
    if is_tls:
        template["HTTPS"] = "on"
    if extra is not None:
        template.update(extra)
    return template


def _host_port(address: Any) -> tuple[str, str]:
    """Return an address as ``SERVER_NAME`` and ``SERVER_PORT`` have it."""
    if isinstance(address, tuple):
        return str(address[0]), str(address[1])
    return "unix", ""


def _fixed_address(sock: Any) -> tuple[str, str] | None:
    """Return the address that all connections of a listener have at this end, if it is one."""
    host, port = _host_port(sock.getsockname())
    return None if host in {"0.0.0.0", "::"} else (host, port)


def _describe(sock: Any, is_tls: bool) -> str:
    scheme = "https" if is_tls else "http"
    name = sock.getsockname()
    if isinstance(name, tuple):
        host = f"[{name[0]}]" if ":" in str(name[0]) else name[0]
        return f"{scheme}://{host}:{name[1]}"
    return f"{scheme}:{name}"
