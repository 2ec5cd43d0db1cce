"""The servers under test: a WSGI application with a route for each way to answer, and an echo."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

import eventlet
from eventlet import wsgi


class Log:
    """An access log that only counts."""

    def __init__(self) -> None:
        self.lines = 0

    def write(self, text: str) -> None:
        """Take a line."""
        self.lines += 1


def pattern(size: int) -> bytes:
    """`size` bytes in which a hole or a doubled part would show."""
    return (b"0123456789abcdefghijklmnopqrstuvwxyz" * (size // 36 + 1))[:size]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The application: `/hello`, `/echo`, `/big`, `/stream`, `/slow`, `/fail`."""
    query = parse_qs(environ.get("QUERY_STRING", ""))
    number = int(query.get("n", ["0"])[0])
    path = environ["PATH_INFO"]
    headers = [("Content-Type", "application/octet-stream")]
    if path == "/echo":
        body = environ["wsgi.input"].read()
        start_response("200 OK", [*headers, ("Content-Length", str(len(body)))])
        return [body]
    if path == "/big":
        start_response("200 OK", [*headers, ("Content-Length", str(number))])
        return [pattern(number)]
    if path == "/stream":
        start_response("200 OK", headers)
        return _stream(number)
    if path == "/slow":
        eventlet.sleep(number / 1000)
    if path == "/fail":
        raise RuntimeError("as asked for")
    start_response("200 OK", [*headers, ("Content-Length", "6")])
    return [b"hello\n"]


def _stream(number: int) -> Iterator[bytes]:
    for index in range(number):
        yield pattern(index + 1)
        eventlet.sleep(0)


def streamed(number: int) -> bytes:
    """What `/stream?n=number` answers."""
    return b"".join(pattern(index + 1) for index in range(number))


def echo(sock: Any, address: Any) -> None:
    """Send back what comes."""
    try:
        while data := sock.recv(16 * 1024):
            sock.sendall(data)
    except OSError:
        pass


class Servers:
    """Both servers, running from construction until `stop`."""

    def __init__(self) -> None:
        self.log = Log()
        web = eventlet.listen(("127.0.0.1", 0), backlog=1024)
        tcp = eventlet.listen(("127.0.0.1", 0), backlog=1024)
        self.web_address = web.getsockname()
        self.echo_address = tcp.getsockname()
        self._tcp = tcp
        self._web_server = eventlet.spawn(wsgi.server, web, app, log=self.log, debug=False)
        self._echo_server = eventlet.spawn(eventlet.serve, tcp, echo)

    def stop(self) -> None:
        """End both, and wait for what they still do."""
        self._web_server.kill()
        self._echo_server.kill(eventlet.StopServe())
        for server in (self._web_server, self._echo_server):
            with contextlib.suppress(eventlet.greenlet.GreenletExit):
                server.wait()
        self._tcp.close()
