"""A WSGI server in a process of its own, and a client that sees every byte.

The server runs a program text that defines `app`; what it writes to stderr, its log included, is
collected line by line, so a test can wait for a line instead of sleeping. The client is a blocking
socket with a time limit: it shares no code with the package.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

#: Seconds that anything in these tests may take.
PATIENCE = float(os.environ.get("EVENTLET_TEST_PATIENCE", 20))

_MAIN = """
import os, socket, sys
import eventlet
from eventlet import _core, wsgi
servers = []

class Started:
    def send(self, server):
        servers.append(server)

{source}

options = dict({options})
sock = socket.socket(socket.{family})
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind({address!r})
sock.listen({backlog})
print(sock.getsockname() if sock.family == socket.AF_UNIX else sock.getsockname()[1], flush=True)
options.setdefault("server_event", Started())
if "main" in globals():
    main(sock, options)
else:
    wsgi.server(sock, app, **options)
print("ended", flush=True)
"""


class Server:
    """A server process. `log` has the lines of its stderr so far."""

    def __init__(
        self,
        source,
        options="",
        *,
        address=("127.0.0.1", 0),
        family="AF_INET",
        backlog=1024,
        env=None,
    ):
        program = _MAIN.format(
            source=source, options=options, family=family, address=address, backlog=backlog
        )
        self.process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            env={**os.environ, **(env or {})},
        )
        self.log: list[str] = []
        self.out: list[str] = []
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._collect, args=pair, daemon=True)
            for pair in ((self.process.stderr, self.log), (self.process.stdout, self.out))
        ]
        for thread in self._threads:
            thread.start()
        first = self.wait_out(".")
        self.address = first if family == "AF_UNIX" else (address[0], int(first))
        if self.address[0] == "0.0.0.0":
            self.address = ("127.0.0.1", self.address[1])
        self.family = getattr(socket, family)

    def _collect(self, stream, lines):
        for line in stream:
            with self._changed:
                lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def _wait(self, lines, pattern, count):
        def found():
            return [line for line in lines if re.search(pattern, line)]

        with self._changed:
            done = self._changed.wait_for(lambda: len(found()) >= count, PATIENCE)
            assert done, f"no line {pattern!r} (x{count}) in:\n" + "\n".join(self.log + self.out)
            return found()[count - 1]

    def wait_log(self, pattern, count=1):
        """Wait for the `count`th line of stderr that has `pattern` in it and return it."""
        return self._wait(self.log, pattern, count)

    def wait_out(self, pattern, count=1):
        """As `wait_log`, for stdout."""
        return self._wait(self.out, pattern, count)

    def clear(self):
        """Forget the lines so far."""
        with self._changed:
            self.log.clear()

    def connect(self):
        """Return a new client."""
        return Client(self)

    def get(self, path="/", **kwargs):
        """Make one request on a connection of its own and return the response."""
        with self.connect() as client:
            return client.get(path, **kwargs)

    def wait_until(self, condition):
        """Call `condition` until it is true, for what the server can only be asked about."""
        limit = time.monotonic() + PATIENCE
        while not (value := condition()):
            assert time.monotonic() < limit, "it never happened"
            time.sleep(0.005)
        return value

    def stop(self, number=signal.SIGINT):
        """End it with a signal and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self):
        """Wait for its end, the last line of its output included."""
        status = self.process.wait(PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
        return status

    def kill(self):
        """End it whatever happens."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()


@dataclass
class Response:
    """What came back."""

    version: str
    status: int
    reason: str
    headers: list
    body: bytes = b""
    chunks: list = field(default_factory=list)
    head: bytes = b""

    def all(self, name):
        """The values of all fields of this name."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def __getitem__(self, name):
        values = self.all(name)
        assert len(values) == 1, (name, self.headers)
        return values[0]

    def __contains__(self, name):
        return bool(self.all(name))


class Closed(Exception):
    """The server closed the connection where a response was due."""


class Client:
    """A connection."""

    def __init__(self, server):
        self.sock = socket.socket(server.family)
        self.sock.settimeout(PATIENCE)
        try:
            self.sock.connect(server.address)
        except BaseException:
            self.sock.close()
            raise
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Close so that the peer gets a reset instead of an end."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def _more(self):
        data = self.sock.recv(65536)
        self.buffer += data
        return bool(data)

    def _until(self, mark):
        while mark not in self.buffer:
            if not self._more():
                raise Closed(self.buffer)
        found, _, self.buffer = self.buffer.partition(mark)
        return found

    def exactly(self, count):
        """Read this many bytes."""
        parts = [self.buffer[:count]]
        self.buffer = self.buffer[count:]
        missing = count - len(parts[0])
        while missing:
            data = self.sock.recv(min(missing, 1 << 20))
            if not data:
                raise Closed(b"".join(parts))
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    def rest(self):
        """Read until the server closes."""
        while self._more():
            pass
        rest, self.buffer = self.buffer, b""
        return rest

    def is_closed(self):
        """Wait for the server to close; False if it sends something instead."""
        if self.buffer:
            return False
        try:
            return not self._more()
        except ConnectionResetError:
            return True

    def response(self, method="GET"):
        """Read one response."""
        head = self._until(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        version, status, reason = status_line.split(" ", 2)
        headers = [tuple(line.split(": ", 1)) for line in lines]
        result = Response(version, int(status), reason, headers, head=head)
        if method == "HEAD" or result.status in {204, 304} or result.status < 200:
            return result
        if "Transfer-Encoding" in result:
            assert result["Transfer-Encoding"] == "chunked"
            assert "Content-Length" not in result
            while size := int(self._until(b"\r\n"), 16):
                result.chunks.append(self.exactly(size))
                assert self.exactly(2) == b"\r\n"
            assert self.exactly(2) == b"\r\n"
            result.body = b"".join(result.chunks)
        elif "Content-Length" in result:
            result.body = self.exactly(int(result["Content-Length"]))
        else:
            result.body = self.rest()
        return result

    def request(self, method, path="/", headers=(), body=b"", version="HTTP/1.1"):
        """Send a request and read its response."""
        lines = [f"{method} {path} {version}"]
        if version == "HTTP/1.1":
            lines.append("Host: test")
        lines += [f"{name}: {value}" for name, value in headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        return self.response(method)

    def get(self, path="/", **kwargs):
        return self.request("GET", path, **kwargs)

    def post(self, path="/", body=b"", **kwargs):
        return self.request("POST", path, body=body, **kwargs)
