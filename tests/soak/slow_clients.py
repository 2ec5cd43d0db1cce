"""Thousands of clients that hardly send, or do not read, beside one that is in a hurry.

    python tests/soak/slow_clients.py
    python tests/soak/slow_clients.py --clients 200 --time-limit 3 --window 1 --slack 0.02

A WSGI server is asked for small responses as fast as one client can, first alone, then while others
hold connections: some send the head of a request at one byte a second, some stop in the middle of a
body, some ask for megabytes and read none of them. These must not delay the fast client's 99th
percentile by more than twice, and must be cut off when their time is up. Exit status 0 says that
all of this held.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

HOST = "127.0.0.1"
HELLO = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"
ANSWER = b"hello"
HEAD = b"GET / HTTP/1.1\r\nHost: t\r\nX-Slow: " + b"x" * 4000
BODY = b"POST /body HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\nsome of it"
LARGE = b"GET /large HTTP/1.1\r\nHost: t\r\n\r\n"
LARGE_SIZE = 8 << 20
GRACE = 10.0  # seconds after the limit in which all must have gone
PATIENCE = 30.0


# ------------------------------------------------------------------------------------------------
# The server


def serve(limit: float) -> None:
    """Run the server; its port is printed."""
    import eventlet
    from eventlet import wsgi

    block = bytes(LARGE_SIZE)
    servers: list[Any] = []

    class Started:
        """Gets the server object."""

        def send(self, server: Any) -> None:
            servers.append(server)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        body = ANSWER
        if path == "/stats":
            body = json.dumps({**servers[0].stats(), "memory": memory()}).encode()
        elif path == "/large":
            body = block
        elif path == "/body":
            environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    listener = eventlet.listen((HOST, 0), backlog=10_000)
    print(listener.getsockname()[1], flush=True)
    wsgi.server(
        listener,
        app,
        log_output=False,
        server_event=Started(),
        max_size=100_000,
        head_timeout=limit,
        body_timeout=limit,
        send_timeout=limit,
    )


def memory() -> int:
    """Resident memory of this process in KiB; 0 where it is not known."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE") // 1024


@contextlib.contextmanager
def program(*args: str, stderr: IO[str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """This file in another role, until the block ends."""
    command = [sys.executable, __file__, *args]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


# ------------------------------------------------------------------------------------------------
# The fast client


def hurry(port: int, seconds: float) -> None:
    """Ask again and again; the percentiles of how long it took are printed, in milliseconds."""
    took = []
    with socket.create_connection((HOST, port), PATIENCE) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end = time.perf_counter() + seconds
        while (began := time.perf_counter()) < end:
            sock.sendall(HELLO)
            received = b""
            while not received.endswith(ANSWER):
                part = sock.recv(65536)
                if not part:
                    raise ConnectionError("the server closed the fast client's connection")
                received += part
            took.append((time.perf_counter() - began) * 1e3)
    cuts = statistics.quantiles(took, n=100)
    print(json.dumps({"requests": len(took), "p50": cuts[49], "p99": cuts[98]}), flush=True)


def fast(port: int, seconds: float, count: int) -> dict[str, float]:
    """What the fast client measures in a process of its own: the best of some windows."""
    windows = []
    for _ in range(count):
        with program("--hurry", str(port), "--window", str(seconds)) as process:
            out, _ = process.communicate(timeout=PATIENCE + 2 * seconds)
            windows.append(json.loads(out))
    return min(windows, key=lambda window: window["p99"])


def stats(port: int) -> dict[str, int]:
    """What the server says of itself."""
    with socket.create_connection((HOST, port), PATIENCE) as sock:
        sock.sendall(b"GET /stats HTTP/1.0\r\n\r\n")
        received = b""
        while part := sock.recv(65536):
            received += part
    found: dict[str, int] = json.loads(received.partition(b"\r\n\r\n")[2])
    return found


# ------------------------------------------------------------------------------------------------
# The slow clients


class Crowd:
    """Connections that take their time."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.poll = select.epoll()
        self.open: dict[int, socket.socket] = {}
        self.talkers: dict[int, int] = {}
        self.next_byte = 0.0

    def add(self, opening: bytes, window: int | None = None) -> None:
        """Open a connection and send this; `window` bounds what the system takes in for it."""
        sock = socket.socket()
        if window is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        sock.settimeout(PATIENCE)
        sock.connect((HOST, self.port))
        sock.sendall(opening)
        sock.setblocking(False)
        self.open[sock.fileno()] = sock
        # Not for data to read, which some never do: for the end.
        self.poll.register(sock, select.EPOLLRDHUP)
        if opening == HEAD[:1]:
            self.talkers[sock.fileno()] = 1

    def turn(self, seconds: float) -> None:
        """Do what is due for so long: the next byte of each head, and look who was cut off."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            if now >= self.next_byte:
                self.next_byte = now + 1
                self.talk()
            wait = max(0.0, min(end, self.next_byte) - time.monotonic())
            for fd, _ in self.poll.poll(wait, 1000):
                self.gone(fd)

    def talk(self) -> None:
        """Send the next byte of each head."""
        for fd, at in list(self.talkers.items()):
            try:
                self.open[fd].send(HEAD[at : at + 1])
            except OSError:
                self.gone(fd)
            else:
                self.talkers[fd] = at + 1

    def gone(self, fd: int) -> None:
        """The server has ended this one."""
        self.talkers.pop(fd, None)
        self.poll.unregister(fd)
        self.open.pop(fd).close()

    def close(self) -> None:
        """End what is left."""
        for sock in self.open.values():
            sock.close()
        self.poll.close()


def run(args: argparse.Namespace) -> bool:
    """Whether all was well."""
    with (
        tempfile.TemporaryFile("w+") as said,
        program("--serve", str(args.time_limit), stderr=said) as server,
    ):
        assert server.stdout is not None
        port = int(server.stdout.readline())
        alone = fast(port, args.window, args.windows)
        before = stats(port)
        print(f"alone: {shown(alone)}, {before['memory']} KiB", flush=True)
        crowd = Crowd(port)
        try:
            for _ in range(args.clients):
                crowd.add(HEAD[:1])
                crowd.add(LARGE, window=4096)
            for _ in range(args.clients // 10):
                crowd.add(BODY)
            began = time.monotonic()
            total = len(crowd.open)
            # The crowd goes on while the fast client runs elsewhere.
            with Turning(crowd):
                # That so many arrive at once may take a moment.
                while stats(port)["connections"] < total and server.poll() is None:
                    pass
                crowded = fast(port, args.window, args.windows)
                during = stats(port)
            held = during["connections"]
            print(
                f"among {held} of {total}: {shown(crowded)}, {during['memory']} KiB,"
                f" {time.monotonic() - began:.1f} s after the last came",
                flush=True,
            )
            # What the system takes from the server at first counts as progress: twice the limit.
            limit = began + 2 * args.time_limit + GRACE
            # The one that asks is one.
            while stats(port)["connections"] > 1 and time.monotonic() < limit:
                crowd.turn(0.2)
            left = stats(port)["connections"] - 1
            over = time.monotonic() - began
            print(f"{left} are left {over:.1f} s after the last came", flush=True)
        finally:
            crowd.close()
        allowed = max(2 * alone["p99"], alone["p99"] + args.slack * 1e3)
        verdicts = {
            f"{held} of {total} were there meanwhile": held >= total,
            f"p99 {crowded['p99']:.2f} ms of at most {allowed:.2f} ms": crowded["p99"] <= allowed,
            "all were cut off": left == 0,
            "the server goes on": server.poll() is None,
        }
        said.seek(0)
        complaints = said.read()
        verdicts[f"it said nothing {complaints[:2000]}".rstrip()] = not complaints
    for what, good in verdicts.items():
        print(f"{'ok  ' if good else 'FAILED'} {what}")
    return all(verdicts.values())


class Turning:
    """The crowd acts in a thread while the block runs."""

    def __init__(self, crowd: Crowd) -> None:
        import threading

        self.crowd = crowd
        self.over = False
        self.thread = threading.Thread(target=self.turn)

    def turn(self) -> None:
        """Go on until told to stop."""
        while not self.over:
            self.crowd.turn(0.1)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *exc: object) -> None:
        self.over = True
        self.thread.join()


def shown(measured: dict[str, float]) -> str:
    """A line of figures."""
    return "{requests} requests, p50 {p50:.2f} ms, p99 {p99:.2f} ms".format(**measured)


def main() -> int:
    """Run it, or one of its parts, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--clients", type=int, default=2000, help="how many of each kind (default: 2000)")
    add("--time-limit", type=float, default=40.0, metavar="SECONDS", help="the server's limits")
    add("--window", type=float, default=5.0, metavar="SECONDS", help="length of a measurement")
    add("--windows", type=int, default=3, help="measurements; the best counts (default: 3)")
    add(
        "--slack",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="what the 99th percentile may grow by although that is more than twice (default: 0)",
    )
    add("--hurry", type=int, metavar="PORT", help=argparse.SUPPRESS)
    add("--serve", type=float, metavar="LIMIT", help=argparse.SUPPRESS)
    args = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if args.serve is not None:
        serve(args.serve)
    elif args.hurry is not None:
        hurry(args.hurry, args.window)
    else:
        good = run(args)
        print(f"slow clients: {'passed' if good else 'FAILED'}")
        return 0 if good else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
