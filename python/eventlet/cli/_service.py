"""The servers of one process, from the first connection to the last.

The main green thread reads a pipe. Signal handlers write the signal's number into it, and so does
whatever else happens: a server that ends, an order of the arbiter. So all is dealt with in one
place and in order, and a signal is seen even while the hub sleeps in the kernel. Only the second
signal to stop acts in its handler, because then something may be holding the hub.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

from eventlet.cli import _terminal
from eventlet.cli._address import Listener
from eventlet.cli._errors import CommandError, UsageError
from eventlet.cli._log_sink import Sink
from eventlet.cli._shared import Row
from eventlet.cli._tls import Files

# The system's own, whatever the application patches: a signal handler may be run by the hub, where
# nothing may wait.
_read = os.read
_write = os.write
_exit = os._exit

#: What is posted that is not the number of a signal.
SERVER_ENDED = 0
RETIRE = 128
STOP = 129

# What ends within so many seconds ends at once, as far as people are concerned.
_MOMENT = 0.1

# Who has connected and asks for nothing has been let go by then.
_SILENCE = 1.5

#: Seconds between two looks at the figures.
_TICK = 1.0

#: Seconds that what waits to be accepted gets to be so.
_GRACE = 2.0

#: Seconds that connections without a request get to learn with their next response, if there is
#: one, that they end.
_LINGER = 2.0

App = Callable[..., Any]


class Service:
    """Serves an application on listening sockets until it is told to stop.

    :param args: the command line.
    :param app: the application.
    :param listeners: where to serve it.
    :param log: what `wsgi.server` is given as its log; None for none.
    :param sink: where access lines go, if they do.
    :param tls: the files of certificates, if there are any.
    :param row: the figures of this process.
    :raises CommandError: if the files of certificates are no good, or an option has a value that
        the server does not take.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        app: App,
        listeners: Sequence[Listener],
        log: Any,
        sink: Sink | None = None,
        tls: Files | None = None,
        row: Row | None = None,
    ) -> None:
        self.args = args
        self.app = app if log is not None else _reporting(app)
        self.signalled = False
        self._listeners = list(listeners)
        self._pages: list[tuple[Listener, App]] = []
        self._log = log
        self._sink = sink
        self._tls = tls
        self._context = None if tls is None else tls.context()
        self._row = row
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)
            os.set_inheritable(end, False)
        self._running: list[Any] = []
        self._servers = [self._make_server(listener) for listener in self._listeners]
        self._failures: list[BaseException | None] = []
        self._told = 0
        self._retiring = False
        self._ticking: list[Callable[[], object]] = []
        self._accepted = 0
        self._lost = 0

    # What makes a service of it.

    def add_page(self, listener: Listener, app: App) -> None:
        """Serve `app` on a listening socket of its own, without log and limits."""
        self._pages.append((listener, app))

    def each_tick(self, function: Callable[[], object]) -> None:
        """Have a function called every second. It must not wait."""
        self._ticking.append(function)

    # Its life.

    def run(
        self, handlers: dict[int, Any], started: Callable[[], object], stopped: Callable[[], object]
    ) -> int:
        """Serve until told to stop; the exit status.

        :param handlers: what to do about signals: `on_signal`, or what `signal.signal` takes.
        :param started: called when all servers accept connections.
        :param stopped: called when they are about to stop.
        """
        import eventlet

        with self._handling_signals(handlers):
            for listener, server in zip(self._listeners, self._servers, strict=True):
                self._start(listener, self._serve_one, server)
            for listener, app in self._pages:
                self._start(listener, self._serve_page, app)
            ticker = None
            if self._row is not None or self._ticking:
                ticker = eventlet.spawn(self._tick)
            # The servers listen before anybody is told so.
            eventlet.sleep(0)
            if not self._failures:
                started()
            self._wait(until=lambda: self._told != 0 or bool(self._failures))
            if not self._failures:
                # Who fails has not left: it is to be replaced with some thought.
                stopped()
                if self._told == RETIRE:
                    self._retire()
            self._stop()
            if ticker is not None:
                ticker.kill()
                self._look()
        for failure in self._failures:
            reason = "ended by itself" if failure is None else f"failed: {failure!r}"
            print(f"eventlet: error: a server {reason}", file=sys.stderr)
        return 1 if self._failures else 0

    def _start(self, listener: Listener, serve: Callable[..., None], *args: Any) -> None:
        import eventlet

        server = eventlet.spawn(serve, listener, *args)
        self._running.append(server)
        server.link(self._ended, listener)

    def _make_server(self, listener: Listener) -> Any:
        sock = listener.sock
        if self._context is not None:
            sock = self._context.wrap_socket(sock, server_side=True)
        return make_server(self.args, sock, self.app, self._log)

    def _serve_one(self, _: Listener, server: Any) -> None:
        """Serve one address until killed."""
        try:
            server.serve_forever()
            if not self.signalled:
                self._failures.append(None)
        except Exception as error:
            traceback.print_exc()
            self._failures.append(error)

    def _serve_page(self, listener: Listener, app: App) -> None:
        from eventlet import wsgi

        wsgi.server(listener.sock, app, log_output=False, max_size=64, keepalive=5)

    def _ended(self, server: Any, listener: Listener) -> None:
        """Leave word that a server is over. A link: it is called even if none ever started."""
        listener.unlink()
        self._running.remove(server)
        self.post(SERVER_ENDED)

    def _retire(self) -> None:
        """Leave the work to another process: nobody who keeps a connection loses a request."""
        self._retiring = True
        for server in self._servers:
            server.retire()
        deadline = time.monotonic() + min(_LINGER, self.args.graceful_timeout)
        while time.monotonic() < deadline and self._told == RETIRE:
            if not any(server.stats()["connections"] for server in self._servers):
                break
            self._wait(until=lambda: self._told != RETIRE, seconds=0.05)

    def _stop(self) -> None:
        """End the servers: no new connections, and the requests that run are waited for."""
        if self._told not in (0, RETIRE) and not self.args.reload:
            self._clear_backlogs()
        for server in list(self._running):
            server.kill()
        for listener in self._listeners:
            # A server closes its socket once its last request is over; until then new clients
            # would wait in the system's queue for nobody.
            listener.unlink()
            listener.sock.close()
        seconds = self.args.graceful_timeout
        moment = min(seconds, _MOMENT if self._is_active() else _SILENCE)
        if self._wait(until=lambda: not self._running, seconds=moment):
            return
        if moment < seconds:
            self._say_stopping(seconds)
        if not self._wait(until=lambda: not self._running, seconds=seconds - moment):
            was_active = self._is_active()
            # Told a second time, a server waits no longer.
            for server in list(self._running):
                server.kill()
            if was_active:
                print(
                    f"eventlet: requests still running after {seconds:g} s were cut off",
                    file=sys.stderr,
                )

    def _clear_backlogs(self) -> None:
        """Serve those who are connected already, as far as the system is concerned."""
        ending = []
        for listener, server in zip(self._listeners, self._servers, strict=True):
            if not listener.passed:
                listener.unlink()
                server._clear_backlog()
                ending.append(server)
        deadline = time.monotonic() + min(_GRACE, self.args.graceful_timeout)
        while self._running and any(server._is_clearing() for server in ending):
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._wait(until=lambda: not self._running, seconds=min(left, 0.01))

    def _say_stopping(self, seconds: float) -> None:
        if not self.args.quiet and not self._retiring:
            # OSError: whoever read our output has gone; that is no reason to stop serving.
            with contextlib.suppress(OSError):
                print(
                    f"eventlet: stopping when the running requests end ({seconds:g} s at most)",
                    flush=True,
                )

    # What happens every second.

    def _tick(self) -> None:
        from eventlet import sleep

        while True:
            try:
                self._look()
            except Exception:
                # Without this, the arbiter would take the process for dead.
                traceback.print_exc()
            sleep(_TICK)

    def _look(self) -> None:
        """Bring the figures of this process up to date."""
        if self._row is not None:
            stats = [server.stats() for server in self._servers]
            self._row.beat()
            self._row.gauge(
                connections=sum(each["connections"] for each in stats),
                active=sum(each["active"] for each in stats),
            )
            accepted = sum(each["accepted"] for each in stats)
            self._row.accepted(accepted - self._accepted)
            self._accepted = accepted
            if self._sink is not None:
                self._row.log_lost(self._sink.lost - self._lost)
                self._lost = self._sink.lost
        for function in self._ticking:
            function()

    def _is_active(self) -> bool:
        """Whether requests are running; who has only connected has none."""
        return any(server.stats()["active"] for server in self._servers)

    def requests(self) -> int:
        """How many requests have been taken so far."""
        return sum(server.stats()["requests"] for server in self._servers)

    # Signals, and the pipe they arrive by.

    @contextlib.contextmanager
    def _handling_signals(self, handlers: dict[int, Any]) -> Iterator[None]:
        before = []
        for number, handler in handlers.items():
            # ValueError: not in the main thread, where whoever started us handles signals.
            with contextlib.suppress(ValueError):
                before.append((number, signal.signal(number, handler)))
        try:
            yield
        finally:
            for number, former in before:
                signal.signal(number, former if former is not None else signal.SIG_DFL)
            # Somebody may still have something to say, to nobody.
            reader, writer = self._reader, self._writer
            self._reader = self._writer = -1
            os.close(reader)
            os.close(writer)

    def on_stop_signal(self, number: int, _frame: FrameType | None) -> None:
        """A signal to stop: at the end of the running requests, or at once when it is repeated."""
        if not self.signalled:
            self.signalled = True
            self.post(number)
            return
        self.on_quit_signal(number, _frame)

    def on_quit_signal(self, number: int, _frame: FrameType | None) -> None:
        """A signal to stop at once."""
        for listener in self._listeners:
            listener.unlink()
        if self._sink is not None:
            with contextlib.suppress(Exception):
                self._sink.flush()
        for stream in (sys.stdout, sys.stderr):
            # It may be in the middle of a write, just interrupted by this very signal.
            with contextlib.suppress(Exception):
                stream.flush()
        _exit(128 + number)

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Any other signal: it is dealt with in its turn."""
        self.post(number)

    def post(self, message: int) -> None:
        """Have the main green thread deal with something; for handlers and for the hub."""
        # BlockingIOError: the pipe is full of unread messages, so there is no need of one more.
        with contextlib.suppress(BlockingIOError):
            if self._writer >= 0:
                _write(self._writer, bytes([message]))

    def _wait(self, until: Callable[[], bool], seconds: float | None = None) -> bool:
        """Deal with messages until something holds; whether it came to hold in time."""
        from eventlet import Timeout
        from eventlet.hubs import trampoline

        deadline = None if seconds is None else time.monotonic() + seconds
        while not until():
            left = None
            if deadline is not None and (left := deadline - time.monotonic()) <= 0:
                return False
            try:
                trampoline(self._reader, read=True, timeout=left)
            except Timeout:
                continue
            with contextlib.suppress(BlockingIOError):
                for message in _read(self._reader, 512):
                    self._deal_with(message)
        return True

    def _deal_with(self, message: int) -> None:
        if message == signal.SIGHUP and _terminal.is_gone():
            message = STOP
        if message in (signal.SIGINT, signal.SIGTERM, STOP, RETIRE):
            self.signalled = True
            # To stop goes before to retire, whichever came first.
            self._told = RETIRE if message == RETIRE and self._told in (0, RETIRE) else STOP
        elif message in (signal.SIGHUP, signal.SIGUSR1):
            self._open_logs()
            if message == signal.SIGHUP:
                self._renew_certificates()

    def _open_logs(self) -> None:
        if self._sink is not None:
            self._sink.reopen()
        if self.args.error_log is not None:
            from eventlet.cli._serve import redirect_errors

            redirect_errors(self.args.error_log)

    def _renew_certificates(self) -> None:
        if self._tls is None or self._context is None:
            return
        try:
            self._tls.renew(self._context)
        except CommandError as error:
            print(
                f"eventlet: error: {error}; serving with the certificate there was",
                file=sys.stderr,
            )
            return
        if not self.args.quiet:
            print("eventlet: certificates read anew", flush=True)


def make_server(args: argparse.Namespace, sock: Any, app: App, log: Any) -> Any:
    """A server with the options of the command line.

    :raises UsageError: if it does not take them.
    """
    from eventlet import wsgi

    try:
        return wsgi.Server(
            sock,
            sock.getsockname(),
            app,
            log=log,
            log_output=log is not None,
            environ={"wsgi.multiprocess": args.workers is not None},
            # A bare True would be "for ever", and so would 0 seconds read as a number.
            keepalive=args.keep_alive or False,
            # What the application yields leaves at once, as WSGI has it: a stream of events that
            # waits for 4 KiB to come together is of no use.
            minimum_chunk_size=0,
            debug=args.debug,
            **server_options(args),
        )
    except (OverflowError, ValueError) as error:
        raise UsageError(str(error)) from None


def server_options(args: argparse.Namespace) -> dict[str, Any]:
    """The limits of the command line, as `wsgi.server` takes them."""
    from eventlet import wsgi

    options: dict[str, Any] = {
        "max_size": args.max_concurrency,
        "socket_timeout": args.socket_timeout or None,
        "head_timeout": args.head_timeout or None,
        "body_timeout": args.body_timeout or None,
        "send_timeout": args.send_timeout or None,
        "proxy_protocol": {None: False, "any": True}.get(args.proxy_protocol, args.proxy_protocol),
        "trusted_proxies": tuple(
            each.strip() for each in (args.trusted_proxies or "").split(",") if each.strip()
        ),
        "uwsgi": args.uwsgi,
        "url_length_limit": args.max_request_line or wsgi.MAX_REQUEST_LINE,
    }
    for name in (
        "max_requests_per_connection",
        "max_body_size",
        "max_header_count",
        "max_header_line",
        "max_header_size",
    ):
        # Not given, the server's own default holds.
        if getattr(args, name) is not None:
            options[name] = getattr(args, name)
    return options


def _reporting(app: App) -> App:
    """`app`, with its failures on stderr: without a log the server has nowhere to write them."""

    def reporting(environ: Any, start_response: Any) -> Any:
        try:
            return app(environ, start_response)
        except Exception:
            traceback.print_exc()
            raise

    return reporting
