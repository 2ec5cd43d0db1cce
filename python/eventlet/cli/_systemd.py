"""What systemd wants to know, and the sockets that it hands over.

Both are protocols of environment variables (sd_listen_fds(3), sd_notify(3)); no library is needed.
Elsewhere nothing is set, and all of this does nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping

#: The first descriptor that is passed; they are numbered on from there.
FIRST_DESCRIPTOR = 3


def take_descriptors(environ: MutableMapping[str, str] | None = None) -> list[tuple[int, str]]:
    """The descriptors meant for this process, each with its name; empty if there are none.

    The variables are removed, so that no process started from here takes them for its own.
    """
    environ = os.environ if environ is None else environ
    count = environ.pop("LISTEN_FDS", "")
    pid = environ.pop("LISTEN_PID", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    found = []
    for index in range(int(count)):
        fd = FIRST_DESCRIPTOR + index
        os.set_inheritable(fd, False)
        found.append((fd, names[index] if index < len(names) and names[index] else "unknown"))
    return found


class Notifier:
    """Tells systemd how the service does."""

    def __init__(self, environ: MutableMapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        path = environ.pop("NOTIFY_SOCKET", "")
        # An abstract socket is written with an @ for its zero byte.
        self._address = "\0" + path[1:] if path.startswith("@") else path
        micros = environ.pop("WATCHDOG_USEC", "")
        pid = environ.pop("WATCHDOG_PID", "")
        watched = micros.isdecimal() and pid in ("", str(os.getpid()))
        #: Seconds between two signs of life, half of what systemd waits; None if it does not wait.
        self.interval: float | None = int(micros) / 2_000_000 if watched else None

    def ready(self) -> None:
        """The service is up, or has finished reloading."""
        self._send("READY=1")

    def reloading(self) -> None:
        """The service reloads; `ready` is to follow."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The service is on its way out."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows."""
        self._send(f"STATUS={text}")

    def alive(self) -> None:
        """Give the sign of life that is due every `interval` seconds."""
        if self.interval is not None:
            self._send("WATCHDOG=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        # A service goes on whether or not anybody listens.
        with contextlib.suppress(OSError):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto(state.encode(), self._address)
