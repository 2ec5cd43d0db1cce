"""Programs run by the tests: started, listened to, stopped, and never left behind.

Nothing here waits for an amount of time that should be enough: a test waits for a line that the
program prints, or for its end, and fails when that takes too long.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

PATIENCE = 20.0  # seconds


class Program:
    """A running Python program whose output is read as it comes."""

    def __init__(
        self,
        *args: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        pass_fds: Collection[int] = (),
    ) -> None:
        with _interruptible():
            self.process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", *map(str, args)],
                cwd=cwd,
                env={**os.environ, **(env or {})},
                pass_fds=pass_fds,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        self._changed = threading.Condition()
        self._output = {"stdout": "", "stderr": ""}
        streams = (("stdout", self.process.stdout), ("stderr", self.process.stderr))
        self._readers = [
            threading.Thread(target=self._read, args=stream, daemon=True) for stream in streams
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join(PATIENCE)
        if error is not None:
            print(f"--- stdout\n{self.stdout}--- stderr\n{self.stderr}---", file=sys.stderr)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self.process.pid

    @property
    def stdout(self) -> str:
        """What it has printed so far."""
        return self._output["stdout"]

    @property
    def stderr(self) -> str:
        """What it has complained about so far."""
        return self._output["stderr"]

    def wait_for(self, pattern: str, stream: str = "stdout") -> re.Match[str]:
        """The first match of a pattern in a stream, as soon as there is one."""
        end = time.monotonic() + PATIENCE
        with self._changed:
            while (match := re.search(pattern, self._output[stream], re.MULTILINE)) is None:
                alive = any(reader.is_alive() for reader in self._readers)
                if not alive or not self._changed.wait(end - time.monotonic()):
                    raise AssertionError(
                        f"no {pattern!r} on {stream}: {self.stdout!r}, {self.stderr!r}"
                    )
        return match

    def port(self, pattern: str = r"127\.0\.0\.1:(\d+)") -> int:
        """The port it says it listens on."""
        return int(self.wait_for(pattern)[1])

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit status, once it has ended and all its output is here."""
        status = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return status

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        self.send(number)
        return self.wait()

    def _read(self, name: str, stream: IO[bytes]) -> None:
        with stream:
            while data := os.read(stream.fileno(), 64 * 1024):
                with self._changed:
                    self._output[name] += data.decode(errors="replace")
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let what is started meanwhile be ended by Ctrl-C.

    A shell has what it runs in the background ignore SIGINT, and that would be inherited.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if ignored:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


class UnixHTTPConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self.path = path

    def connect(self) -> None:
        """Connect to the path."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(self.path))


def http_connection(port: int, host: str = "127.0.0.1") -> http.client.HTTPConnection:
    """A connection that does not wait for ever."""
    return http.client.HTTPConnection(host, port, timeout=PATIENCE)


def fetch(
    target: int | http.client.HTTPConnection,
    path: str = "/",
    method: str = "GET",
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """The status and the body of one response; `target` is a port of loopback or a connection."""
    connection = http_connection(target) if isinstance(target, int) else target
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        if isinstance(target, int):
            connection.close()
