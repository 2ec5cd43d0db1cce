"""A worker for gunicorn, which has none for Eventlet any more (since its version 26)::

    gunicorn --worker-class eventlet.gunicorn.EventletWorker --workers 4 shop.web:app

Importing this module patches the standard library, so that what gunicorn and the application import
later is green. That is the case in gunicorn's own process too; an application that is preloaded
there gets what it expects.

Connections are served by `eventlet.wsgi`, natively, with gunicorn's settings. Settings that ask for
what only gunicorn's parser does (HTTP/2, the PROXY and uwsgi protocols, lenient parsing) have each
connection handled by gunicorn's own code, in a green thread of its own.
"""

from __future__ import annotations

import eventlet

eventlet.monkey_patch()

import contextlib  # noqa: E402
import ipaddress  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Iterable  # noqa: E402
from datetime import timedelta  # noqa: E402
from typing import Any  # noqa: E402

from gunicorn import glogging  # noqa: E402
from gunicorn.http.wsgi import base_environ  # noqa: E402
from gunicorn.sock import ssl_context, ssl_wrap_socket  # noqa: E402
from gunicorn.workers.base_async import AsyncWorker  # noqa: E402

from eventlet import greenpool, hubs, wsgi  # noqa: E402
from eventlet.greenio import GreenSocket  # noqa: E402
from eventlet.wsgi._listener import environ_template  # noqa: E402

__all__ = ["EventletWorker"]

#: Seconds between two signs of life, and looks at whether the arbiter is still there.
_BEAT = 1.0

#: Seconds that connections get to learn with a response that they end.
_LINGER = 2.0

#: What "no limit" is for a line, in bytes: gunicorn's 0 has no other end than memory.
_NO_LIMIT = 1024 * 1024

#: Settings that only gunicorn's parser follows, with the values that ask for nothing special.
_PLAIN = {
    "casefold_http_method": False,
    "header_map": "drop",
    "permit_obsolete_folding": False,
    "permit_unconventional_http_method": False,
    "permit_unconventional_http_version": False,
    "protocol": "http",
    "proxy_protocol": False,
    "root_path": "",
    "strip_header_spaces": False,
}


class EventletWorker(AsyncWorker):  # type: ignore[misc]
    """Serves each request in a green thread of its own."""

    alive: bool
    nr: int
    _quick = False

    def run(self) -> None:
        """Serve until told to stop; then let running requests finish, if they do so in time."""
        heart = eventlet.spawn(self._beat)
        if _is_native(self.cfg):
            serving: _Native | _Classic = _Native(self)
        else:
            serving = _Classic(self)
        serving.start()
        while self.alive:
            self._wait_for_signal()
        if self._quick:
            sys.exit(0)
        serving.stop(self.cfg.graceful_timeout)
        heart.kill()

    def _beat(self) -> None:
        while True:
            self.notify()
            if self.ppid != os.getppid() and self.alive:
                self.log.info("Parent changed, shutting down: %s", self)
                self.alive = False
                self._wake()
            eventlet.sleep(_BEAT)

    def _wait_for_signal(self) -> None:
        """Sleep until a signal has come; gunicorn has the interpreter write to this pipe then."""
        with contextlib.suppress(eventlet.Timeout):
            hubs.trampoline(self.PIPE[0], read=True, timeout=_BEAT)
        with contextlib.suppress(BlockingIOError):
            os.read(self.PIPE[0], 4096)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self.PIPE[1], b"1")

    def count(self) -> None:
        """Count a request; after the last one that this worker is to serve, it ends."""
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
            self._wake()

    # What gunicorn's handlers of signals do, they do by waiting or by raising in whatever code
    # happens to run, which may be the hub.

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Stop at once."""
        eventlet.spawn(self._quit)

    def _quit(self) -> None:
        self.cfg.worker_int(self)
        self._quick = True
        self.alive = False
        self._wake()

    def handle_abort(self, sig: int, frame: Any) -> None:
        """The arbiter has not heard of this worker for too long."""
        self.alive = False
        self.cfg.worker_abort(self)
        os._exit(1)

    def handle_usr1(self, sig: int, frame: Any) -> None:
        """Open logs anew."""
        eventlet.spawn(super().handle_usr1, sig, frame)

    # For connections that gunicorn handles.

    def timeout_ctx(self) -> Any:
        """Limit the wait for the next request of a connection."""
        return eventlet.Timeout(self.cfg.keepalive or None, False)

    def is_already_handled(self, respiter: Any) -> bool:
        """Tell whether the application has answered through the socket itself."""
        if getattr(wsgi.WSGI_LOCAL, "already_handled", False):
            wsgi.WSGI_LOCAL.already_handled = False
            raise StopIteration
        handled: bool = super().is_already_handled(respiter)
        return handled

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve one connection with gunicorn's parser."""
        if self.cfg.is_ssl:
            try:
                client = ssl_wrap_socket(client, self.cfg)
            except OSError as error:
                self.log.debug("Error processing SSL request: %s", error)
                client.close()
                return
        super().handle(listener, client, addr)


def _is_native(cfg: Any) -> bool:
    """Whether `eventlet.wsgi` can do all that the settings ask for."""
    if "h2" in getattr(cfg, "http_protocols", ()):
        return False
    for name, plain in _PLAIN.items():
        value = getattr(cfg, name, plain)
        # Newer versions have "off" where older ones have False.
        if value != plain and not (plain is False and value in ("off", None)):
            return False
    return True


class _Classic:
    """Accepts connections for gunicorn to handle."""

    def __init__(self, worker: EventletWorker) -> None:
        self._worker = worker
        self._pool = greenpool.GreenPool(worker.worker_connections)
        self._listeners = [_green(listener) for listener in worker.sockets]
        self._acceptors: list[Any] = []

    def start(self) -> None:
        """Begin to accept."""
        for listener in self._listeners:
            self._acceptors.append(eventlet.spawn(self._accept, listener))

    def _accept(self, listener: Any) -> None:
        from eventlet.convenience import _accept

        known = _Known(listener)
        while True:
            connection, address = _accept(listener)
            self._pool.spawn_n(self._worker.handle, known, connection, address)
            del connection, address

    def stop(self, timeout: float) -> None:
        """Accept no more, and wait for connections to end."""
        for acceptor in self._acceptors:
            acceptor.kill()
        for listener in self._listeners:
            listener.close()
        in_time = False
        with eventlet.Timeout(timeout, False):
            self._pool.waitall()
            in_time = True
        if not in_time:
            self._worker.log.warning("Worker graceful timeout (pid:%s)", self._worker.pid)


class _Known:
    """A listening socket whose address is known to those, too, whose turn comes after its end."""

    def __init__(self, listener: Any) -> None:
        self._listener = listener
        self._address = listener.getsockname()

    def getsockname(self) -> Any:
        """Where it listens, or did."""
        return self._address

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)


class _Native:
    """Has `eventlet.wsgi` serve the sockets."""

    def __init__(self, worker: EventletWorker) -> None:
        cfg = worker.cfg
        self._worker = worker
        self._application = _Application(worker)
        log = _Log(worker, self._application)
        environ = base_environ(cfg)
        if "wsgi.file_wrapper" in environ_template(False, None):
            # The server's own knows how to send files.
            del environ["wsgi.file_wrapper"]
        environ["wsgi.multithread"] = True
        environ["SERVER_PROTOCOL"] = "HTTP/1.1"
        line = cfg.limit_request_field_size or _NO_LIMIT
        context = ssl_context(cfg) if cfg.is_ssl else None
        self._servers = []
        for listener in worker.sockets:
            sock: Any = _green(listener)
            if context is not None:
                sock = context.wrap_socket(
                    sock, server_side=True, suppress_ragged_eofs=cfg.suppress_ragged_eofs
                )
            self._servers.append(
                wsgi.Server(
                    sock,
                    sock.getsockname(),
                    self._application,
                    log=log,
                    environ=environ,
                    keepalive=cfg.keepalive or False,
                    log_x_forwarded_for=False,
                    debug=False,
                    minimum_chunk_size=0,
                    max_size=worker.worker_connections,
                    url_length_limit=cfg.limit_request_line or _NO_LIMIT,
                    max_header_count=cfg.limit_request_fields,
                    max_header_line=line,
                    max_header_size=min(cfg.limit_request_fields * (line + 2) + 4, 64 * _NO_LIMIT),
                )
            )

    def start(self) -> None:
        """Begin to serve."""
        for server in self._servers:
            server.start()

    def stop(self, timeout: float) -> None:
        """Accept no more, and let requests and connections end."""
        deadline = time.monotonic() + timeout
        linger = min(deadline, time.monotonic() + _LINGER)
        for server in self._servers:
            server.retire()
        while time.monotonic() < linger and any(
            server.stats()["connections"] for server in self._servers
        ):
            eventlet.sleep(0.05)
        pool = greenpool.GreenPool()
        left = max(0.0, deadline - time.monotonic())
        if not all(pool.imap(lambda server: server.stop(left), self._servers)):
            self._worker.log.warning("Worker graceful timeout (pid:%s)", self._worker.pid)


def _green(listener: Any) -> Any:
    """gunicorn's listener as a green socket that waits, which gunicorn has told it not to do."""
    sock = listener.sock
    if not isinstance(sock, GreenSocket):
        sock = GreenSocket(sock)
    sock.setblocking(True)
    return sock


class _Response:
    """What hooks and loggers of gunicorn know of a response."""

    def __init__(self) -> None:
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self.sent = 0

    @property
    def status_code(self) -> int:
        """The status, as a number."""
        return int(self.status[:3])


class _Request:
    """What hooks and loggers of gunicorn know of a request."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self.response = _Response()
        self.method: str = environ.get("REQUEST_METHOD", "-")
        self.path: str = environ.get("PATH_INFO", "")
        self.query: str = environ.get("QUERY_STRING", "")
        self.fragment = ""
        self.uri: str = environ.get("RAW_URI", "-")
        self.scheme: str = environ.get("wsgi.url_scheme", "http")
        self.version = (1, 0 if environ.get("SERVER_PROTOCOL") == "HTTP/1.0" else 1)
        self.remote_addr = (environ.get("REMOTE_ADDR", ""), environ.get("REMOTE_PORT", ""))
        self.peer_addr = self.remote_addr
        self.headers: list[tuple[str, str]] = [
            (name.upper(), value) for name, value in environ.get("headers_raw", ())
        ]
        self.trailers: list[tuple[str, str]] = []
        self.body = environ.get("wsgi.input")
        self.proxy_protocol_info = None


class _Application:
    """The application, with what gunicorn promises it and its settings ask for."""

    def __init__(self, worker: EventletWorker) -> None:
        cfg = worker.cfg
        self._worker = worker
        self._application = worker.wsgi
        self._script_name = os.environ.get("SCRIPT_NAME", "")
        self._schemes = [
            ("HTTP_" + name.upper().replace("-", "_"), value)
            for name, value in cfg.secure_scheme_headers.items()
        ]
        self._forwarders = {name.upper() for name in getattr(cfg, "forwarder_headers", ())}
        self._trusted = _Trusted(cfg.forwarded_allow_ips)
        #: Whether somebody wants to see requests and responses as gunicorn has them.
        self.is_watched = (
            _is_set(cfg, "pre_request")
            or _is_set(cfg, "post_request")
            or "}o" in cfg.access_log_format
            or not _is_plain(worker.log)
        )

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        worker = self._worker
        worker.count()
        path: str = environ["RAW_PATH_INFO"]
        query = environ.get("QUERY_STRING")
        environ["RAW_URI"] = path if not query else f"{path}?{query}"
        environ.setdefault("QUERY_STRING", "")
        if environ["REMOTE_ADDR"] in self._trusted and not self._believe(environ):
            body = b"Contradictory scheme headers\n"
            start_response("400 Bad Request", [("Content-Length", str(len(body)))])
            return [body]
        if self._script_name:
            environ["SCRIPT_NAME"] = self._script_name
        if environ["SCRIPT_NAME"]:
            script_name = environ["SCRIPT_NAME"]
            if not environ["PATH_INFO"].startswith(script_name):
                raise ValueError(f"the path {path!r} does not start with {script_name!r}")
            environ["PATH_INFO"] = environ["PATH_INFO"][len(script_name) :]
        if "HTTP_UPGRADE" in environ:
            environ["gunicorn.socket"] = environ["eventlet.input"].get_socket()
        if self.is_watched:
            return self._watched(environ, start_response)
        return self._application(environ, start_response)

    def _believe(self, environ: dict[str, Any]) -> bool:
        """Take over what a proxy says; whether it is free of contradictions."""
        schemes = {
            "https" if environ[key] == value else "http"
            for key, value in self._schemes
            if key in environ
        }
        if len(schemes) > 1:
            return False
        if schemes:
            (environ["wsgi.url_scheme"],) = schemes
        # Names with an underscore are not in the environ, as they could be mistaken for others.
        for name in self._forwarders:
            found = [
                value for key, value in environ["headers_raw"] if key.upper() == name and "_" in key
            ]
            if found:
                key = name if name in ("PATH_INFO", "SCRIPT_NAME") else f"HTTP_{name}"
                environ[key] = ",".join(found)
        return True

    def _watched(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        request = environ["eventlet.gunicorn"] = _Request(environ)
        response = request.response
        self._worker.cfg.pre_request(self._worker, request)

        def noting(status: str, headers: Any, exc_info: Any = None) -> Any:
            response.status = status
            response.headers = list(headers)
            return start_response(status, headers, exc_info)

        return self._application(environ, noting)


class _Trusted:
    """The addresses that `forwarded_allow_ips` names."""

    def __init__(self, allowed: Iterable[Any]) -> None:
        self._all = "*" in allowed
        self._networks = [ipaddress.ip_network(str(each)) for each in allowed if each != "*"]
        self._known: dict[str, bool] = {}

    def __contains__(self, address: str) -> bool:
        # Whoever connects to a unix socket is on this machine, and was let in by its permissions.
        if self._all or address == "unix":
            return True
        known = self._known.get(address)
        if known is None:
            if len(self._known) > 10_000:
                self._known.clear()
            peer = ipaddress.ip_address(address)
            known = any(peer in network for network in self._networks)
            self._known[address] = known
        return known


def _is_set(cfg: Any, hook: str) -> bool:
    setting = cfg.settings[hook]
    function = setting.get()
    default = setting.default
    return getattr(function, "__code__", function) is not getattr(default, "__code__", default)


def _is_plain(log: Any) -> bool:
    """Whether a logger does nothing but write the access log."""
    return type(log).access is glogging.Logger.access


class _Log(wsgi.RequestLog):
    """Hands requests to gunicorn's logger, and to its hook."""

    def __init__(self, worker: EventletWorker, application: _Application) -> None:
        cfg = worker.cfg
        self._worker = worker
        self._is_watched = application.is_watched
        enabled = getattr(worker.log, "access_log_enabled", None)
        if enabled is None:
            enabled = cfg.accesslog or cfg.logconfig or cfg.logconfig_dict or cfg.syslog
            enabled = enabled or getattr(cfg, "logconfig_json", None)
        self._is_on = bool(enabled) or not _is_plain(worker.log)

    def record(self, request: wsgi.RequestRecord) -> None:
        """Log a request that has been answered."""
        if not (self._is_on or self._is_watched):
            return
        environ, line = request.environ, request.request_line
        if environ is None:
            environ = {"REQUEST_METHOD": "-", "RAW_URI": line, "SERVER_PROTOCOL": "-"}
            environ.update(REMOTE_ADDR=request.client_ip, REMOTE_PORT=request.client_port)
        else:
            environ["SERVER_PROTOCOL"] = line.rpartition(" ")[2]
        known = environ.pop("eventlet.gunicorn", None)
        theirs = known or _Request(environ)
        response = theirs.response
        response.status = response.status or str(request.status_code)
        response.sent = request.body_length
        worker = self._worker
        if self._is_on:
            duration = timedelta(seconds=request.wall_seconds)
            worker.log.access(response, theirs, environ, duration)
        if known is not None:
            try:
                worker.cfg.post_request(worker, theirs, environ, response)
            except Exception:
                worker.log.exception("Exception in post_request hook")

    def write(self, text: str) -> None:
        """Log a message of the server, or the traceback of a failure."""
        text = text.rstrip("\n")
        if text.startswith("Traceback "):
            self._worker.log.error("Error handling request\n%s", text)
        elif "wsgi starting up" not in text and "wsgi exit" not in text:
            self._worker.log.warning("%s", text)
