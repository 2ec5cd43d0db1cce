"""The options of `eventlet serve`: what `--help` shows, and what a configuration file may say."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Any]

_DESCRIPTION = """\
Serve a WSGI application. Every request runs in a green thread of its own, so the application may
block: on a socket, on a database, in eventlet.sleep().
"""

_EPILOG = """\
application:
  hello:app                the object `app` of the module `hello`
  shop.web:site.wsgi       an attribute of an attribute
  "shop.web:create_app()"  what `create_app`, called without arguments, returns (mind the quotes)

addresses:
  127.0.0.1:8000   IPv4                  [::1]:8000   IPv6, in brackets
  0.0.0.0:80       every interface       localhost:0  a free port, printed at the start
  unix:/run/shop.sock                    a unix socket; a stale one is replaced
  unix:/run/shop.sock?mode=660           the same, with these permissions
  fd://3                                 a listening socket that was inherited
  systemd, systemd:NAME                  the sockets that systemd passed, or those of a name;
                                         without any --bind they are used, if there are any

signals:
  SIGINT, SIGTERM   no new connections, those between two requests are closed, those without any
                    have a second to begin one, running requests finish within
                    --graceful-timeout; the exit status is 0. A second one ends the server at once,
                    with status 130 (Ctrl-C) or 143 (SIGTERM).
  SIGQUIT           ends the server at once, with status 131
  SIGHUP            reads certificates anew and opens logs anew; with --workers, the application is
                    imported anew by new workers, and the old ones finish their requests
  SIGUSR1           opens logs anew, after they were moved away
  SIGTTIN, SIGTTOU  one worker more, one less

configuration file:
  TOML, with the names of the options: app = "hello:app", workers = 4, bind = ["127.0.0.1:80"],
  quiet = true. In a pyproject.toml, the table [tool.eventlet.serve]. The command line goes first.

examples:
  eventlet serve hello:app
  eventlet serve --reload hello:app
  eventlet serve --chdir examples flask_app:app
  eventlet serve --workers 4 --bind 0.0.0.0:8000 --access-log access.log hello:app
  eventlet serve --bind 127.0.0.1:8000 --bind unix:/tmp/hello.sock hello:app
  eventlet serve --config serve.toml --check
"""


def number(convert: Callable[[str], float], at_least: float, what: str) -> Callable[[str], float]:
    """A converter for argparse: a number that is not below `at_least`."""

    def parse(text: str) -> float:
        try:
            value = convert(text)
        except ValueError:
            value = float("nan")
        # Not `value < at_least`: that would let NaN through.
        if not at_least <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
        return value

    return parse


_seconds = number(float, 0, "a number of seconds (0 or more)")
_count = number(int, 1, "a whole number of 1 or more")
_count_or_none = number(int, 0, "a whole number of 0 or more")


def _workers(text: str) -> float:
    """A number of workers; "auto" is that of the processors that this process may use."""
    if text == "auto":
        return processors()
    return _count(text)


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def add_serve(commands: Commands) -> argparse.ArgumentParser:
    """Add the command `serve` to the command line."""
    serve: argparse.ArgumentParser = commands.add_parser(
        "serve",
        help="serve a WSGI application over HTTP",
        usage="%(prog)s [options] MODULE:APP",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    # It may be in the configuration file instead.
    serve.add_argument("app", metavar="MODULE:APP", nargs="?", help="the application (see below)")
    _add_general(serve)
    _add_processes(serve.add_argument_group("processes"))
    _add_logs(serve.add_argument_group("logs and metrics"))
    _add_tls(serve.add_argument_group("TLS"))
    _add_limits(serve.add_argument_group("limits"))
    _add_proxies(serve.add_argument_group("behind a proxy"))
    return serve


def _add_general(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "-b",
        "--bind",
        metavar="ADDRESS",
        action="append",
        help="where to listen (see below); may be given more than once (default: 127.0.0.1:8000)",
    )
    to.add_argument("--config", metavar="FILE", help="read options from FILE (see below)")
    to.add_argument(
        "--check",
        action="store_true",
        help="read the configuration, import the application, say what would be served, and exit",
    )
    to.add_argument("--chdir", metavar="DIR", help="change to DIR first, and import from there")
    to.add_argument(
        "--graceful-timeout",
        metavar="SECONDS",
        type=_seconds,
        default=30.0,
        help="how long running requests may take to finish once stopped (default: 30)",
    )
    to.add_argument(
        "--backlog",
        metavar="N",
        type=_count,
        default=1024,
        help="connections the system holds until they are accepted (default: 1024)",
    )
    to.add_argument("--pid-file", metavar="FILE", help="write the number of the process to FILE")
    to.add_argument(
        "--no-patch",
        dest="patch",
        action="store_false",
        help="leave the standard library as it is: blocking calls of the application hold up all "
        "requests, unless it uses eventlet.green or patches by itself",
    )
    to.add_argument(
        "--quiet",
        action="store_true",
        help="print nothing but errors; an access log still goes to its file",
    )
    to.add_argument(
        "--debug",
        action="store_true",
        help="send the traceback of a failed request to the client: not for production",
    )


def _add_processes(to: argparse._ArgumentGroup) -> None:
    to.add_argument(
        "--workers",
        metavar="N",
        type=_workers,
        help="serve from N processes, which are replaced when they die; 'auto' is one for each "
        "processor that may be used (default: this process serves by itself)",
    )
    to.add_argument(
        "--reuse-port",
        action="store_true",
        help="give each worker a queue of its own (SO_REUSEPORT): the system spreads connections "
        "evenly, also to workers that are busy",
    )
    to.add_argument(
        "--max-requests",
        metavar="N",
        type=_count_or_none,
        default=0,
        help="replace a worker after about N requests (default: 0, never)",
    )
    to.add_argument(
        "--max-requests-jitter",
        metavar="N",
        type=_count_or_none,
        default=0,
        help="have up to N more, at random, so that not all are replaced at once (default: 0)",
    )
    to.add_argument(
        "--worker-timeout",
        metavar="SECONDS",
        type=_seconds,
        default=0.0,
        help="report, and replace, a worker in which something has blocked all green threads for "
        "so long (default: 0, never)",
    )
    to.add_argument(
        "--boot-timeout",
        metavar="SECONDS",
        type=_seconds,
        default=300.0,
        help="give up on a worker that has not imported the application after so long; 0 is never "
        "(default: 300)",
    )
    to.add_argument(
        "--user",
        metavar="NAME",
        help="serve as this user: become it after listening, before importing the application",
    )
    to.add_argument(
        "--group",
        metavar="NAME",
        help="serve with the rights of this group (default: that of the --user)",
    )
    to.add_argument(
        "--reload",
        action="store_true",
        help="start anew whenever a file of the application changes: for development",
    )
    to.add_argument(
        "--reload-watch",
        metavar="PATH",
        action="append",
        help="watch this file, or all files of this folder, too; may be given more than once",
    )


def _add_logs(to: argparse._ArgumentGroup) -> None:
    to.add_argument(
        "--access-log",
        metavar="FILE",
        default="-",
        help="append a line for each request to FILE; '-' is stderr, 'syslog' the system's log, "
        "'off' writes none (default: -)",
    )
    to.add_argument(
        "--access-format",
        metavar="FORMAT",
        default="default",
        help="default, common, combined, json, or a template such as "
        "'%%(client_ip)s %%(status_code)s %%(path)s' (default: default)",
    )
    to.add_argument(
        "--error-log",
        metavar="FILE",
        help="append errors and messages to FILE (default: they go to stderr)",
    )
    to.add_argument(
        "--metrics",
        metavar="ADDRESS",
        help="serve metrics at /metrics of ADDRESS, written as for --bind, in Prometheus' format",
    )
    to.add_argument(
        "--statsd", metavar="HOST:PORT", help="send metrics to a statsd server, every second"
    )
    to.add_argument(
        "--statsd-prefix",
        metavar="PREFIX",
        default="eventlet",
        help="what the names of these metrics begin with (default: eventlet)",
    )


def _add_tls(to: argparse._ArgumentGroup) -> None:
    to.add_argument(
        "--certfile",
        metavar="FILE",
        help="serve HTTPS with the certificate, and the chain after it, in FILE (PEM)",
    )
    to.add_argument(
        "--keyfile", metavar="FILE", help="its private key (default: it is in the --certfile)"
    )
    to.add_argument(
        "--ca-certs", metavar="FILE", help="authorities whose certificates clients may show"
    )
    to.add_argument(
        "--client-certs",
        choices=("none", "optional", "required"),
        help="whether clients show certificates (default: required with --ca-certs, else none)",
    )
    to.add_argument("--ciphers", metavar="LIST", help="ciphers for TLS 1.2, as OpenSSL lists them")


def _add_limits(to: argparse._ArgumentGroup) -> None:
    to.add_argument(
        "--max-concurrency",
        metavar="N",
        type=_count,
        default=10_000,
        help="have at most N connections at a time on each address; further ones wait "
        "(default: 10000)",
    )
    to.add_argument(
        "--keep-alive",
        metavar="SECONDS",
        type=_seconds,
        default=75.0,
        help="close a connection idle for so long; 0 answers one request a connection "
        "(default: 75)",
    )
    to.add_argument(
        "--socket-timeout",
        metavar="SECONDS",
        type=_seconds,
        help="give up on a client that neither sends nor takes anything for so long in the "
        "middle of a request; in place of --body-timeout and --send-timeout",
    )
    for name, default, what in (
        ("head", 60, "a client may take for the head of a request"),
        ("body", 60, "a client may pause in the body of a request"),
        ("send", 60, "a client may take nothing of a response"),
    ):
        to.add_argument(
            f"--{name}-timeout",
            metavar="SECONDS",
            type=_seconds,
            default=float(default),
            help=f"how long {what}; 0 is for ever (default: {default})",
        )
    for option, what in (
        ("max-requests-per-connection", "close a connection after N requests"),
        ("max-body-size", "refuse a request whose body has more than N bytes (413)"),
        ("max-header-count", "refuse a request with more than N headers (431)"),
        ("max-header-line", "refuse a request with a header of more than N bytes (431)"),
        ("max-header-size", "refuse a request whose headers have more than N bytes (431)"),
        ("max-request-line", "refuse a request whose first line has more than N bytes (414)"),
    ):
        to.add_argument(f"--{option}", metavar="N", type=_count, help=what)


def _add_proxies(to: argparse._ArgumentGroup) -> None:
    to.add_argument(
        "--trusted-proxies",
        metavar="LIST",
        help="whose X-Forwarded-For, -Proto and -Host, and PROXY headers, are believed: addresses "
        "and networks with commas between them, 'unix' for unix sockets, '*' for all",
    )
    to.add_argument(
        "--proxy-protocol",
        choices=("any", "v1", "v2"),
        help="expect a PROXY header at the start of each connection from a trusted proxy",
    )
    to.add_argument(
        "--uwsgi", action="store_true", help="speak the uwsgi protocol, as for nginx's uwsgi_pass"
    )
