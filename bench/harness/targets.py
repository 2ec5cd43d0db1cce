"""What the project set out to reach, and whether a run reached it."""

from dataclasses import dataclass

from harness.model import OURS, Outcome


@dataclass(frozen=True)
class Target:
    """A figure of ours, compared with a peer's or with a limit.

    With a peer, ours has to be at least `need` times better; without, below `need` (or at
    least `need` where more is better).
    """

    workload: str
    metric: str
    need: float
    peer: str | None = None


@dataclass(frozen=True)
class Verdict:
    """A target and what was reached."""

    what: str
    wanted: str
    reached: str
    met: bool | None


def ratios(workload: str, metric: str, **needs: float) -> list[Target]:
    """Targets relative to several peers; `eventlet` is Eventlet 0.41."""
    keys = {peer: peer.replace("_", "-") for peer in needs} | {"eventlet": "eventlet-0.41"}
    return [Target(workload, metric, need, keys[peer]) for peer, need in needs.items()]


def websocket_ratios(workload: str) -> list[Target]:
    """Targets of a WebSocket workload: the best of the peers in Python is any of them."""
    best = dict.fromkeys(
        ("gevent_websocket", "websockets", "uvicorn", "granian_asgi", "granian_rsgi"), 1.5
    )
    return ratios(workload, "per_second", eventlet=5, **best, tungstenite=0.5)


LEVEL = 0.95
"""Not behind, but for what two runs differ by."""

TARGETS = [
    *ratios("sleep0", "ns", eventlet=6, gevent=3.5, uvloop=1.3),
    *ratios("spawn", "ns", eventlet=6, gevent=6, uvloop=1),
    *ratios("queue", "ns", eventlet=5, gevent=2.5),
    *ratios("semaphore", "ns", eventlet=12, gevent=1.2),
    *(
        target
        for connections in (10, 100, 1000)
        for target in ratios(
            f"echo-{connections}", "per_second", eventlet=2.7, gevent=1.7, uvloop=1.25, epoll=0.75
        )
    ),
    *(
        target
        for connections in (10, 100, 1000)
        for target in ratios(
            f"echo-patched-{connections}",
            "per_second",
            eventlet=2.7,
            gevent=1.7,
            uvloop=1.25,
            epoll=0.75,
        )
    ),
    *ratios("echo-tls-100", "per_second", eventlet=1.5),
    *ratios("echo-tls-patched-100", "per_second", eventlet=1.5),
    *ratios("requests", "per_second", eventlet=2),
    *ratios("wsgi", "per_second", eventlet=10, granian=1.8, fastwsgi=1.05, bjoern=1.05),
    *ratios("wsgi-log", "per_second", eventlet=8, granian=LEVEL, gunicorn_gevent=LEVEL),
    *ratios("wsgi-tls", "per_second", eventlet=1, granian=LEVEL, gunicorn_gevent=LEVEL),
    *(
        target
        for workload in ("wsgi-flask", "wsgi-post", "wsgi-1mb", "wsgi-stream")
        for target in ratios(
            workload,
            "per_second",
            eventlet=1,
            bjoern=LEVEL,
            fastwsgi=LEVEL,
            granian=LEVEL,
            gunicorn_gevent=LEVEL,
            uwsgi=LEVEL,
        )
    ),
    *ratios("wsgi-sleep-1000", "per_second", eventlet=5, gunicorn_gevent=5),
    Target("wsgi-sleep-100", "per_second", 0.9 * 100 * 100),
    Target("wsgi-sleep-1000", "per_second", 0.9 * 1000 * 100),
    *(
        target
        for size in ("64b", "1k", "64k")
        for kind in ("text", "binary")
        for target in websocket_ratios(f"websocket-{size}-{kind}")
    ),
    *websocket_ratios("websocket-broadcast"),
    Target("websocket-idle", "bytes", 10 * 1024),
    Target("websocket-idle-workers", "bytes", 10 * 1024),
    Target("idle-connection", "bytes", 1.5 * 1024),
    Target("parked", "bytes", 6 * 1024),
    Target("import", "ms", 40),
    Target("import", "modules", 100),
    Target("timer-queue", "insert_ns", 100),
    Target("timer-queue", "cancel_ns", 100),
    Target("timer-queue", "mb", 40),
]
FULL_CORE = 95.0
"""Per cent of a core from which the server, not the workload, is the limit."""


def judge(target: Target, outcomes: dict[str, Outcome]) -> Verdict | None:
    """Compare one target with a run; None if the run did not include its workload."""
    outcome = outcomes.get(target.workload)
    if outcome is None:
        return None
    workload = outcome.workload
    metric = next(each for each in workload.metrics if each.key == target.metric)
    what = workload.title
    if not target.peer and len(workload.metrics) > 1:
        what += f": {metric.title}"
    if target.peer:
        other = outcome.of(target.peer)
        if other is None:
            return None
        wanted = f"{target.need:g}x {other.label}"
        ratio = outcome.ratio(target.peer, metric)
        if ratio is None:
            return Verdict(what, wanted, "not measured", None)
        return Verdict(what, wanted, f"{ratio:.2f}x", ratio >= target.need)
    sign = "<" if metric.lower_is_better else ">="
    wanted = f"{sign} {metric.text(target.need)} {metric.unit}".strip()
    ours = outcome.of(OURS)
    value = ours.median(metric.key) if ours else None
    if ours is None or value is None:
        return Verdict(what, wanted, "not measured", None)
    reached = f"{metric.text(value)} {metric.unit}".strip()
    met = value < target.need if metric.lower_is_better else value >= target.need
    busy = ours.median("server_cpu")
    if busy is not None:
        wanted += ", or a full core"
        reached += f", core {busy:.0f} % busy"
        met = met or busy >= FULL_CORE
    return Verdict(what, wanted, reached, met)


def verdicts(outcomes: list[Outcome]) -> list[Verdict]:
    """Every target that the run bears on."""
    by_key = {outcome.workload.key: outcome for outcome in outcomes}
    found = (judge(target, by_key) for target in TARGETS)
    return [verdict for verdict in found if verdict is not None]
