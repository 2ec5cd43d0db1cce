"""Applications of all kinds under wrk, for long, and a check that nothing is left behind.

    python tests/soak/web.py --minutes 20
    python tests/soak/web.py --seconds 10

One process serves over TCP and TLS: small responses, JSON that is posted, streams, a megabyte at a
time, a Flask application, requests that sleep. Each has a wrk of its own, and there are clients
that stop in the middle. The process's memory must stay as it is after the warm-up, and when all
clients have gone, there must be as many descriptors as before. Exit status 0 says that all of this
held.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from slow_clients import BODY, HEAD, HOST, LARGE, PATIENCE, Crowd, memory

HERE = Path(__file__).resolve().parent
SCRIPT = HERE.parents[1] / "bench" / "wrk_json.lua"
WARM_UP = 0.25  # part of the time after which memory is compared
SAMPLE = 5.0  # seconds between looks at the process
SETTLE = 10.0  # seconds in which all must have gone at the end
SLOW = 60  # clients that stop in the middle, at a time
LIMIT = 3.0  # seconds that these are given
MEGABYTE = bytes(range(256)) * 4096
DOCUMENT = json.dumps([{"number": n, "text": "what it says " * 8} for n in range(75)]).encode()


@dataclass(frozen=True)
class Load:
    """What one wrk asks for."""

    path: str
    connections: int
    tls: bool = False
    post: bool = False


LOADS = (
    Load("/hello", 16),
    Load("/hello", 8, tls=True),
    Load("/json", 8, post=True),
    Load("/stream", 8),
    Load("/large", 4),
    Load("/large", 2, tls=True),
    Load("/flask/hello", 8),
    Load("/sleep", 64),
)


# ------------------------------------------------------------------------------------------------
# The server


def make_app(servers: list[Any]) -> Callable[..., Iterable[bytes]]:
    """The applications, by path."""
    import eventlet

    def stream() -> Iterator[bytes]:
        for _ in range(100):
            yield MEGABYTE[:1024]

    flask_app = make_flask()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path.startswith("/flask"):
            environ["SCRIPT_NAME"], environ["PATH_INFO"] = "/flask", path[len("/flask") :]
            return flask_app(environ, start_response)
        if path == "/stream":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return stream()
        body = b"Hello, world!"
        if path in {"/json", "/body"}:
            body = json.dumps(json.loads(environ["wsgi.input"].read())).encode()
        elif path == "/large":
            body = MEGABYTE
        elif path == "/sleep":
            eventlet.sleep(0.02)
        elif path == "/stats":
            found = [server.stats() for server in servers]
            files = len(os.listdir("/dev/fd"))
            connections = sum(each["connections"] for each in found)
            body = json.dumps(
                {"connections": connections, "files": files, "memory": memory()}
            ).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    return app


def make_flask() -> Callable[..., Iterable[bytes]]:
    """A Flask application; where it is not installed, another one."""
    try:
        import flask
    except ImportError:

        def plain(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
            start_response("200 OK", [("Content-Length", "0")])
            return []

        return plain
    app = flask.Flask(__name__)

    @app.get("/hello")
    def hello() -> str:
        return "Hello, world!"

    return app


def serve(certificate: str, key: str) -> None:
    """Serve on two ports, which are printed, until standard input ends."""
    import eventlet
    from eventlet import wsgi

    servers: list[Any] = []

    class Started:
        """Gets the server objects."""

        def send(self, server: Any) -> None:
            servers.append(server)

    class Log:
        """An access log that goes nowhere."""

        def write(self, text: str) -> None:
            """Take a line."""

    app = make_app(servers)
    options: dict[str, Any] = {"log": Log(), "debug": False, "server_event": Started()}
    options |= {"head_timeout": LIMIT, "body_timeout": LIMIT, "send_timeout": LIMIT}
    plain = eventlet.listen((HOST, 0), backlog=1024)
    tls = eventlet.listen((HOST, 0), backlog=1024)
    print(plain.getsockname()[1], tls.getsockname()[1], flush=True)
    secure = eventlet.wrap_ssl(tls, certfile=certificate, keyfile=key, server_side=True)
    eventlet.spawn(wsgi.server, secure, app, **options)
    wsgi.server(plain, app, **options)


# ------------------------------------------------------------------------------------------------
# The load


def ask(port: int, context: ssl.SSLContext | None = None) -> dict[str, int]:
    """What the server says of itself."""
    with socket.create_connection((HOST, port), PATIENCE) as plain:
        sock = context.wrap_socket(plain) if context else plain
        sock.sendall(b"GET /stats HTTP/1.0\r\n\r\n")
        received = b""
        while part := sock.recv(65536):
            received += part
        sock.close()
    found: dict[str, int] = json.loads(received.partition(b"\r\n\r\n")[2])
    return found


class Run:
    """A server and what is done to it."""

    def __init__(self, seconds: float, tolerance: float, folder: Path, said: IO[str]) -> None:
        sys.path.insert(0, str(HERE.parent))
        from support import certificates

        self.seconds = seconds
        self.tolerance = int(tolerance * 1024)
        self.document = folder / "document"
        self.document.write_bytes(DOCUMENT)
        self.certificate, self.key = certificates.make(folder)
        command = [sys.executable, __file__, "--serve", self.certificate, self.key]
        self.said = said
        self.server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
        assert self.server.stdout is not None
        self.plain, self.tls = map(int, self.server.stdout.readline().split())
        self.context = ssl.create_default_context(cafile=self.certificate)
        self.context.check_hostname = False

    def wrk(self, load: Load) -> subprocess.Popen[str]:
        """Start the clients of one kind."""
        seconds = max(1, round(self.seconds))
        port = self.tls if load.tls else self.plain
        url = f"http{'s' * load.tls}://{HOST}:{port}{load.path}"
        command = ["wrk", "-t1", f"-c{load.connections}", f"-d{seconds}s", "--timeout", "30s"]
        command += ["-s", str(SCRIPT), url, *(["--", str(self.document)] if load.post else [])]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self) -> bool:
        """Whether all was well."""
        # Whatever the first of each kind brings into being is no leak.
        for port, context in ((self.plain, None), (self.tls, self.context)):
            ask(port, context)
        before = ask(self.plain)
        loads = [(load, self.wrk(load)) for load in LOADS]
        warm = self.watch()
        good = True
        for load, process in loads:
            out, _ = process.communicate(timeout=self.seconds + PATIENCE)
            good &= self.judge(load, process.returncode, out)
        after = self.settled(before)
        growth = after["memory"] - warm
        verdicts = {
            f"files: {before['files']} before, {after['files']} after": (
                after["files"] == before["files"]
            ),
            f"connections: {after['connections']} (one asks)": after["connections"] == 1,
            f"memory: {warm / 1024:.1f} MiB warm, {after['memory'] / 1024:.1f} MiB at the end": (
                growth <= self.tolerance
            ),
            "the server goes on": self.server.poll() is None,
        }
        self.said.seek(0)
        complaints = self.said.read()
        verdicts[f"it said nothing {complaints[:2000]}".rstrip()] = not complaints
        for what, well in verdicts.items():
            print(f"{'ok  ' if well else 'FAILED'} {what}")
        return good and all(verdicts.values())

    def watch(self) -> int:
        """Keep slow clients there until the time is over; the memory after the warm-up, in KiB."""
        crowd = Crowd(self.plain)
        began = shown = time.monotonic()
        warm = 0
        try:
            while (now := time.monotonic()) < began + self.seconds:
                for opening, window in ((HEAD[:1], None), (LARGE, 4096), (BODY, None)):
                    while len(crowd.open) < SLOW:
                        crowd.add(opening, window)
                        if len(crowd.open) % (SLOW // 3) == 0:
                            break
                crowd.turn(0.5)
                found = ask(self.plain)
                if not warm and now - began >= self.seconds * WARM_UP:
                    warm = found["memory"]
                if now - shown >= SAMPLE:
                    shown = now
                    print(f"{now - began:7.1f} s  {found}", flush=True)
        finally:
            crowd.close()
        return warm or ask(self.plain)["memory"]

    def judge(self, load: Load, status: int, out: str) -> bool:
        """Whether one wrk got what it asked for, and only that."""
        try:
            found = json.loads(out.strip().splitlines()[-1])
        except (IndexError, ValueError):
            found = {"requests": 0, "errors": 0}
        well = bool(status == 0 and found["requests"] and not found["errors"])
        what = f"{load.path}{' over TLS' * load.tls}"
        print(
            f"{'ok  ' if well else 'FAILED'} {what}: {found['requests']:,} requests,"
            f" {found['errors']} errors{'' if found['requests'] else ': ' + out}"
        )
        return well

    def settled(self, before: dict[str, int]) -> dict[str, int]:
        """What there is as soon as it is as before, or when it should have been."""
        end = time.monotonic() + SETTLE
        while True:
            after = ask(self.plain)
            same = after["files"] == before["files"] and after["connections"] == 1
            if same or time.monotonic() > end:
                return after
            time.sleep(0.05)

    def close(self) -> None:
        """End the server."""
        self.server.kill()
        self.server.wait()
        assert self.server.stdout is not None
        self.server.stdout.close()


def main() -> int:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="how long (default: 20)")
    length.add_argument("--seconds", type=float, help="how long, for a short run")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=12,
        metavar="MIB",
        help="growth of memory since the warm-up that is no leak (default: 12)",
    )
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        with contextlib.suppress(KeyboardInterrupt):
            serve(*args.serve)
        return 0
    if shutil.which("wrk") is None:
        print("web: wrk is not installed")
        return 2
    seconds = args.seconds or (args.minutes or 20) * 60
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as said:
        run = Run(seconds, args.tolerance, Path(folder), said)
        try:
            good = run.run()
        finally:
            run.close()
    print(f"web: {'passed' if good else 'FAILED'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
