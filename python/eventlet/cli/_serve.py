"""`eventlet serve`: a WSGI application on one or more addresses until a signal ends it.

The main green thread reads a pipe. Signal handlers write the signal's number into it, servers that
end write a zero; so all that happens, happens in one place and in order, and a signal is seen even
while the hub sleeps in the kernel. Only the second signal acts in its handler, because then
something may be holding the hub.
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

from eventlet.cli._address import Address, Listener, listen, parse
from eventlet.cli._errors import CommandError
from eventlet.cli._target import load_app

DEFAULT_BIND = "127.0.0.1:8000"

# The system's own, whatever the application patches: a signal handler may be run by the hub, where
# nothing may wait.
_read = os.read
_write = os.write
_exit = os._exit

_SERVER_ENDED = b"\0"

# What ends within so many seconds ends at once, as far as people are concerned.
_MOMENT = 0.1

_App = Callable[..., Any]


def serve(args: argparse.Namespace) -> int:
    """Serve what the command line says; the exit status."""
    if args.chdir is not None:
        try:
            os.chdir(args.chdir)
        except OSError as error:
            raise CommandError(f"--chdir {args.chdir}: {error.strerror}") from None
    addresses = [parse(text) for text in args.bind or [DEFAULT_BIND]]
    here = os.getcwd()
    sys.path[:] = [here, *(entry for entry in sys.path if entry not in ("", here))]
    if args.patch:
        from eventlet import patcher

        # Before the application imports what blocks.
        patcher.monkey_patch()
    # Before anything listens: a client must not be let in to wait for an import.
    app = load_app(args.app)
    _allow_files(args.max_concurrency * len(addresses))
    with contextlib.ExitStack() as at_end:
        log = _open_log(args, at_end)
        listeners = _listen_all(addresses, args.backlog, at_end)
        return _Service(args, app, log, listeners).run()


def _allow_files(connections: int) -> None:
    """Let so many connections be open, as far as the system allows.

    The usual limit of 1024 is soft: it protects programs that use `select`, not the system, and is
    meant to be raised by those that know better.
    """
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # What the application itself opens comes on top.
    wanted = connections + 1024
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # Some systems have a lower limit than the one they tell.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _open_log(args: argparse.Namespace, at_end: contextlib.ExitStack) -> Any:
    """Where access lines go: an object with `write`, or None for nowhere."""
    if args.access_log == "off" or (args.quiet and args.access_log == "-"):
        return None
    if args.access_log == "-":
        return _Terminal(sys.stderr)
    try:
        # Line buffered: a line is in the file once its request has been answered.
        return at_end.enter_context(
            open(args.access_log, "a", buffering=1, encoding="utf-8", errors="backslashreplace")
        )
    except OSError as error:
        raise CommandError(f"cannot write {args.access_log}: {error.strerror}") from None


class _Terminal:
    """stderr without the server's own notes, which say again what this command has said."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._notes = tuple(f"({os.getpid()}) wsgi {what}" for what in ("starting", "exit"))

    def write(self, text: str) -> None:
        # A line a client had a hand in begins with its address, or with what it claims to be: such
        # a claim must not hide it, hence the second condition.
        if not (text.startswith(self._notes) and '"' not in text):
            self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()


def _listen_all(
    addresses: Sequence[Address], backlog: int, at_end: contextlib.ExitStack
) -> list[Listener]:
    listeners = []
    for address in addresses:
        listener = listen(address, backlog)
        at_end.callback(listener.sock.close)
        at_end.callback(listener.unlink)
        listeners.append(listener)
    return listeners


class _Service:
    """The servers of one process, from the first connection to the last."""

    def __init__(
        self, args: argparse.Namespace, app: _App, log: Any, listeners: list[Listener]
    ) -> None:
        self._args = args
        self._app = app if log is not None else _reporting(app)
        self._log = log
        self._listeners = listeners
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)
        self._running: list[Any] = []
        self._failures: list[BaseException | None] = []
        self._signalled = False

    def run(self) -> int:
        import eventlet

        with self._handling_signals():
            for listener in self._listeners:
                server = eventlet.spawn(self._serve_one, listener)
                self._running.append(server)
                server.link(self._ended, listener)
            where = " and ".join(listener.url for listener in self._listeners)
            self._say(
                f"eventlet {eventlet.__version__} serving {self._args.app} on {where} "
                f"(pid {os.getpid()}); Ctrl-C stops"
            )
            self._wait(until=lambda: self._signalled or bool(self._failures))
            self._stop()
        for failure in self._failures:
            reason = "ended by itself" if failure is None else f"failed: {failure!r}"
            print(f"eventlet: error: a server {reason}", file=sys.stderr)
        return 1 if self._failures else 0

    def _serve_one(self, listener: Listener) -> None:
        """Serve one address until killed."""
        from eventlet import wsgi

        args = self._args
        try:
            wsgi.server(
                listener.sock,
                self._app,
                log=self._log,
                log_output=self._log is not None,
                max_size=args.max_concurrency,
                # A bare True would be "for ever", and so would 0 seconds read as a number.
                keepalive=args.keep_alive or False,
                socket_timeout=args.socket_timeout or None,
                # What the application yields leaves at once, as WSGI has it: a stream of events
                # that waits for 4 KiB to come together is of no use.
                minimum_chunk_size=0,
                debug=args.debug,
            )
            if not self._signalled:
                self._failures.append(None)
        except Exception as error:
            traceback.print_exc()
            self._failures.append(error)

    def _ended(self, server: Any, listener: Listener) -> None:
        """Leave word that a server is over. A link: it is called even if none ever started."""
        listener.unlink()
        self._running.remove(server)
        self._post(_SERVER_ENDED)

    def _stop(self) -> None:
        """End the servers: no new connections, and the requests that run are waited for."""
        for server in list(self._running):
            server.kill()
        for listener in self._listeners:
            # A server closes its socket once its last request is over; until then new clients
            # would wait in the system's queue for nobody.
            listener.unlink()
            listener.sock.close()
        seconds = self._args.graceful_timeout
        moment = min(seconds, _MOMENT)
        if self._wait(until=lambda: not self._running, seconds=moment):
            return
        self._say(f"eventlet: stopping when the running requests end ({seconds:g} s at most)")
        if not self._wait(until=lambda: not self._running, seconds=seconds - moment):
            # Told a second time, a server waits no longer.
            for server in list(self._running):
                server.kill()
            print(
                f"eventlet: requests still running after {seconds:g} s were cut off",
                file=sys.stderr,
            )

    # Signals, and the pipe they arrive by.

    @contextlib.contextmanager
    def _handling_signals(self) -> Iterator[None]:
        before = []
        for number in (signal.SIGINT, signal.SIGTERM):
            # ValueError: not in the main thread, where whoever started us handles signals.
            with contextlib.suppress(ValueError):
                before.append((number, signal.signal(number, self._on_signal)))
        try:
            yield
        finally:
            for number, handler in before:
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)
            os.close(self._reader)
            os.close(self._writer)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if not self._signalled:
            self._signalled = True
            self._post(bytes([number]))
            return
        for listener in self._listeners:
            listener.unlink()
        for stream in (sys.stdout, sys.stderr):
            # It may be in the middle of a write, just interrupted by this very signal.
            with contextlib.suppress(Exception):
                stream.flush()
        _exit(128 + number)

    def _post(self, message: bytes) -> None:
        # BlockingIOError: the pipe is full of unread messages, so there is no need of one more.
        with contextlib.suppress(BlockingIOError):
            _write(self._writer, message)

    def _wait(self, until: Callable[[], bool], seconds: float | None = None) -> bool:
        """Sleep from message to message until something holds; whether it came to hold in time."""
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
                _read(self._reader, 512)
        return True

    def _say(self, text: str) -> None:
        if not self._args.quiet:
            # OSError: whoever read our output has gone; that is no reason to stop serving.
            with contextlib.suppress(OSError):
                print(text, flush=True)


def _reporting(app: _App) -> _App:
    """`app`, with its failures on stderr: without a log the server has nowhere to write them."""

    def reporting(environ: Any, start_response: Any) -> Any:
        try:
            return app(environ, start_response)
        except Exception:
            traceback.print_exc()
            raise

    return reporting
