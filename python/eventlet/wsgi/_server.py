"""The server as an object, and the function that makes one and has it serve."""

from __future__ import annotations

import atexit
import os
import socket as _socket
import traceback
import warnings
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, TextIO

import eventlet.wsgi as _wsgi
from eventlet import _core, greenthread
from eventlet.event import Event
from eventlet.greenio import shutdown_safe
from eventlet.timeout import Timeout
from eventlet.wsgi._defaults import (
    DEFAULT_LOG_FORMAT,
    DEFAULT_MAX_HTTP_VERSION,
    DEFAULT_MAX_SIMULTANEOUS_REQUESTS,
    MAX_REQUEST_LINE,
    MINIMUM_CHUNK_SIZE,
)
from eventlet.wsgi._listener import (
    bound_unsent,
    describe,
    environ_template,
    fixed_address,
    host_port,
    is_plain,
    securing,
)
from eventlet.wsgi._log import (
    LoggerNull,
    RequestLog,
    debug_writer,
    get_logger,
    line_writer,
    sheet_writer,
)
from eventlet.wsgi._protocol import (
    STATE_CLOSE,
    STATE_IDLE,
    HttpProtocol,
    has_gone,
    takes_part,
)

WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


#: Servers whose logs may have lines that have not been written.
_servers: weakref.WeakSet[Server] = weakref.WeakSet()


def _flush_logs() -> None:
    for server in list(_servers):
        server._flush_log()


# Nothing is lost at the end, and a child does not write what its parent has to.
atexit.register(_flush_logs)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_flush_logs)


class _Stop(BaseException):
    """Thrown into the green thread that accepts, to have it stop."""


class _Retire(BaseException):
    """Thrown into it to have it accept no more, and wait to be stopped."""


class Server:
    """Serves one application on one listening socket.

    ::

        server = wsgi.Server(sock, sock.getsockname(), app, max_size=100)
        server.start()
        ...
        server.stop(timeout=30)

    :param socket: a listening socket, as from `eventlet.listen`; wrapped for TLS, it serves HTTPS.
    :param address: the address that it is bound to.
    :param app: the application.

    The other arguments are those of `server`. Header limits that are not given are those that
    `eventlet.wsgi` has when the server is made.

    :raises TypeError: for an application that cannot be called, or an option that is not supported.
    :raises AttributeError: for a pool without ``spawn`` or ``waitall``.
    """

    def __init__(
        self,
        socket: Any,
        address: Any,
        app: WSGIApplication,
        log: Any | TextIO | None = None,
        environ: dict[str, Any] | None = None,
        max_http_version: str | None = None,
        protocol: Callable[..., Any] = HttpProtocol,
        minimum_chunk_size: int | None = None,
        log_x_forwarded_for: bool = True,
        keepalive: bool | float = True,
        log_output: bool = True,
        log_format: str = DEFAULT_LOG_FORMAT,
        url_length_limit: int = MAX_REQUEST_LINE,
        debug: bool = True,
        socket_timeout: float | None = None,
        capitalize_response_headers: bool = True,
        *,
        max_size: int | None = None,
        custom_pool: Any = None,
        head_timeout: float | None = 60.0,
        body_timeout: float | None = 60.0,
        send_timeout: float | None = 60.0,
        max_requests_per_connection: int | None = None,
        max_body_size: int | None = None,
        max_header_count: int = 200,
        max_header_line: int | None = None,
        max_header_size: int | None = None,
        proxy_protocol: bool | str = False,
        trusted_proxies: Sequence[str] = (),
        uwsgi: bool = False,
    ) -> None:
        if not callable(app):
            raise TypeError(f"the application must be callable, not {type(app).__name__}")
        if custom_pool is not None and not (
            hasattr(custom_pool, "spawn") and hasattr(custom_pool, "waitall")
        ):
            raise AttributeError("custom_pool must have the methods 'spawn' and 'waitall'")
        if not capitalize_response_headers:
            warnings.warn(
                "capitalize_response_headers=False is for clients that compare the names of"
                " headers with respect to case, which is wrong",
                DeprecationWarning,
                stacklevel=3,
            )
        #: The process that made the server.
        self.pid = os.getpid()
        self.socket = socket
        self.address = address
        self.app = app
        self.log: Any = get_logger(log, debug) if log_output else LoggerNull()
        self.environ = environ
        self.max_http_version = max_http_version
        self.protocol = protocol
        self.minimum_chunk_size = minimum_chunk_size
        self.log_x_forwarded_for = log_x_forwarded_for
        self.keepalive = keepalive
        self.log_output = log_output
        self.log_format = log_format
        self.url_length_limit = url_length_limit
        self.debug = debug
        self.socket_timeout = socket_timeout
        self.capitalize_response_headers = capitalize_response_headers
        self._is_tls = hasattr(socket, "do_handshake")
        self._pool = custom_pool
        self._max_size = DEFAULT_MAX_SIMULTANEOUS_REQUESTS if max_size is None else max_size
        timed = bool(keepalive) and not isinstance(keepalive, bool)
        line_limit = _wsgi.MAX_HEADER_LINE if max_header_line is None else max_header_line
        size_limit = _wsgi.MAX_TOTAL_HEADER_SIZE if max_header_size is None else max_header_size
        settings: Any = protocol if isinstance(protocol, type) else HttpProtocol
        #: Whether the protocol class has a part in handling requests.
        self._is_handled_in_python = takes_part(protocol)
        if self._is_handled_in_python and (proxy_protocol or uwsgi):
            raise TypeError("a protocol class with methods of its own reads HTTP, and nothing else")
        if proxy_protocol and self._is_tls and (custom_pool or securing(socket) is None):
            raise TypeError("a PROXY header before TLS excludes custom_pool, and an own accept()")
        #: Whether the native server knows what its connections are doing.
        self._is_native_known = not self._is_handled_in_python or (
            isinstance(protocol, type) and issubclass(protocol, HttpProtocol)
        )
        #: States of the connections that it handles, by identity.
        self._states: dict[int, Any] = {}
        #: Green threads that serve connections which were accepted in Python.
        self._threads: set[Any] = set()
        self._head_timeout = head_timeout
        self._header_line_limit = line_limit
        self._header_limit = max(size_limit, line_limit)
        self._native = _core.WsgiServer(
            app,
            environ_template(self._is_tls, environ),
            address=fixed_address(socket),
            log_info=line_writer(self.log) if log_output else line_writer(get_logger(log, debug)),
            log_output=log_output,
            log_format=None if log_format == DEFAULT_LOG_FORMAT else log_format,
            log_x_forwarded_for=log_x_forwarded_for,
            log_write=sheet_writer(self.log),
            log_record=log.record if isinstance(log, RequestLog) and log_output else None,
            max_size=self._max_size,
            keepalive=bool(keepalive),
            keepalive_timeout=float(keepalive) if timed else None,
            socket_timeout=socket_timeout,
            minimum_chunk_size=(
                getattr(settings, "minimum_chunk_size", MINIMUM_CHUNK_SIZE)
                if minimum_chunk_size is None
                else minimum_chunk_size
            ),
            debug=debug,
            capitalize=capitalize_response_headers,
            http10=(max_http_version or getattr(settings, "protocol_version", "")) == "HTTP/1.0",
            url_length_limit=url_length_limit,
            header_line_limit=line_limit,
            header_limit=self._header_limit,
            rules=(
                bool(getattr(settings, "require_host", True)),
                bool(getattr(settings, "reject_bad_requests", True)),
                bool(getattr(settings, "reject_http10_chunked", True)),
            ),
            log_debug=debug_writer(self.log, debug),
            head_timeout=head_timeout,
            body_timeout=body_timeout,
            send_timeout=send_timeout,
            max_requests_per_connection=max_requests_per_connection,
            max_body_size=max_body_size,
            max_header_count=max_header_count,
            proxy_protocol=proxy_protocol,
            trusted_proxies=list(trusted_proxies),
            uwsgi=uwsgi,
        )
        _servers.add(self)
        self._runner: Any = None
        self._accepting = False
        self._retiring = False
        self._ended = Event()

    def start(self) -> None:
        """Begin to serve, in a green thread of its own.

        :raises RuntimeError: if the server has been started before.
        """
        self._claim()
        self._runner = greenthread.spawn(self._run)
        # It accepts connections by the time this returns.
        greenthread.sleep(0)

    def serve_forever(self) -> None:
        """Serve in the calling green thread until `stop` is called or an exception is raised in it.

        KeyboardInterrupt and SystemExit make it return; any other exception is raised when all is
        done. At the end the connections that wait for their next request are closed, those that
        have made none get a second to begin one, those that have one running finish it, and then
        the listening socket is closed.

        :raises RuntimeError: if the server has been started before.
        """
        self._claim()
        self._runner = greenthread.getcurrent()
        self._run()

    def retire(self) -> None:
        """Stop accepting, and end each connection with its next response; `stop` is to follow.

        For a server whose place another process takes: clients that keep their connections get to
        know that they end, instead of losing a request that is on its way.
        """
        self._native.retire()
        if self._accepting and not self._retiring:
            self._retiring = True
            greenthread.kill(self._runner, _Retire())

    def _clear_backlog(self) -> None:
        """Accept what waits to be, and close the listening socket; each connection ends with its
        next response. `stop` is to follow. For connections that the native server accepts.
        """
        if self.socket.fileno() >= 0:
            self._native.clear_backlog(self.socket.fileno(), self.socket.close)

    def _is_clearing(self) -> bool:
        """Whether it has not accepted them all yet."""
        return self._native.is_clearing()

    def stop(self, timeout: float | None = None) -> bool:
        """Stop accepting, let the running requests finish, and close the listening socket.

        A connection that has made no request gets a second to begin one; one that waits for its
        next request is closed at once, unless that has arrived already.

        :param timeout: seconds until connections with a request running are cut; None waits for
            ever. Applications that do not use their connection are not interrupted.
        :return: whether all requests finished in time. True if the server was not serving.
        """
        if self._runner is None:
            return True
        self._native.stop()
        if self._accepting:
            greenthread.kill(self._runner, _Stop())
        in_time = False
        with Timeout(timeout, False):
            self._ended.wait()
            in_time = True
        if not in_time:
            # Who has only connected loses nothing that was running.
            in_time = self._is_native_known and not self._native.stats()["active"]
            greenthread.kill(self._runner, _Stop())
            self._ended.wait()
        return in_time

    def stats(self) -> dict[str, int]:
        """Return figures: connections ``accepted`` so far and open ``connections``, ``requests`` so
        far and those that are ``active``.
        """
        return self._native.stats()

    def process_request(self, conn_state: Any) -> None:
        """Serve one connection, in the calling green thread, until it ends.

        For programs that accept connections themselves.

        :param conn_state: ``[address, socket, STATE_IDLE]``.
        """
        address, connection = conn_state[0], conn_state[1]
        try:
            # A file of the program's own is to be used, too.
            if self._is_handled_in_python or "makefile" in getattr(connection, "__dict__", ()):
                self.protocol(conn_state, self)
            else:
                local = host_port(connection.getsockname())
                self._native.serve_connection(connection, host_port(address), local)
        except TimeoutError:
            connection.close()
            self.log.debug(f"({self.pid}) timed out {address!r}")
        except OSError as error:
            if not has_gone(error):
                raise
            connection.close()
            self.log.debug(f"({self.pid}) connection ended by peer {address!r}: {error}")

    def get_environ(self) -> dict[str, Any]:
        """Return what the environs of all requests have in common."""
        return environ_template(self._is_tls, self.environ)

    def _claim(self) -> None:
        if self._runner is not None:
            raise RuntimeError("this server has been started before")

    def _run(self) -> None:
        try:
            self._note(f"({self.pid}) wsgi starting up on {describe(self.socket, self._is_tls)}")
            bound_unsent(self.socket)
            secure = securing(self.socket)
            is_native = self._pool is None and not self._is_handled_in_python
            if is_native and (is_plain(self.socket) or secure is not None):
                os.set_blocking(self.socket.fileno(), False)
                self._native.serve(self.socket.fileno(), secure)
            else:
                self._serve_objects()
        except (KeyboardInterrupt, SystemExit):
            self._note("wsgi exiting")
        except _Stop:
            pass
        finally:
            try:
                self._note(f"({self.pid}) wsgi exited")
                self._flush_log()
                self.socket.close()
            except OSError:
                traceback.print_exc()
            finally:
                self._ended.send()

    def _note(self, line: str) -> None:
        """Log a line after all that has been logged; a log that does not work is no obstacle."""
        if self.log_output:
            self._native.log_line(line)

    def _flush_log(self) -> None:
        """Have all that has been logged in the file, if it is one."""
        self._native.flush_log()
        if sheet_writer(self.log) is not None:
            # What is wrong with the file has been reported; a ValueError is one that is closed.
            with suppress(OSError, ValueError):
                self.log.log.flush()

    def _serve_objects(self) -> None:
        """Accept connections here, for sockets that are not plain and for pools of the user."""
        from eventlet.convenience import _accept
        from eventlet.greenio import GreenSocket
        from eventlet.greenpool import GreenPool

        pool, sock = self._pool, self.socket
        if pool is None:
            pool = GreenPool(self._max_size)
        if type(sock) is _socket.socket:
            sock = GreenSocket(sock)
        try:
            self._accepting = True
            while _wsgi.is_accepting:
                try:
                    connection, address = _accept(sock)
                except _Retire:
                    Event().wait()
                state = [address, connection, STATE_IDLE]
                self._states[id(state)] = state
                thread = pool.spawn(self._handle, state)
                self._threads.add(thread)
                thread.link(self._forget, state)
                # Not to keep it open while waiting for the next.
                del connection, address, state, thread
        except _Stop:
            pass
        finally:
            self._accepting = False
            self._drain()
            sweeper = greenthread.spawn(self._sweep)
            try:
                pool.waitall()
            except BaseException:
                self._cut()
                raise
            finally:
                sweeper.kill()

    def _drain(self) -> None:
        """Close the connections that wait for their next request, and have the others end with
        theirs.
        """
        for state in self._states.values():
            is_idle = state[2] == STATE_IDLE
            state[2] = STATE_CLOSE
            if is_idle and not self._is_native_known:
                shutdown_safe(state[1])
        self._native.drain(late=False)

    def _sweep(self) -> None:
        """Close those that have still not made a request, again and again: one may come late, from
        the handshake of TLS.
        """
        while True:
            greenthread.sleep(self._native.FIRST_REQUEST_TIME)
            self._native.drain(late=True)

    def _cut(self) -> None:
        """End the connections, whatever they are doing."""
        for thread in list(self._threads):
            greenthread.kill(thread)

    def _forget(self, thread: Any, state: Any) -> None:
        self._threads.discard(thread)
        self._states.pop(id(state), None)

    def _handle(self, state: Any) -> None:
        from eventlet.convenience import _shake_hands

        connection = state[1]
        if getattr(connection, "_handshake_due", False):
            timeout = connection.gettimeout()
            connection.settimeout(self._head_timeout)
            if not _shake_hands(connection):
                connection.close()
                return
            connection.settimeout(timeout)
        self.process_request(state)


def server(
    sock: Any,
    site: WSGIApplication,
    log: Any | TextIO | None = None,
    environ: dict[str, Any] | None = None,
    max_size: int | None = None,
    max_http_version: str = DEFAULT_MAX_HTTP_VERSION,
    protocol: Callable[..., Any] = HttpProtocol,
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
    *,
    head_timeout: float | None = 60.0,
    body_timeout: float | None = 60.0,
    send_timeout: float | None = 60.0,
    max_requests_per_connection: int | None = None,
    max_body_size: int | None = None,
    max_header_count: int = 200,
    max_header_line: int | None = None,
    max_header_size: int | None = None,
    proxy_protocol: bool | str = False,
    trusted_proxies: Sequence[str] = (),
    uwsgi: bool = False,
) -> None:
    """Serve a WSGI application until its green thread is killed, or the program is interrupted.

    KeyboardInterrupt and SystemExit make it return; any other exception is raised when all is done.
    At the end the connections that wait for their next request are closed, those that have made
    none get a second to begin one, those that have one running finish it, and then the listening
    socket is closed.

    :param sock: a listening socket, as from `eventlet.listen`; wrapped for TLS, it serves HTTPS.
    :param site: the application.
    :param log: a logger, a file to write to, or a `RequestLog`; stderr by default.
    :param environ: what to add to the environ of each request.
    :param max_size: how many connections there may be at a time; further ones wait in the backlog.
        While they do, connections end with their next response, and those that stay idle are
        closed, the longest idle first.
    :param max_http_version: ``"HTTP/1.0"`` turns off persistent connections and chunked responses.
    :param protocol: `HttpProtocol` or a subclass: its attributes are settings, and methods that it
        overrides are called.
    :param server_event: an event that is sent the `Server`.
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
        limit. It replaces `body_timeout` and `send_timeout`.
    :param capitalize_response_headers: whether header names are sent as ``Foo-Bar`` however they
        are written. False is deprecated.
    :param head_timeout: seconds until the head of a request is complete, from its first byte; then
        the answer is 408. A new connection may take as long to begin a request, and for a TLS
        handshake and a PROXY header. None is no limit, here and below.
    :param body_timeout: seconds without progress of a request body that is being read. Reading
        raises TimeoutError then; if the application lets it pass, the answer is 408.
    :param send_timeout: seconds without progress of a response that is being sent. Then the
        connection is closed.
    :param max_requests_per_connection: after how many requests a connection is closed.
    :param max_body_size: the longest request body, in bytes; beyond it: 413, without asking the
        application if the request says how long it is. In one that is sent in chunks, reading
        beyond it raises `ChunkReadError`.
    :param max_header_count: how many header fields a request may have; beyond it: 431.
    :param max_header_line: the longest header field, in bytes, instead of `MAX_HEADER_LINE`.
    :param max_header_size: the longest header section, in bytes, instead of
        `MAX_TOTAL_HEADER_SIZE`.
    :param proxy_protocol: whether trusted proxies send a PROXY header, of version ``"v1"`` or
        ``"v2"`` alone or of either (True).
        A connection from anybody else is closed at once, and so is one that does not begin with
        such a header. The address in it is ``REMOTE_ADDR`` and ``REMOTE_PORT``, in the log, too.
        Over TLS it comes before the handshake; this cannot be had with a `custom_pool`.
    :param trusted_proxies: addresses and networks whose ``X-Forwarded-For``, ``-Proto`` and
        ``-Host`` and PROXY headers are believed; ``"unix"`` for Unix sockets, ``"*"`` for all.
        ``REMOTE_ADDR`` is then the last address of ``X-Forwarded-For`` that is not listed here
        (with ``"*"`` alone: the last), and ``REMOTE_PORT`` its port or ``"0"``. The others set
        ``wsgi.url_scheme`` and ``HTTPS``, and ``HTTP_HOST``, ``SERVER_NAME`` and ``SERVER_PORT``;
        of each the last member counts.
    :param uwsgi: whether the listener speaks the uwsgi protocol instead of HTTP, as nginx does for
        ``uwsgi_pass``. Only that web server should be able to reach it.
    :raises TypeError: for an application that cannot be called, or an option that is not supported.
    :raises AttributeError: for a pool without ``spawn`` or ``waitall``.
    """
    serving = Server(
        sock,
        sock.getsockname(),
        site,
        log,
        environ,
        max_http_version,
        protocol,
        minimum_chunk_size,
        log_x_forwarded_for,
        keepalive,
        log_output,
        log_format,
        url_length_limit,
        debug,
        socket_timeout,
        capitalize_response_headers,
        max_size=max_size,
        custom_pool=custom_pool,
        head_timeout=head_timeout,
        body_timeout=body_timeout,
        send_timeout=send_timeout,
        max_requests_per_connection=max_requests_per_connection,
        max_body_size=max_body_size,
        max_header_count=max_header_count,
        max_header_line=max_header_line,
        max_header_size=max_header_size,
        proxy_protocol=proxy_protocol,
        trusted_proxies=trusted_proxies,
        uwsgi=uwsgi,
    )
    if server_event is not None:
        server_event.send(serving)
    serving.serve_forever()
