"""What is done to the contenders: one function for each kind of workload."""

import http.client
import socket
import ssl
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from contenders import wsgi_app

from harness.clients import Clients, most_connections
from harness.model import BENCH, Context, Figures
from harness.process import HOST, certificate, figures, free_port, run, serving

BODY = b"Hello, world!"
WARM_CONNECTIONS = 200
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass(frozen=True)
class Ask:
    """A request, and the body of its response."""

    answer: bytes
    body: bytes = b""
    tls: bool = False

    @property
    def method(self) -> str:
        """POST if it has a body."""
        return "POST" if self.body else "GET"

    @property
    def headers(self) -> dict[str, str]:
        """What it says of its body."""
        return {"Content-Type": "application/json"} if self.body else {}


HELLO = Ask(BODY)
JSON = wsgi_app.encoded([{"number": n, "text": "what it says " * 8} for n in range(75)])
POST = Ask(JSON, JSON)
LARGE = Ask(wsgi_app.MEGABYTE)
STREAM = Ask(wsgi_app.BLOCK * wsgi_app.BLOCKS)


def in_process(context: Context) -> Figures:
    """A program that measures itself."""
    settings = context.settings
    command = context.filled(seconds=settings.seconds)
    return figures(run(command, settings.server_cpu, 120 + 20 * settings.seconds))


def import_time(context: Context) -> Figures:
    """What importing a module adds to the start of the interpreter."""
    settings = context.settings
    python, module = context.command
    count = f"import sys; a = set(sys.modules); import {module}; print(len(set(sys.modules) - a))"

    def once(code: str) -> float:
        began = time.perf_counter()
        run([python, "-c", code], settings.server_cpu, 60)
        return time.perf_counter() - began

    modules = int(run([python, "-c", count], settings.server_cpu, 60))
    bare, full = [], []
    for _ in range(3 if settings.smoke else 15):
        bare.append(once("pass"))
        full.append(once(f"import {module}"))
    return {
        "ms": (statistics.median(full) - statistics.median(bare)) * 1e3,
        "modules": modules,
    }


def check_echo(port: int) -> None:
    """Does it echo?"""
    with socket.create_connection((HOST, port), timeout=5) as conn:
        conn.sendall(b"ping")
        if conn.recv(16) != b"ping":
            raise OSError("no echo")


def check_http(port: int, ask: "Ask | None" = None) -> None:
    """Does it answer as the application does?"""
    ask = ask or HELLO
    if ask.tls:
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        conn = http.client.HTTPSConnection(HOST, port, timeout=5, context=tls)
    else:
        conn = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        conn.request(ask.method, "/", ask.body or None, ask.headers)
        response = conn.getresponse()
        if response.status != 200 or response.read() != ask.answer:
            raise OSError(f"unexpected response, status {response.status}")
    except http.client.HTTPException as error:
        raise OSError(f"no response: {type(error).__name__}") from None
    finally:
        conn.close()


def check_tls_echo(ca: Path) -> Callable[[int], None]:
    """Does it echo, over TLS, with the certificate that it should have?"""
    tls = ssl.create_default_context(cafile=ca)

    def check(port: int) -> None:
        with (
            socket.create_connection((HOST, port), timeout=5) as plain,
            tls.wrap_socket(plain, server_hostname="localhost") as conn,
        ):
            conn.sendall(b"ping")
            if conn.recv(16) != b"ping":
                raise OSError("no echo")

    return check


def echo(load: Path, connections: int, context: Context, *, tls: bool = False) -> Figures:
    """Messages of 1 KiB over many connections, one in flight on each."""
    if not tls:
        return messages(load, connections, 1024, check_echo, context)
    ca = certificate(context.settings.scratch)
    context = Context(context.settings, context.filled(certificate=ca))
    return messages(load, connections, 1024, check_tls_echo(ca), context, "--ca", str(ca))


def messages(
    load: Path,
    connections: int,
    size: int,
    check: Callable[[int], None],
    context: Context,
    *options: str,
) -> Figures:
    """One of our own load generators, with its options, against a server."""
    settings = context.settings
    warmup = 0.1 if settings.smoke else 0.5
    with serving(context, check) as server:
        command = [str(load), "--port", str(server.port), "--connections", str(connections)]
        command += ["--size", str(size), "--seconds", str(settings.seconds)]
        command += ["--warmup", str(warmup), *options]
        with server.busy() as busy:
            found = figures(run(command, settings.client_cpu, 60 + 2 * settings.seconds))
    return _comparable(found, "messages", busy()) | {"client_cpu": found["client_cpu"] * 100}


def http_load(connections: int, ask: Ask, context: Context) -> Figures:
    """Keep-alive requests from wrk."""
    settings = context.settings
    seconds = max(1, round(settings.seconds))
    if ask.tls:
        context = Context(settings, context.filled(certificate=certificate(settings.scratch)))
    body = settings.scratch / "body"
    body.write_bytes(ask.body)

    def wrk(seconds: int) -> Figures:
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "5s"]
        command += ["-s", str(BENCH / "wrk_json.lua")]
        command += [f"http{'s' * ask.tls}://{HOST}:{server.port}/"]
        command += ["--", str(body)] if ask.body else []
        return figures(run(command, settings.client_cpu, 60 + 2 * seconds))

    with serving(context, partial(check_http, ask=ask)) as server:
        if not settings.smoke:
            wrk(1)
        with server.busy() as busy:
            found = wrk(seconds)
    return _comparable(found, "requests", busy())


def http_requests(count: int, context: Context) -> Figures:
    """A program that makes requests, to a server on the other processor."""
    settings = context.settings
    count = settings.count(count)
    elsewhere = replace(settings, server_cpu=settings.client_cpu)
    server = Context(elsewhere, [sys.executable, "hello_server.py", "--port", "{port}"])
    with serving(server, check_http) as running:
        command = context.filled(url=f"http://localhost:{running.port}/", count=count)
        return figures(run(command, settings.server_cpu, 60 + count / 50))


def _comparable(found: Figures, unit: str, busy: float) -> Figures:
    """The figures that both load generators give."""
    return {
        "per_second": found[unit] / found["seconds"],
        "p50_us": found["p50_us"],
        "p99_us": found["p99_us"],
        "server_cpu": busy * 100,
        "errors": found["errors"],
    }


def _ask(conn: socket.socket) -> None:
    """One request, and the whole of its response."""
    conn.sendall(REQUEST)
    got = b""
    while not got.endswith(BODY):
        data = conn.recv(4096)
        if not data or len(got) > 65_536:
            raise OSError("the connection was closed")
        got += data


def idle_connections(
    count: int,
    context: Context,
    *,
    check: Callable[[int], None] = check_http,
    begin: Callable[[socket.socket], None] | None = None,
    ask: Callable[[socket.socket], None] = _ask,
) -> Figures:
    """Resident memory of a server for each connection that waits for its next request.

    `begin` is what is done once on a new connection, `ask` makes a request. The connections are
    held by as many processes as may have so many files open.
    """
    count = context.settings.count(count)
    holders = -(-count // most_connections())
    sizes = [count // holders + (number < count % holders) for number in range(holders)]
    with serving(context, check) as server, ExitStack() as stack:

        def open_connections(*sizes: int) -> list[Clients]:
            clients = [Clients(server.port, size, begin, ask) for size in sizes]
            for each in clients:
                stack.callback(each.end)
            for each in clients:
                each.opened()
            time.sleep(0.3)
            return clients

        open_connections(WARM_CONNECTIONS)
        before = server.resident()
        clients = open_connections(*sizes)
        used = server.resident() - before
        errors = sum(each.errors() for each in clients)
    return {"bytes": used / count, "errors": errors}


__all__ = [
    "HELLO",
    "LARGE",
    "POST",
    "STREAM",
    "Ask",
    "echo",
    "free_port",
    "http_load",
    "http_requests",
    "idle_connections",
    "import_time",
    "in_process",
    "messages",
]
