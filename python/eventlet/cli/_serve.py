"""`eventlet serve`: from the command line to servers, in this process or in workers."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any

from eventlet.cli import _identity, _log_sink, _tls
from eventlet.cli._address import Address, Listener, listen, parse, resolve
from eventlet.cli._errors import CommandError
from eventlet.cli._log_sink import Sink
from eventlet.cli._service import App, Service, make_server
from eventlet.cli._shared import Figures, Row
from eventlet.cli._systemd import Notifier, take_descriptors
from eventlet.cli._target import load_app

DEFAULT_BIND = "127.0.0.1:8000"


def serve(args: argparse.Namespace) -> int:
    """Serve what the command line says; the exit status.

    :raises CommandError: if it cannot be done.
    """
    if args.chdir is not None:
        try:
            os.chdir(args.chdir)
        except OSError as error:
            raise CommandError(f"--chdir {args.chdir}: {error.strerror}") from None
    passed = take_descriptors()
    default = ["systemd"] if passed else [DEFAULT_BIND]
    addresses = resolve([parse(text) for text in args.bind or default], passed)
    page = None if args.metrics is None else parse(args.metrics)
    tls = _tls.files(args)
    identity = _identity.identity(args)
    here = os.getcwd()
    sys.path[:] = [here, *(entry for entry in sys.path if entry not in ("", here))]
    if args.workers is None and (args.reload or args.max_requests or args.worker_timeout):
        # Somebody has to be there to start the next one.
        args.workers = 1
    _check_options(args)
    if args.check:
        return _check(args, addresses, tls, identity)
    notifier = Notifier()
    if args.workers is not None:
        return _serve_from_workers(args, addresses, page, tls, identity, notifier)
    with contextlib.ExitStack() as at_end:
        return _serve_here(args, addresses, page, tls, identity, notifier, at_end)


def import_app(args: argparse.Namespace) -> App:
    """Patch the standard library, unless that is not wanted, and import the application."""
    if args.patch:
        from eventlet import patcher

        # Before the application imports what blocks.
        patcher.monkey_patch()
    return load_app(args.app)


def _serve_here(
    args: argparse.Namespace,
    addresses: Sequence[Address],
    page: Address | None,
    tls: _tls.Files | None,
    identity: _identity.Identity | None,
    notifier: Notifier,
    at_end: contextlib.ExitStack,
) -> int:
    import eventlet

    # Before anything listens: a client must not be let in where something is missing yet. An
    # application that is not to have our rights comes later.
    app = import_app(args) if identity is None else None
    _allow_files(args.max_concurrency * len(addresses))
    if args.error_log is not None:
        redirect_errors(args.error_log, first=True)
    figures = None
    if page is not None or args.statsd is not None:
        figures = Figures()
        figures.set_workers(1)
    sink = open_sink(args, call_soon, at_end)
    if tls is not None:
        tls.context()
    listeners = _listen_all(addresses, args.backlog, tls is not None, at_end)
    pages = [] if page is None else _listen_all([page], 64, False, at_end)
    _write_pid(args, at_end)
    if identity is not None:
        _become(identity, args, listeners, tls)
    if app is None:
        app = import_app(args)
    row = None if figures is None else figures.row(0)
    service = assemble(args, app, listeners, pages, sink, tls, figures, row)
    if notifier.interval is not None:
        service.each_tick(notifier.alive)

    def started() -> None:
        if not args.quiet:
            # OSError: whoever reads our output has gone; that is no reason not to serve.
            with contextlib.suppress(OSError):
                print(greeting(eventlet.__version__, args.app, listeners), flush=True)
        notifier.ready()

    handlers: dict[int, Any] = {
        signal.SIGINT: service.on_stop_signal,
        signal.SIGTERM: service.on_stop_signal,
        signal.SIGQUIT: service.on_quit_signal,
        signal.SIGHUP: service.on_signal,
        signal.SIGUSR1: service.on_signal,
    }
    return service.run(handlers, started, notifier.stopping)


def _serve_from_workers(
    args: argparse.Namespace,
    addresses: Sequence[Address],
    page: Address | None,
    tls: _tls.Files | None,
    identity: _identity.Identity | None,
    notifier: Notifier,
) -> int:
    from eventlet.cli._arbiter import Arbiter, Forked
    from eventlet.cli._worker import Worker

    _allow_files(args.max_concurrency * len(addresses))
    figures = Figures()
    with contextlib.ExitStack() as at_end:
        if args.error_log is not None:
            redirect_errors(args.error_log, first=True)
        # Workers open it again; what is wrong with it is to be said once.
        open_sink(args, lambda flush: None, at_end)
        at_end.close()
        if tls is not None:
            tls.context()
        listeners = _listen_all(
            addresses, args.backlog, tls is not None, at_end, reuse_port=args.reuse_port
        )
        pages = [] if page is None else _listen_all([page], 64, False, at_end)
        _write_pid(args, at_end)
        arbiter = Arbiter(args, listeners, figures, notifier)
        if identity is not None:
            arbiter.listen_for_all()
            _become(identity, args, listeners, tls)
        try:
            return arbiter.run()
        except Forked as forked:
            # What there is to tidy up is the arbiter's.
            at_end.pop_all()
            # The way from the arbiter to here would keep all alive that it knows.
            forked.__traceback__ = None
            worker = Worker(args, forked, pages, tls, figures)
    with contextlib.ExitStack() as at_end:
        return worker.run(at_end)


def _become(
    identity: _identity.Identity,
    args: argparse.Namespace,
    listeners: Sequence[Listener],
    tls: _tls.Files | None,
) -> None:
    """Give up our rights, and let the user have what has been made with them."""
    if tls is not None:
        tls.keep()
    files = [args.pid_file, args.error_log, *(listener.path for listener in listeners)]
    if args.access_log not in ("-", "off", "syslog"):
        files.append(args.access_log)
    identity.own(path for path in files if path is not None)
    identity.assume()


def assemble(
    args: argparse.Namespace,
    app: App,
    listeners: Sequence[Listener],
    pages: Sequence[Listener],
    sink: Sink | None,
    tls: _tls.Files | None,
    figures: Figures | None,
    row: Row | None,
) -> Service:
    """Put together what serves in this process."""
    from eventlet.cli import _access_log, _metrics

    counts = args.metrics is not None or args.statsd is not None
    observers: list[Any] = [row.request] if counts and row is not None else []
    statsd = None
    if args.statsd is not None:
        statsd = _metrics.Statsd(args.statsd, args.statsd_prefix)
        observers.append(statsd.request)
    form = _access_log.formatter(args.access_format)
    log: Any = None
    if observers or (sink is not None and form is not None):
        log = _access_log.Requests(sink, form or _access_log.default, observers)
    elif sink is not None:
        log = _access_log.Plain(sink)
    service = Service(args, app, listeners, log, sink, tls, row)
    for listener in pages:
        assert figures is not None
        service.add_page(listener, _metrics.page(figures))
    if statsd is not None and figures is not None:
        sending, shown = statsd, figures
        service.each_tick(lambda: sending.flush(shown.totals()))
    return service


def greeting(version: str, app: str, listeners: Sequence[Listener], workers: str = "") -> str:
    """The line that says what is being served."""
    where = " and ".join(listener.url for listener in listeners)
    return f"eventlet {version} serving {app} on {where}{workers} (pid {os.getpid()}); Ctrl-C stops"


def redirect_errors(path: str, first: bool = False) -> None:
    """Have stderr go to a file, which is opened anew each time.

    :raises CommandError: if it cannot be opened the `first` time.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if first:
            raise CommandError(f"--error-log {path}: {error.strerror}") from None
        print(f"eventlet: cannot open {path} again: {error.strerror}", file=sys.stderr)
        return
    sys.stderr.flush()
    os.dup2(fd, 2)
    os.close(fd)


def open_sink(
    args: argparse.Namespace,
    later: Callable[[Callable[[], object]], object],
    at_end: contextlib.ExitStack,
) -> Sink | None:
    """Open what lines of the access log go to; None for nowhere.

    :param later: calls a function soon: `call_soon`, in a process that serves.
    :param at_end: closes it.
    """
    if args.access_log == "off" or (args.quiet and args.access_log == "-"):
        return None
    sink = _log_sink.open_sink(args.access_log, later)
    at_end.callback(sink.close)
    return sink


def call_soon(function: Callable[[], object]) -> None:
    """Have the hub call a function in its next round."""
    from eventlet.hubs import get_hub

    get_hub().schedule_call_global(0, function)


def _check_options(args: argparse.Namespace) -> None:
    """Say now what would go wrong later, in each worker."""
    from eventlet.cli import _access_log, _metrics

    _access_log.formatter(args.access_format)
    if args.statsd is not None:
        _metrics.Statsd(args.statsd, args.statsd_prefix)


def _check(
    args: argparse.Namespace,
    addresses: Sequence[Address],
    tls: _tls.Files | None,
    identity: _identity.Identity | None,
) -> int:
    """Do all but serve, and say what would be served."""
    if tls is not None:
        tls.context()
    if identity is not None:
        identity.assume()
    app = import_app(args)
    with socket.socket() as sock:
        make_server(args, sock, app, None)
    how = "in one process" if args.workers is None else f"from {args.workers} worker processes"
    where = " and ".join(address.text for address in addresses)
    secure = ", with TLS" if tls is not None else ""
    print(f"{args.app} would be served on {where}{secure}, {how}")
    return 0


def _write_pid(args: argparse.Namespace, at_end: contextlib.ExitStack) -> None:
    if args.pid_file is None:
        return
    path = os.path.abspath(args.pid_file)
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")
    except OSError as error:
        raise CommandError(f"--pid-file {args.pid_file}: {error.strerror}") from None

    def remove() -> None:
        try:
            os.unlink(path)
        except OSError:
            # The folder may be another user's; an empty file names no process either.
            with contextlib.suppress(OSError):
                os.truncate(path, 0)

    at_end.callback(remove)


def _listen_all(
    addresses: Sequence[Address],
    backlog: int,
    secure: bool,
    at_end: contextlib.ExitStack,
    reuse_port: bool = False,
) -> list[Listener]:
    listeners = []
    for address in addresses:
        listener = listen(address, backlog, reuse_port)
        if secure:
            listener.url = listener.url.replace("http:", "https:", 1)
        at_end.callback(listener.sock.close)
        at_end.callback(listener.unlink)
        listeners.append(listener)
    return listeners


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
