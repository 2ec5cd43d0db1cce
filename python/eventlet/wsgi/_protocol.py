"""The class to subclass for a say in how a connection is handled.

A request of a plain `HttpProtocol` never gets here: the native server reads, parses and answers it.
The class is for programs that override parts of that. Then one green thread serves a connection
with the methods below; what they call for heads, bodies and responses is the native server still.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from eventlet import _core
from eventlet.green import BaseHTTPServer
from eventlet.greenio import shutdown_safe
from eventlet.timeout import Timeout
from eventlet.wsgi._defaults import MINIMUM_CHUNK_SIZE
from eventlet.wsgi._listener import host_port

if TYPE_CHECKING:
    from eventlet.wsgi._server import Server

#: What a connection is doing, as the third item of its state: it waits for a request.
STATE_IDLE = "idle"

#: A request is being read or answered.
STATE_REQUEST = "request"

#: It is to be closed.
STATE_CLOSE = "close"

#: Errors of a connection that the client has ended.
BROKEN_SOCK = {errno.EPIPE, errno.ECONNRESET, errno.ESHUTDOWN}

#: Errors of a connection that this end has closed.
_BAD_SOCK = {errno.EBADF}

#: How many empty lines may precede a request.
_EMPTY_LINES = 2

#: One byte more than CRLF: so much beyond its limit shows that a line is too long.
_LINE_END = 3

#: How long, and for how many bytes, a client is listened to after the last response.
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 1 << 20


class _HeadTooLong(Exception):
    """The head of a request goes beyond a limit."""


class _HeadLines:
    """Hands out the lines of a head, and keeps them."""

    def __init__(self, file: Any, first: bytes, line_limit: int, limit: int) -> None:
        self._file = file
        self._line_limit = line_limit
        self._limit = limit
        self.head = first

    def readline(self, size: int = -1) -> bytes:
        most = self._line_limit + _LINE_END
        line: bytes = self._file.readline(most if size < 0 else min(size, most))
        self.head += line
        if len(self.head) > self._limit or len(line) == most:
            raise _HeadTooLong
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class HttpProtocol(BaseHTTPServer.BaseHTTPRequestHandler):
    """Serves the requests of one connection.

    A subclass is given to a server as its `protocol`. One that overrides methods is called in a
    green thread of its own for each connection; one that only sets the attributes below costs
    nothing. What is not listed here is as in `http.server.BaseHTTPRequestHandler`.

    :param conn_state: the connection as ``[address, socket, state]``.
    :param server: the server.
    """

    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"

    #: Blocks of a response are gathered until there is this much, in bytes, unless the server has
    #: been told how much.
    minimum_chunk_size = MINIMUM_CHUNK_SIZE

    #: Whether header names are sent as ``Foo-Bar``; what the server has been told is put here.
    capitalize_response_headers = True

    #: Whether a request with both Content-Length and Transfer-Encoding is refused. If not, the
    #: Content-Length means nothing, and the connection is closed after the response.
    reject_bad_requests = True

    #: Whether an HTTP/1.1 request without Host is refused, as RFC 9112 demands.
    require_host = True

    #: Whether Transfer-Encoding is refused in HTTP/1.0, which has none. If not, the body is read in
    #: chunks, and the connection is closed after the response.
    reject_http10_chunked = True

    disable_nagle_algorithm = True
    wbufsize = 16 * 1024

    server: Server  # type: ignore[assignment]
    rfile: Any
    close_connection: bool

    def __init__(self, conn_state: Any, server: Server) -> None:
        self.conn_state = conn_state
        self.client_address = conn_state[0]
        self.request = conn_state[1]
        self.server = server
        if server.minimum_chunk_size is not None:
            self.minimum_chunk_size = server.minimum_chunk_size
        self.capitalize_response_headers = server.capitalize_response_headers
        self.environ: dict[str, Any] = {}
        self._begun: dict[str, Any] | None = None
        self._head: _HeadLines | None = None
        self._lingers = False
        self._waits_for_the_first = True
        self.setup()
        local = host_port(self.connection.getsockname())
        self._session = _core.Session(server._native, self, local)
        try:
            try:
                self.handle()
                if self._lingers:
                    self._linger()
            finally:
                self.finish()
        finally:
            self._session.close()

    def setup(self) -> None:
        """Make `connection`, `rfile` and `wfile` from the socket."""
        self.connection = self.request
        if self.disable_nagle_algorithm:
            # A Unix socket has no such option, and needs none.
            with suppress(OSError):
                self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self.rfile = self.connection.makefile("rb", self.rbufsize)
        self.wfile = self.connection.makefile("wb", self.wbufsize)

    def handle(self) -> None:
        """Handle requests until there are no more."""
        self.close_connection = True
        while True:
            try:
                self.handle_one_request()
            except _core.RequestRefused as refusal:
                # Of a subclass that has read the head in its own way.
                self._refuse(refusal)
            if self.conn_state[2] == STATE_CLOSE:
                self.close_connection = True
            else:
                self.conn_state[2] = STATE_IDLE
            if self.close_connection:
                return

    def handle_one_request(self) -> None:
        """Read one request and have the application answer it."""
        if self.server.max_http_version:
            self.protocol_version = self.server.max_http_version
        for _ in range(_EMPTY_LINES + 1):
            self.raw_requestline = self._read_request_line()
            if self.raw_requestline != b"\r\n":
                break
        if self.conn_state[2] != STATE_CLOSE:
            self.conn_state[2] = STATE_REQUEST
        if not self.raw_requestline:
            self.close_connection = True
            return
        if not self._read_head():
            self.close_connection = True
            return
        self.environ = self.get_environ()
        self.application = self.server.app
        self.handle_one_response()

    def _read_request_line(self) -> bytes:
        """Wait for a request and return its first line; nothing at the end of the connection."""
        if self.rfile.closed:
            return b""
        server = self.server
        try:
            self.connection.settimeout(self._patience())
            self._waits_for_the_first = False
            peek = getattr(self.rfile, "peek", None)
            if peek is not None and not peek(1):
                return b""
            with self._head_timeout():
                line: bytes = self.rfile.readline(server.url_length_limit + _LINE_END)
            self.connection.settimeout(server.socket_timeout)
        except OSError as error:
            if error.errno in BROKEN_SOCK:
                server.log.debug(f"({server.pid}) connection reset by peer {self.client_address!r}")
            elif error.errno not in _BAD_SOCK:
                raise
            return b""
        return line

    def _patience(self) -> float | None:
        """Return the seconds that the next request may take to begin."""
        server = self.server
        limits = [server.socket_timeout]
        if server.keepalive and not isinstance(server.keepalive, bool):
            limits = [float(server.keepalive)]
        if self._waits_for_the_first:
            limits.append(server._head_timeout)
        return min((limit for limit in limits if limit is not None), default=None)

    def _head_timeout(self) -> Timeout:
        too_slow = TimeoutError("the head of a request takes too long")
        return Timeout(self.server._head_timeout, too_slow)

    def _read_head(self) -> bool:
        """Read the rest of a head; False if it has been refused, or ends early."""
        self._begun = None
        self._session.begin_head()
        self.requestline = self.raw_requestline.decode("latin-1").rstrip("\r\n")
        self.command = ""
        self.request_version = self.default_request_version
        file = self.rfile
        head = self.rfile = self._head = self._head_lines()
        try:
            if not head.head.endswith(b"\n"):
                # Either the line has no end within its limit, or the connection has ended.
                too_long = len(head.head) > self.server.url_length_limit
                return too_long and self._begin()
            with self._head_timeout():
                # However a subclass reads the head, what it says is found out natively.
                return self.parse_request() and (self._begun is not None or self._begin())
        except _HeadTooLong:
            return self._begin()
        finally:
            self.rfile = file

    def _head_lines(self) -> _HeadLines:
        server = self.server
        limit = server.url_length_limit + server._header_limit
        return _HeadLines(self.rfile, self.raw_requestline, server._header_line_limit, limit)

    def parse_request(self) -> bool:
        """Read the head whose first line is `raw_requestline`, and set attributes from it.

        They are `command`, `path`, `request_version`, `headers`, `requestline` and
        `close_connection`. Return False if there is no request: it has been answered with an error,
        or the client has gone.
        """
        head = self._head
        if head is None or self.rfile is not head:
            head = self._head = self._head_lines()
        line = b" "
        while line not in (b"\r\n", b"\n", b""):
            line = head.readline()
        if not line or not self._begin():
            return False
        assert self._begun is not None
        self.command, self.path, self.request_version = self.requestline.split(" ")
        # The type comes from a class of the subclass's own.
        headers: Any = self.MessageClass()
        for name, value in self._begun["headers_raw"]:
            headers[name] = value
        self.headers = headers
        return True

    def _begin(self) -> bool:
        assert self._head is not None
        remote = host_port(self.client_address)
        try:
            self._begun, persists = self._session.begin(self._head.head, remote)
        except _core.RequestRefused as refusal:
            self._refuse(refusal)
            return False
        except ConnectionAbortedError:
            # The server has closed it meanwhile.
            self.close_connection = True
            return False
        self.close_connection = not persists
        return True

    def _refuse(self, refusal: _core.RequestRefused) -> None:
        self.close_connection = True
        self._lingers = True
        self.send_error(*refusal.args)

    def get_environ(self) -> dict[str, Any]:
        """Return the environ of the request that has been read."""
        environ = self._begun
        if environ is None:
            # A subclass has read the request all by itself.
            fields = [f"{name}: {value}" for name, value in self.headers.items()]
            head = "\r\n".join([self.requestline, *fields, "", ""]).encode("latin-1")
            environ, _ = self._session.begin(head, host_port(self.client_address))
        environ["REQUEST_METHOD"] = self.command
        if self.headers.get("content-type") is None:
            environ["CONTENT_TYPE"] = self.headers.get_content_type()
        # Not `self`: that has the environ, and the two would keep one another.
        conn_state, native_set_idle = self.conn_state, environ["eventlet.set_idle"]

        def set_idle() -> None:
            conn_state[2] = STATE_IDLE
            native_set_idle()

        environ["eventlet.set_idle"] = set_idle
        return environ

    def handle_one_response(self) -> None:
        """Call the application with `environ` and send its response."""
        persists, self._lingers = self._session.respond(self.environ, bool(self.close_connection))
        if not persists:
            self.close_connection = True

    def get_client_address(self) -> tuple[str, str]:
        """Return the address and the port of the client, as the log shows them."""
        host, port = host_port(self.client_address)
        if self.server.log_x_forwarded_for:
            forwarded = self.headers.get("X-Forwarded-For", "").replace(" ", "")
            if forwarded:
                host = f"{forwarded},{host}"
        return host, port

    def _own_client_address(self) -> tuple[str, str] | None:
        """Return what a subclass says of the client; None if it leaves that to the server."""
        if type(self).get_client_address is _MADE_OF["get_client_address"]:
            return None
        return self.get_client_address()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is not a request; the connection is closed.

        :param code: the status code.
        :param message: the reason phrase; by default the usual one.
        :param explain: a line for the client to read.
        """
        usual, description = self.responses.get(code, ("Unknown", ""))
        self.close_connection = True
        self._session.refuse(code, message or usual, explain or description)

    def log_message(self, format: str, *args: Any) -> None:
        """Log a line, after ``%`` with the arguments, to the log of the server."""
        self.server.log.info(format % args)

    def handle_expect_100(self) -> bool:
        """Return True: the application decides, when it reads."""
        return True

    def finish(self) -> None:
        """Close the files and the connection."""
        try:
            super().finish()
        except OSError as error:
            if error.errno not in BROKEN_SOCK:
                raise
        shutdown_safe(self.connection)
        self.connection.close()

    def _linger(self) -> None:
        """Listen to the client for a while: to close at once could destroy the last response."""
        # A ValueError is a file that has been closed.
        with suppress(OSError, ValueError), Timeout(_LINGER_SECONDS, False):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            read = getattr(self.rfile, "read1", self.rfile.read)
            left = _LINGER_BYTES
            while left > 0 and (data := read(65536)):
                left -= len(data)


def has_gone(error: OSError) -> bool:
    """Tell whether an error says no more than that a connection has ended."""
    if isinstance(error, ConnectionError) or error.errno in BROKEN_SOCK | _BAD_SOCK:
        return True
    # Its classes are not asked for: a program that does not use TLS need not load them.
    return type(error).__name__ in {"SSLEOFError", "SSLZeroReturnError"}


#: Attributes of a subclass that are no reason to handle its connections here.
_SETTINGS = frozenset(
    {
        "capitalize_response_headers",
        "default_request_version",
        "disable_nagle_algorithm",
        "error_content_type",
        "error_message_format",
        "minimum_chunk_size",
        "protocol_version",
        "rbufsize",
        "reject_bad_requests",
        "reject_http10_chunked",
        "require_host",
        "server_version",
        "sys_version",
        "timeout",
        "wbufsize",
    }
)

#: What the class has been made of: a program may put methods of its own into it.
_MADE_OF = dict(vars(HttpProtocol))


def takes_part(protocol: Callable[..., Any]) -> bool:
    """Tell whether a protocol class does anything that the native server does not do by itself."""
    if not (isinstance(protocol, type) and issubclass(protocol, HttpProtocol)):
        return True
    for base in protocol.__mro__:
        if base is HttpProtocol:
            break
        for name in vars(base).keys() - _SETTINGS:
            if hasattr(HttpProtocol, name) and not _is_of_any_class(name):
                return True
    changed = {
        name for name, value in vars(HttpProtocol).items() if value is not _MADE_OF.get(name)
    }
    return bool(changed - _SETTINGS)


def _is_of_any_class(name: str) -> bool:
    return name.startswith("__") and name != "__init__"
