"""Metrics of `eventlet serve`: Prometheus' page, and statsd's packets."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventlet.cli._metrics import Statsd, exposition
from eventlet.cli._shared import BUCKETS, Figures
from support.load import Load
from support.processes import PATIENCE, Program, UnixHTTPConnection, fetch
from support.serving import start, workers


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """A function that starts a server in the test's folder."""
    programs = []

    def run(*args: str | Path, **kwargs: Any) -> Program:
        programs.append(start(tmp_path, "--access-log", "off", *args, **kwargs))
        return programs[-1]

    yield run
    for program in programs:
        program.__exit__(*sys.exc_info())


def figures_at(path: Path) -> dict[str, float]:
    """The metrics that are served at a unix socket."""
    connection = UnixHTTPConnection(path)
    status, body = fetch(connection, "/metrics")
    connection.close()
    assert status == 200
    values = {}
    for line in body.decode().splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert re.fullmatch(r'eventlet_[a-z_]+(\{[a-z]+="[^"]+"\})?', name)
            values[name.removeprefix("eventlet_")] = float(value)
    return values


def once(path: Path, name: str, count: float) -> dict[str, float]:
    """The metrics, once one has some value."""
    end = time.monotonic() + PATIENCE
    while (values := figures_at(path))[name] != count:
        assert time.monotonic() < end, values
    return values


def answered(path: Path, count: int) -> dict[str, float]:
    """The metrics, once so many requests are counted: a client has its answer a little before."""
    return once(path, 'requests_total{status="2xx"}', count)


@pytest.mark.parametrize("count", [None, 2])
def test_the_page(count: int | None, serve: Callable[..., Program], tmp_path: Path) -> None:
    many = () if count is None else ("--workers", str(count))
    program = serve("--metrics", "unix:metrics.sock", *many)
    if count:
        workers(program, count)
    port = program.port()
    with Load(port) as load:
        load.wait_for_more(50)
    assert fetch(port, "/fail")[0] == 500
    count_all = len(load.result.bodies)
    path = tmp_path / "metrics.sock"
    # Connections are looked at every second. How long a request took is counted last.
    once(path, "connections_total", 7)
    values = once(path, "request_duration_seconds_count", count_all + 1)
    # Whichever worker shows them, they are those of all.
    assert values['requests_total{status="2xx"}'] == count_all
    assert values['requests_total{status="5xx"}'] == 1
    assert values['request_duration_seconds_bucket{le="+Inf"}'] == count_all + 1
    assert values["request_duration_seconds_sum"] > 0
    assert values["workers"] == (count or 1)
    assert program.stop() == 0
    assert not path.exists()
    assert "/fail" not in program.stdout


def test_totals_outlive_workers(serve: Callable[..., Program], tmp_path: Path) -> None:
    program = serve("--metrics", "unix:metrics.sock", "--workers", "1")
    (first,) = workers(program, 1)
    path = tmp_path / "metrics.sock"
    assert fetch(program.port())[0] == 200
    answered(path, 1)
    os.kill(first, signal.SIGKILL)
    workers(program, 1, without=[first])
    assert fetch(program.port())[0] == 200
    program.send(signal.SIGHUP)
    program.wait_for("^eventlet: reloaded$")
    assert fetch(program.port())[0] == 200
    values = answered(path, 3)
    assert values["worker_restarts_total"] == 1
    assert values["reloads_total"] == 1
    assert program.stop() == 0


def test_other_pages_are_not_found(serve: Callable[..., Program], tmp_path: Path) -> None:
    program = serve("--metrics", "unix:metrics.sock")
    connection = UnixHTTPConnection(tmp_path / "metrics.sock")
    assert fetch(connection, "/") == (404, b"The metrics are at /metrics.\n")
    connection.close()
    # Nor is the application served there, nor the page where that is.
    assert fetch(program.port(), "/metrics")[1] == str(program.pid).encode()
    assert program.stop() == 0


@pytest.mark.parametrize("many", [(), ("--workers", "1")])
def test_statsd(many: tuple[str, ...], serve: Callable[..., Program]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(PATIENCE)
        port = daemon.getsockname()[1]
        program = serve("--statsd", f"127.0.0.1:{port}", "--statsd-prefix", "shop", *many)
        for path in ("/", "/", "/fail"):
            fetch(program.port(), path)
        lines: list[str] = []
        while "shop.requests.5xx:1|c" not in lines:
            lines += daemon.recv(2000).decode().split("\n")
        assert "shop.workers:1|g" in lines
        seen = sum(int(each[18:-2]) for each in lines if each.startswith("shop.requests.2xx:"))
        assert seen == 2
        times = [
            each for each in lines if re.fullmatch(r"shop\.request\.duration:[\d.]+\|ms", each)
        ]
        assert len(times) == 3
        assert program.stop() == 0


def test_many_durations_are_a_sample() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(PATIENCE)
        statsd = Statsd(f"127.0.0.1:{daemon.getsockname()[1]}", "x.")
        for _ in range(1000):
            statsd.request(204, 0.25, 10)
        statsd.flush(Figures().totals())
        statsd.close()
        lines: list[str] = []
        while len(lines) < 503:
            packet = daemon.recv(65536)
            assert len(packet) <= 1400
            lines += packet.decode().split("\n")
    assert "x.requests.2xx:1000|c" in lines
    assert lines.count("x.request.duration:250.000|ms|@0.5000") == 500


def test_durations_are_counted_in_the_right_bucket() -> None:
    figures = Figures()
    row = figures.row(5)
    for seconds in (0.0, 0.005, 0.0051, 3, 100):
        row.request(200, seconds, 10)
    row.request(99, 1, 10)
    row.request(700, 1, 10)
    totals = figures.totals()
    assert totals.statuses == [2, 0, 5, 0, 0, 0]
    assert totals.durations[:2] == [2, 1]
    assert totals.durations[BUCKETS.index(5.0)] == 1
    assert totals.durations[-1] == 1
    assert totals.sent == 70
    text = exposition(totals)
    assert 'eventlet_request_duration_seconds_bucket{le="0.01"} 3\n' in text
    assert 'eventlet_requests_total{status="other"} 2\n' in text
    # A worker that takes the row goes on from there.
    row = figures.row(5)
    row.request(200, 1, 10)
    assert figures.totals().statuses[2] == 6
