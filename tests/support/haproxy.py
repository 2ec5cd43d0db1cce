"""An HAProxy in front of a server, from the program that is installed."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from . import daemons
from .daemons import Unavailable as Unavailable

#: `strict` is as it comes; `lax` passes on all that it can be made to pass on.
_CONFIG = r"""
global
    log 127.0.0.1:{log} len 4096 local0
defaults
    mode http
    log global
    log-format "id=%ID server=%s status=%ST %{{+Q}}r"
    unique-id-format %[uuid()]
    timeout client {patience}ms
    timeout http-request {patience}ms
    timeout http-keep-alive {patience}ms
    timeout connect 5s
    timeout server 5s
    retries 0
    http-reuse always
frontend strict
    bind unix@{folder}/strict
    http-request set-header X-Request-Id %[unique-id]
    http-response set-header X-Proxy-Id %[unique-id]
    default_backend app
frontend lax
    bind unix@{folder}/lax
    option accept-invalid-http-request
    http-request set-header X-Request-Id %[unique-id]
    http-response set-header X-Proxy-Id %[unique-id]
    default_backend app
backend app
    server app 127.0.0.1:{port} {options}
"""

#: The configurations.
NAMES = ("strict", "lax")


class Proxy:
    """A running HAProxy: `path(name)` is where it listens."""

    def __init__(self, folder: Path, log: socket.socket) -> None:
        self._folder = folder
        self._log = log
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def path(self, name: str) -> str:
        """The unix socket of a configuration."""
        return str(self._folder / name)

    def forwarded(self) -> set[str]:
        """The numbers of the requests that it has sent on so far, as its log says."""
        found = (re.search(r"id=(\S+) server=app ", line) for line in list(self._lines))
        return {match[1] for match in found if match}

    def _read(self) -> None:
        while data := self._log.recv(65536):
            self._lines.append(data.decode("latin-1"))


@contextlib.contextmanager
def server(port: int, *, options: str = "", patience: int = 500) -> Iterator[Proxy]:
    """Run one in front of a server on `port`; it waits `patience` milliseconds for its clients.

    The options are those of HAProxy for a server.
    """
    program = daemons.find("haproxy", "/usr/sbin/haproxy")
    with daemons.folder() as folder, socket.socket(type=socket.SOCK_DGRAM) as log:
        log.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        log.bind(("127.0.0.1", 0))
        config = folder / "haproxy.cfg"
        values = {"folder": folder, "port": port, "patience": patience, "options": options}
        config.write_text(_CONFIG.format(log=log.getsockname()[1], **values))
        command = (program, "-W", "-f", config)
        with daemons.running(*command, ready="Loading success", where=folder):
            try:
                yield Proxy(folder, log)
            finally:
                # An empty datagram: the reader ends.
                with socket.socket(type=socket.SOCK_DGRAM) as end:
                    end.sendto(b"", log.getsockname())
