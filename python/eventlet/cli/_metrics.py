"""Metrics for others to see: a page in Prometheus' text format, and packets for statsd.

Any worker can show the figures of all, since they are in shared memory; so the page is served by
whichever worker the system hands the connection to.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import Any

from eventlet.cli._errors import UsageError
from eventlet.cli._shared import BUCKETS, Figures, Totals

#: What a packet may hold that is not to be cut up on its way.
_PACKET = 1400

#: Durations sent a second; beyond that, they are a sample.
_MOST_DURATIONS = 500


def page(figures: Figures) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """A WSGI application that shows the figures at ``/metrics``."""

    def metrics(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/metrics":
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"The metrics are at /metrics.\n"]
        kind = "text/plain; version=0.0.4; charset=utf-8"
        start_response("200 OK", [("Content-Type", kind)])
        return [exposition(figures.totals()).encode()]

    return metrics


def exposition(totals: Totals) -> str:
    """The figures as Prometheus reads them."""
    lines: list[str] = []

    def family(name: str, kind: str, text: str) -> None:
        lines.append(f"# HELP eventlet_{name} {text}")
        lines.append(f"# TYPE eventlet_{name} {kind}")

    def single(name: str, kind: str, text: str, value: float) -> None:
        family(name, kind, text)
        lines.append(f"eventlet_{name} {value:g}" if value < 1e6 else f"eventlet_{name} {value!r}")

    family("requests_total", "counter", "Requests answered, by class of status.")
    for digit, count in enumerate(totals.statuses):
        if digit or count:
            label = f"{digit}xx" if digit else "other"
            lines.append(f'eventlet_requests_total{{status="{label}"}} {count}')
    family("request_duration_seconds", "histogram", "From the head of a request to its end.")
    below = 0
    for bound, count in zip((*BUCKETS, "+Inf"), totals.durations, strict=True):
        below += count
        lines.append(f'eventlet_request_duration_seconds_bucket{{le="{bound}"}} {below}')
    lines.append(f"eventlet_request_duration_seconds_sum {totals.seconds!r}")
    lines.append(f"eventlet_request_duration_seconds_count {below}")
    single("sent_bytes_total", "counter", "Bytes of responses.", totals.sent)
    single("connections_total", "counter", "Connections accepted.", totals.accepted)
    single("connections", "gauge", "Connections open.", totals.connections)
    single("connections_active", "gauge", "Connections with a request.", totals.active)
    single("workers", "gauge", "Worker processes.", totals.workers)
    single("worker_restarts_total", "counter", "Workers replaced after a death.", totals.restarts)
    single("reloads_total", "counter", "Reloads.", totals.reloads)
    single("access_log_lost_total", "counter", "Lines the access log lacks.", totals.log_lost)
    single("start_time_seconds", "gauge", "When the server was started.", totals.started)
    return "\n".join([*lines, ""])


class Statsd:
    """Sends the figures of one process to a statsd server, gathered for a second or so.

    :param target: ``host:port``.
    :param prefix: what names begin with.
    :raises UsageError: if there is no such host, or it is written wrongly.
    """

    def __init__(self, target: str, prefix: str) -> None:
        host, _, port = target.rpartition(":")
        if not host or not (port.isascii() and port.isdecimal()):
            raise UsageError(f"--statsd {target}: HOST:PORT is needed, as 127.0.0.1:8125")
        try:
            info = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
        except OSError as error:
            raise UsageError(f"--statsd {target}: {error.strerror}") from None
        self._family, self._address = info[0], info[4]
        self._prefix = prefix.rstrip(".")
        self._sock: Any = None
        self._statuses = [0] * 6
        self._durations: list[float] = []
        self._seen = 0

    def request(self, status: int, seconds: float, sent: int) -> None:
        """Note a request."""
        self._statuses[status // 100 if 100 <= status < 600 else 0] += 1
        self._seen += 1
        if len(self._durations) < _MOST_DURATIONS:
            self._durations.append(seconds)

    def flush(self, totals: Totals) -> None:
        """Send what has come together. What cannot be sent is lost, as statsd has it."""
        name = self._prefix
        lines = [f"{name}.workers:{totals.workers}|g", f"{name}.connections:{totals.connections}|g"]
        for digit, count in enumerate(self._statuses):
            if count:
                label = f"{digit}xx" if digit else "other"
                lines.append(f"{name}.requests.{label}:{count}|c")
        sampled = len(self._durations) / self._seen if self._seen else 1
        rate = f"|@{sampled:.4f}" if sampled < 1 else ""
        lines += [f"{name}.request.duration:{each * 1000:.3f}|ms{rate}" for each in self._durations]
        self._statuses = [0] * 6
        self._durations.clear()
        self._seen = 0
        for packet in _packets(lines):
            self._send(packet)

    def _send(self, packet: str) -> None:
        try:
            if self._sock is None:
                self._sock = socket.socket(self._family, socket.SOCK_DGRAM)
                self._sock.setblocking(False)
            self._sock.sendto(packet.encode(), self._address)
        except OSError:
            pass

    def close(self) -> None:
        """Close the socket."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def _packets(lines: Iterable[str]) -> Iterable[str]:
    packet = ""
    for line in lines:
        if packet and len(packet) + 1 + len(line) > _PACKET:
            yield packet
            packet = ""
        packet = f"{packet}\n{line}" if packet else line
    if packet:
        yield packet
