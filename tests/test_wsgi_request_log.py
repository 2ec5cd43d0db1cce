"""Logs that get what there is to say of a request, and servers that leave their work to others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import eventlet
from eventlet import wsgi

pytestmark = pytest.mark.usefixtures("clean_hub")


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Answer with the path."""
    start_response("418 Teapot", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode()]


class Log(wsgi.RequestLog):
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.records: list[wsgi.RequestRecord] = []
        self.messages = ""

    def record(self, request: wsgi.RequestRecord) -> None:
        """Keep it."""
        self.records.append(request)

    def write(self, text: str) -> None:
        """Keep it."""
        self.messages += text


class Running:
    """A server, its log, and a connection to it."""

    def __init__(self, log: Any) -> None:
        self.listener = eventlet.listen(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        event = eventlet.Event()
        self.green_thread = eventlet.spawn(
            wsgi.server, self.listener, app, log=log, server_event=event
        )
        self.server: Any = event.wait()
        eventlet.sleep(0)

    def connect(self) -> Any:
        """A new connection."""
        sock = eventlet.connect(self.address)
        sock.settimeout(10)
        return sock


@pytest.fixture
def log() -> Log:
    """A log without anything in it."""
    return Log()


@pytest.fixture
def running(log: Log) -> Iterator[Running]:
    """A running server."""
    running = Running(log)
    yield running
    running.green_thread.kill()


def test_a_request_is_recorded(running: Running, log: Log) -> None:
    with running.connect() as client:
        client.sendall(b"GET /a%20b?c HTTP/1.1\r\nHost: x\r\n\r\n")
        response = client.recv(1000)
        port = str(client.getsockname()[1])
    eventlet.sleep(0)
    (record,) = log.records
    assert record.environ is not None
    assert record.environ["PATH_INFO"] == "/a b"
    assert (record.client_ip, record.client_port) == ("127.0.0.1", port)
    assert (record.request_line, record.status_code) == ("GET /a%20b?c HTTP/1.1", 418)
    assert record.body_length == len(response)
    assert 0 < record.wall_seconds < 10
    assert "wsgi starting up" in log.messages


def test_what_is_no_request_is_recorded(running: Running, log: Log) -> None:
    with running.connect() as client:
        client.sendall(b"nonsense\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 400 ")
    eventlet.sleep(0)
    (record,) = log.records
    assert (record.environ, record.client_ip) == (None, "127.0.0.1")
    assert (record.request_line, record.status_code) == ("-", 400)


def test_a_log_that_fails_does_not_matter(
    running: Running, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: reported.append(what.exc_type))
    log.records = None  # type: ignore[assignment]
    with running.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 418 ")
    eventlet.sleep(0)
    assert reported == [AttributeError]


def test_the_base_class_asks_for_a_method() -> None:
    with pytest.raises(NotImplementedError):
        wsgi.RequestLog().record(wsgi.RequestRecord(None, "", "", "", 200, 0, 0.0))


def test_a_server_that_retires_ends_connections_with_a_response(running: Running) -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    with running.connect() as client, running.connect() as waiting:
        for each in (client, waiting):
            each.sendall(request)
            assert b"Connection: close" not in each.recv(1000)
        running.server.retire()
        # Nobody accepts this one any more: it is for the others that listen there.
        with running.connect() as late:
            late.sendall(request)
            client.sendall(request)
            assert b"\r\nConnection: close\r\n" in client.recv(1000)
            assert client.recv(1) == b""
            late.settimeout(0.05)
            with pytest.raises(TimeoutError):
                late.recv(1)
        assert running.server.stats()["connections"] == 1
        waiting.sendall(request)
        assert waiting.recv(1000).startswith(b"HTTP/1.1 418 ")
        assert waiting.recv(1) == b""
    assert running.server.stats() == {
        "accepted": 2,
        "active": 0,
        "connections": 0,
        "requests": 4,
    }


def test_a_server_that_accepts_in_python_retires_too() -> None:
    listener = eventlet.listen(("127.0.0.1", 0))
    server = wsgi.Server(
        listener, listener.getsockname(), app, log_output=False, custom_pool=eventlet.GreenPool()
    )
    server.start()
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    with eventlet.connect(listener.getsockname()) as client:
        client.sendall(request)
        client.recv(1000)
        server.retire()
        server.retire()
        with eventlet.connect(listener.getsockname()) as late:
            late.sendall(request)
            client.sendall(request)
            assert b"\r\nConnection: close\r\n" in client.recv(1000)
            assert client.recv(1) == b""
            late.settimeout(0.05)
            with pytest.raises(TimeoutError):
                late.recv(1)
    assert server.stop(timeout=10)
