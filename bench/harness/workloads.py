"""The workloads and who takes part in each: one table."""

from dataclasses import replace
from functools import partial

from harness import loads, servers, websockets
from harness.common import (
    MESSAGES,
    NANOSECONDS,
    PER_CONNECTION,
    PORT,
    RATE,
    REQUESTS,
    contender,
)
from harness.model import BENCH, OURS, Contender, Context, Figures, Metric, Workload

ECHO_LOAD = BENCH / "target" / "release" / "echo-load"

REQUESTS_METRICS = (
    REQUESTS,
    Metric("cpu_us", "processor time of one", "us"),
    Metric("growth_kib", "memory growth after the first fifth", "KiB"),
)


def micro(workload: str, *, without: tuple[str, ...] = ()) -> tuple[Contender, ...]:
    """The contenders of an in-process workload."""
    options = (workload, "--seconds", "{seconds}", "--count", "{count}")
    every = (
        contender(OURS, OURS, "{python}", "eventlet_micro.py", *options),
        contender("eventlet-0.41", "eventlet-0.41", "{python}", "eventlet_micro.py", *options),
        contender("gevent", "gevent", "{python}", "gevent_micro.py", *options),
        contender("asyncio", "asyncio", "{python}", "asyncio_micro.py", *options),
        contender("uvloop", "uvloop", "{python}", "asyncio_micro.py", *options, "--loop", "uvloop"),
    )
    return tuple(each for each in every if each.key not in without)


def in_process(count: int, context: Context) -> Figures:
    """An in-process workload of a given size."""
    count = context.settings.count(count)
    return loads.in_process(Context(context.settings, context.filled(count=count)))


UVLOOP = ("--loop", "uvloop")
ECHO = (
    contender(OURS, OURS, "{python}", "eventlet_echo.py", *PORT),
    contender("eventlet-0.41", "eventlet-0.41", "{python}", "eventlet_echo.py", *PORT),
    contender("gevent", "gevent", "{python}", "gevent_echo.py", *PORT),
    Contender("asyncio", "asyncio", ("{python}", "asyncio_echo.py", *PORT), "asyncio streams"),
    Contender(
        "uvloop", "uvloop", ("{python}", "asyncio_echo.py", *PORT, *UVLOOP), "uvloop streams"
    ),
    contender(
        "uvloop-protocol",
        "uvloop",
        *("{python}", "asyncio_echo.py", *PORT, *UVLOOP, "--style", "protocol"),
    ),
    contender("epoll", "native", "{native}/epoll-echo", *PORT),
)


def patched(*options: str) -> tuple[Contender, ...]:
    """A program for threads on patched standard libraries."""
    command = ("{python}", "patched_echo.py", *PORT, *options)
    return (
        contender(OURS, OURS, *command),
        contender("eventlet-0.41", "eventlet-0.41", *command),
        contender("gevent", "gevent", *command, "--library", "gevent"),
    )


PATCHED_ECHO = (*patched(), *(each for each in ECHO if each.key in ("uvloop", "epoll")))
TLS = ("--certificate", "{certificate}")
TLS_ECHO = tuple(
    replace(each, command=(*each.command, *TLS))
    for each in ECHO
    if each.key in (OURS, "eventlet-0.41", "gevent", "asyncio", "uvloop")
)


def requests_get(*options: str) -> tuple[Contender, ...]:
    """The library requests in a program that Eventlet has patched."""
    command = ("{python}", "patched_requests.py", "--count", "{count}", *options)
    return (
        contender(OURS, OURS, *command),
        # As it is installed, and as it does least.
        contender("eventlet-0.41", "eventlet-0.41", *command, "--resolver"),
        contender("eventlet-0.41-libc", "eventlet-0.41", *command),
    )


ELSEWHERE = requests_get("--url", "{url}")


def echo(
    connections: int,
    kind: str = "echo",
    what: str = "TCP echo",
    contenders: tuple[Contender, ...] = ECHO,
    *,
    tls: bool = False,
) -> Workload:
    """Echo over TCP or TLS."""
    return Workload(
        f"{kind}-{connections}",
        kind,
        f"{what}, 1 KiB, {connections} connections",
        "One message in flight on each connection; every echoed byte is checked.",
        (MESSAGES, *RATE, Metric("client_cpu", "client's core", "%")),
        contenders,
        partial(loads.echo, ECHO_LOAD, connections, tls=tls),
    )


PATCHED = "TCP echo of a program for threads, patched"


WORKLOADS = (
    Workload(
        "sleep0",
        "switch",
        "sleep(0), 1000 green threads",
        "1000 green threads (or tasks) yield in turn; time of one yield.",
        (NANOSECONDS,),
        micro("sleep0"),
        partial(in_process, 1000),
    ),
    Workload(
        "spawn",
        "switch",
        "spawn and wait, batches of 1000",
        "Spawn 1000 calls of a Python function, then wait for each result; time of one.",
        (NANOSECONDS,),
        micro("spawn"),
        partial(in_process, 1000),
    ),
    Workload(
        "queue",
        "switch",
        "Queue round trip between two green threads",
        "One item goes to and fro over two queues; time of a round trip.",
        (NANOSECONDS,),
        micro("queue"),
        partial(in_process, 1000),
    ),
    Workload(
        "semaphore",
        "switch",
        "contended Semaphore",
        "1000 green threads share a Semaphore(1); the holder does sleep(0) while it holds it;"
        " time of one acquire, sleep(0) and release.",
        (NANOSECONDS,),
        micro("semaphore"),
        partial(in_process, 1000),
    ),
    echo(10),
    echo(100),
    echo(1000),
    echo(10, "echo-patched", PATCHED, PATCHED_ECHO),
    echo(100, "echo-patched", PATCHED, PATCHED_ECHO),
    echo(1000, "echo-patched", PATCHED, PATCHED_ECHO),
    echo(100, "echo-tls", "TLS echo", TLS_ECHO, tls=True),
    echo(
        100,
        "echo-tls-patched",
        "TLS echo of a program for threads, patched",
        patched(*TLS),
        tls=True,
    ),
    Workload(
        "requests",
        "requests",
        "50,000 calls of requests.get over 500 green threads",
        "The library requests in a patched program, and the WSGI server that answers in the same"
        " program; a new connection for each call, to `localhost`. None may be lost.",
        REQUESTS_METRICS,
        requests_get(),
        partial(in_process, 50_000),
        most_rounds=1,
    ),
    Workload(
        "requests-elsewhere",
        "requests",
        "10,000 calls of requests.get over 500 green threads, to another process",
        "The same to a server on the other processor. What requests itself does takes most of the"
        " time.",
        REQUESTS_METRICS,
        (
            *ELSEWHERE,
            replace(
                ELSEWHERE[0],
                key="gevent",
                peer="gevent",
                command=(*ELSEWHERE[0].command, "--library", "gevent"),
                label="gevent",
            ),
        ),
        partial(loads.http_requests, 10_000),
        most_rounds=3,
    ),
    *servers.WORKLOADS,
    *websockets.WORKLOADS,
    Workload(
        "parked",
        "memory",
        "memory of a parked green thread",
        "100,000 green threads (or tasks) that wait for one event; growth of resident memory,"
        " divided by them.",
        (PER_CONNECTION,),
        micro("parked"),
        partial(in_process, 100_000),
        most_rounds=3,
    ),
    Workload(
        "import",
        "import",
        "import eventlet",
        "Time that the import adds to `python -c pass`, and modules that it adds.",
        (Metric("ms", "time", "ms", digits=1), Metric("modules", "modules", "")),
        (
            contender(OURS, OURS, "{python}", "eventlet"),
            contender("eventlet-0.41", "eventlet-0.41", "{python}", "eventlet"),
            contender("gevent", "gevent", "{python}", "gevent"),
            contender("asyncio", "asyncio", "{python}", "asyncio"),
            contender("uvloop", "uvloop", "{python}", "uvloop"),
        ),
        loads.import_time,
    ),
    Workload(
        "timer-queue",
        "timers",
        "1,000,000 time limits of waits",
        "The hub's timer queue on its own: what a time limit adds to a wait, which makes no Python"
        " object for it. A million are inserted; some, at random, are cancelled and inserted anew,"
        " as when waits end and begin; all are cancelled in the order in which they came.",
        (
            Metric("insert_ns", "insert", "ns"),
            Metric("cancel_ns", "cancel", "ns"),
            Metric("renew_ns", "cancel one at random, insert", "ns"),
            Metric("mb", "memory", "MB", digits=1),
        ),
        (
            Contender(
                OURS,
                "native",
                ("{native}/timer-queue", "--count", "{count}"),
                "eventlet's timer queue",
            ),
        ),
        partial(in_process, 1_000_000),
    ),
    Workload(
        "timers",
        "timers",
        "1,000,000 timer objects: insert and cancel",
        "Calls an hour away are scheduled, then all are cancelled; the objects that stand for them"
        " are kept in a list. Time of one, from Python.",
        (
            Metric("insert_ns", "insert", "ns"),
            Metric("cancel_ns", "cancel", "ns"),
            Metric("held_mb", "memory with handles", "MB"),
        ),
        micro("timers"),
        partial(in_process, 1_000_000),
    ),
    Workload(
        "timer-memory",
        "timers",
        "1,000,000 timer objects: memory",
        "Growth of resident memory when nobody keeps the objects. (gevent's timers live no longer"
        " than their objects.)",
        (Metric("mb", "memory", "MB", digits=1),),
        micro("timer-memory", without=("gevent",)),
        partial(in_process, 1_000_000),
        most_rounds=3,
    ),
)
