"""The WSGI servers and what is asked of them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

from harness import loads
from harness.common import PER_CONNECTION, PORT, RATE, REQUESTS, contender
from harness.model import OURS, Contender, Workload

# A server that keeps up with 64 connections has to be let hold a thousand.
GUNICORN = (
    *("{python}", "-m", "gunicorn", "--no-control-socket", "--log-level", "warning"),
    *("--bind", "{bind}", "--workers", "1", "--backlog", "2048", "--keep-alive", "600"),
    *("--worker-connections", "20000"),
)
GRANIAN = (
    *("{python}", "-m", "granian", "--interface", "wsgi", "--workers", "1", "--no-ws"),
    *("--log-level", "error", "--host", "127.0.0.1", *PORT),
)
# Its keep-alive is that of its router, a process of its own.
UWSGI = (
    *("{uwsgi}", "--master", "--die-on-term", "--processes", "1", "--disable-logging"),
    *("--http-keepalive=600", "--http-auto-chunked", "--buffer-size", "32768"),
)


@dataclass(frozen=True)
class Kind:
    """One way to run a server: its application, and what it does besides."""

    app: str = "wsgi_app:hello"
    log: bool = False
    tls: bool = False


def own(kind: Kind) -> tuple[Contender, ...]:
    """Both Eventlets' WSGI servers."""
    command = ["{python}", "eventlet_wsgi.py", *PORT, "--app", kind.app]
    command += ["--log", "{log}"] if kind.log else []
    command += ["--certificate", "{certificate}"] if kind.tls else []
    return (
        contender(OURS, OURS, *command),
        contender("eventlet-0.41", "eventlet-0.41", *command),
    )


def gevent(kind: Kind) -> Contender:
    """gevent's own server."""
    command = ["{python}", "gevent_wsgi.py", *PORT, "--app", kind.app]
    command += ["--log", "{log}"] if kind.log else []
    command += ["--certificate", "{certificate}"] if kind.tls else []
    return contender("gevent-pywsgi", "gevent", *command)


def gunicorn(kind: Kind, worker: str, *options: str) -> Contender:
    """gunicorn with one of its workers."""
    command = [*GUNICORN, "--worker-class", worker, *options]
    command += ["--access-logfile", "{log}"] if kind.log else []
    command += ["--certfile", "{certificate}", "--keyfile", "{certificate}"] if kind.tls else []
    return contender(f"gunicorn-{worker}", "gunicorn", *command, kind.app)


def granian(kind: Kind) -> Contender:
    """Granian, which logs to its standard output: here, a file."""
    command = list(GRANIAN)
    if kind.log:
        command[command.index("error")] = "info"
        command += ["--access-log"]
    if kind.tls:
        command += ["--ssl-certificate", "{certificate}", "--ssl-keyfile", "{certificate}"]
    return contender("granian", "granian", *command, kind.app)


def uwsgi(kind: Kind) -> Contender:
    """uWSGI."""
    module, _, name = kind.app.partition(":")
    command = [*UWSGI, "--pythonpath", ".", "--module", module, "--callable", name]
    if kind.log:
        command.remove("--disable-logging")
        command += ["--logto", "{log}"]
    if kind.tls:
        command += ["--https", "{bind},{certificate},{certificate}"]
    else:
        command += ["--http", "{bind}"]
    return contender("uwsgi", "uwsgi", *command)


def small(kind: Kind, key: str) -> Contender:
    """A server that can do neither TLS nor write a log."""
    cannot = "it speaks no TLS" if kind.tls else "it writes no access log" if kind.log else ""
    command = ("{python}", f"{key}_wsgi.py", *PORT, "--app", kind.app)
    return contender(key, key, *command, cannot=cannot)


def everybody(kind: Kind) -> tuple[Contender, ...]:
    """All WSGI servers that one process of which is worth comparing with."""
    return (
        *own(kind),
        gevent(kind),
        gunicorn(kind, "gevent"),
        granian(kind),
        small(kind, "fastwsgi"),
        small(kind, "bjoern"),
        uwsgi(kind),
    )


def row(
    key: str,
    title: str,
    about: str,
    contenders: tuple[Contender, ...],
    ask: loads.Ask = loads.HELLO,
    connections: int = 64,
) -> Workload:
    """A WSGI server under wrk."""
    group = "wsgi-sleep" if key.startswith("wsgi-sleep") else "wsgi"
    measure = partial(loads.http_load, connections, ask)
    return Workload(key, group, title, about, (REQUESTS, *RATE), contenders, measure)


def sleepy(connections: int) -> Workload:
    """A WSGI application that sleeps."""
    kind = Kind("wsgi_app:sleepy")
    return row(
        f"wsgi-sleep-{connections}",
        f"WSGI application that sleeps 10 ms, {connections} connections",
        f"One process. The sleep allows {connections * 100:,} requests/s.",
        (*own(kind), gunicorn(kind, "gevent")),
        connections=connections,
    )


def roomy(contenders: Iterable[Contender]) -> tuple[Contender, ...]:
    """With Granian told to take in more than about a thousand connections at a time."""
    options = ("--backpressure", "20000", "--blocking-threads", "4")
    return tuple(
        replace(each, command=(*each.command, *options)) if each.key == "granian" else each
        for each in contenders
    )


PLAIN = Kind()
HELLO = (
    *everybody(PLAIN),
    gunicorn(PLAIN, "gthread", "--threads", "4"),
    contender("waitress", "waitress", "{python}", "waitress_wsgi.py", *PORT),
)
WRK = "wrk -t1 -c64; one worker process, all of it on one core."

WORKLOADS = (
    row("wsgi", "WSGI hello world, keep-alive, 64 connections, no access log", WRK, HELLO),
    row(
        "wsgi-log",
        "WSGI hello world, the same with an access log to a file",
        "wrk -t1 -c64; one line for each request.",
        everybody(Kind(log=True)),
    ),
    row(
        "wsgi-tls",
        "WSGI hello world, the same over TLS",
        "wrk -t1 -c64; TLS 1.3 where the server has it; connections are kept.",
        everybody(Kind(tls=True)),
        replace(loads.HELLO, tls=True),
    ),
    row(
        "wsgi-flask",
        "Flask hello world, 64 connections",
        f"{WRK} What Flask itself does takes most of the time.",
        everybody(Kind("flask_hello:app")),
    ),
    row(
        "wsgi-post",
        "WSGI, 10 KB of JSON posted and echoed",
        f"{WRK} The application decodes the body and answers with what it says, encoded.",
        everybody(Kind("wsgi_app:echo")),
        loads.POST,
    ),
    row(
        "wsgi-1mb",
        "WSGI, 1 MB response in one piece",
        WRK,
        everybody(Kind("wsgi_app:large")),
        loads.LARGE,
    ),
    row(
        "wsgi-stream",
        "WSGI, a response of 100 blocks of 1 KiB from a generator",
        f"{WRK} Its length is not given.",
        everybody(Kind("wsgi_app:stream")),
        loads.STREAM,
    ),
    sleepy(100),
    sleepy(1000),
    Workload(
        "idle-connection",
        "memory",
        "memory of an idle keep-alive HTTP connection",
        "5000 connections that have had one response; growth of the server's resident memory"
        " (user space), divided by them.",
        (PER_CONNECTION,),
        roomy(each for each in HELLO if each.key != "uwsgi"),
        partial(loads.idle_connections, 5000),
        most_rounds=3,
    ),
)
