"""Getting lines of the access log to where they go.

Lines come together in memory and leave in one write at the end of the hub's round. Whatever happens
to the file, requests are answered: lines that cannot be written are counted and dropped, and stderr
is told once when that begins and once when it is over.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import sys
from collections.abc import Callable
from typing import Any, Protocol

from eventlet.cli._errors import CommandError

#: What a program may patch is taken here, before it can: a log must not wait.
_write = os.write
_poll = getattr(select, "poll", None)

#: Text that waits to be written is written now once there is so much of it, in characters.
_ENOUGH = 64 * 1024

#: Of what a reader does not take (a pipe, a terminal), so much is kept, in bytes.
_MOST_KEPT = 1024 * 1024

#: So much fits into a pipe that is ready to be written.
_PIPE_BUF = getattr(select, "PIPE_BUF", 512)


class Sink(Protocol):
    """Where lines go."""

    #: Lines that could not be written so far.
    lost: int

    def write(self, text: str) -> object:
        """Take lines, each with its newline; never raises, never waits."""

    def flush(self) -> None:
        """Write what is still in memory."""

    def reopen(self) -> None:
        """Open the file again by its name: the old one may have been moved away."""

    def close(self) -> None:
        """Write the rest, and close what was opened."""


def open_sink(name: str, later: Callable[[Callable[[], object]], object]) -> Sink:
    """Open what `--access-log` names; `later` has the hub call a function soon.

    :raises CommandError: if it cannot be opened.
    """
    if name == "syslog":
        return Syslog()
    if name == "-":
        return Lines(2, None, later)
    try:
        return Lines(_open(name), name, later)
    except OSError as error:
        raise CommandError(f"cannot write {name}: {error.strerror}") from None


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)


class Lines:
    """Lines for a descriptor: a file that is appended to, or stderr."""

    def __init__(
        self, fd: int, path: str | None, later: Callable[[Callable[[], object]], object]
    ) -> None:
        self.lost = 0
        self._fd = fd
        # Absolute: the application may change directory before the file is opened again.
        self._path = None if path is None else os.path.abspath(path)
        self._later = later
        self._text: list[str] = []
        self._size = 0
        self._due = False
        self._kept = b""
        # Whether the last line in the file is only a part of one so far, and whether it stays so.
        self._within = False
        self._torn = False
        self._failing = 0
        self._look()

    def write(self, text: str) -> None:
        """Take lines, to be written soon."""
        self._text.append(text)
        self._size += len(text)
        if self._size >= _ENOUGH:
            self.flush()
        elif not self._due:
            self._due = True
            self._later(self.flush)

    def flush(self) -> None:
        """Write what has come together."""
        self._due = False
        data = "".join(self._text).encode("utf-8", "backslashreplace")
        self._text.clear()
        self._size = 0
        if self._kept:
            data = self._kept + data
            self._kept = b""
        if data:
            self._put(data)

    def _put(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            if self._torn and (not self._may_block or self._has_room()):
                # What is left of a line that was lost stays a line of its own.
                _write(self._fd, b"\n")
                self._torn = self._within = False
            while rest:
                if self._may_block and not self._has_room():
                    self._keep(bytes(rest))
                    return
                written = _write(self._fd, rest[:_PIPE_BUF] if self._may_block else rest)
                self._within = rest[written - 1] != 0x0A
                rest = rest[written:]
        except BlockingIOError:
            self._keep(bytes(rest))
        except OSError as error:
            self._lose(bytes(rest).count(b"\n"), error.strerror or str(error))
        else:
            self._recover()

    def _keep(self, data: bytes) -> None:
        """Nobody reads for now: try again with the next line, and forget what is too much."""
        if len(data) > _MOST_KEPT:
            self._lose(data.count(b"\n"), "nobody reads it")
        else:
            self._kept = data

    def _lose(self, lines: int, reason: str) -> None:
        self.lost += lines
        self._torn = self._within
        if not self._failing:
            name = self._path or "stderr"
            _report(f"the access log {name} cannot be written: {reason}; serving without it")
        self._failing += lines

    def _recover(self) -> None:
        if self._failing:
            _report(f"the access log is written again; it lacks {self._failing} lines")
            self._failing = 0

    def _look(self) -> None:
        """See whether a write may block; regular files do not, as far as anybody can tell."""
        try:
            regular = stat.S_ISREG(os.fstat(self._fd).st_mode)
        except OSError:
            regular = True
        self._may_block = not regular and _poll is not None

    def _has_room(self) -> bool:
        assert _poll is not None
        poll = _poll()
        poll.register(self._fd, select.POLLOUT)
        return bool(poll.poll(0))

    def reopen(self) -> None:
        """Open the file again; where that fails, go on with the old one."""
        if self._path is None:
            return
        self.flush()
        try:
            fd = _open(self._path)
        except OSError as error:
            _report(f"cannot open {self._path} again: {error.strerror}; going on with the old file")
            return
        os.close(self._fd)
        self._fd = fd
        self._within = self._torn = False
        self._look()

    def close(self) -> None:
        """Write the rest, and close the file."""
        self.flush()
        if self._path is not None:
            os.close(self._fd)


class Syslog:
    """Lines for the system's log, one datagram each (RFC 3164, as local daemons have it)."""

    # Facility daemon, level info.
    _HEAD = f"<{3 * 8 + 6}>eventlet[%d]: "

    def __init__(self, path: str = "/dev/log") -> None:
        self.lost = 0
        self._path = path if os.path.exists(path) else "/var/run/syslog"
        self._sock: Any = None
        self._failing = 0
        self._connect()
        if self._sock is None:
            raise CommandError(f"--access-log syslog: no log daemon listens at {path}")

    def _connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # A daemon that does not keep up costs lines, not requests.
        sock.setblocking(False)
        try:
            sock.connect(self._path)
        except OSError:
            sock.close()
            return
        self._sock = sock

    def write(self, text: str) -> None:
        """Send lines."""
        head = self._HEAD % os.getpid()
        for line in text.splitlines():
            self._send((head + line).encode("utf-8", "backslashreplace"))

    def _send(self, datagram: bytes) -> None:
        for _ in range(2):
            if self._sock is None:
                self._connect()
            if self._sock is None:
                break
            try:
                self._sock.send(datagram)
            except BlockingIOError:
                break
            except OSError:
                # The daemon may have been started again.
                self._sock.close()
                self._sock = None
            else:
                if self._failing:
                    _report(f"syslog takes lines again; it lacks {self._failing} of them")
                    self._failing = 0
                return
        self.lost += 1
        if not self._failing:
            _report("syslog does not take lines of the access log; serving without it")
        self._failing += 1

    def flush(self) -> None:
        """Nothing waits."""

    def reopen(self) -> None:
        """Connect again."""
        self.close()
        self._connect()

    def close(self) -> None:
        """Close the socket."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def _report(message: str) -> None:
    try:
        sys.stderr.write(f"eventlet: {message}\n")
        sys.stderr.flush()
    except OSError:
        pass
