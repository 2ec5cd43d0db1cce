"""Addresses given with `--bind`: reading them, listening on them, tidying up after them."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import sys
from dataclasses import dataclass
from typing import Any

from eventlet.cli._errors import CommandError, UsageError

# The room in `sockaddr_un.sun_path`, less its final zero.
_UNIX_PATH_MAX = 107 if sys.platform.startswith("linux") else 103


@dataclass(frozen=True)
class Address:
    """Where to listen: `path` of a unix socket, or `host` and `port`."""

    text: str
    host: str = ""
    port: int = 0
    path: str | None = None


@dataclass
class Listener:
    """A listening socket and how to tell people about it."""

    sock: Any
    url: str
    path: str | None = None
    # (device, inode) of the socket file: another server may have replaced it by the time we end.
    file_id: tuple[int, int] | None = None

    def unlink(self) -> None:
        """Remove the file of a unix socket, if it is still ours."""
        if self.path is None or self.file_id is None:
            return
        with contextlib.suppress(OSError):
            if _file_id(self.path) == self.file_id:
                os.unlink(self.path)
        self.file_id = None


def parse(text: str) -> Address:
    """Read `host:port`, `[v6]:port` or `unix:path`."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path or "\0" in path:
            raise UsageError(f"bad address {text!r}: the path of the unix socket is missing")
        length = len(os.fsencode(path))
        if length > _UNIX_PATH_MAX:
            raise UsageError(
                f"bad address {text!r}: the path of a unix socket may have {_UNIX_PATH_MAX} bytes, "
                f"this one has {length}"
            )
        return Address(text, path=path)
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or not rest.startswith(":"):
            raise UsageError(f"bad address {text!r}: an IPv6 address is written [ADDRESS]:PORT")
        port = rest[1:]
    else:
        host, colon, port = text.rpartition(":")
        if not colon:
            hint = f"127.0.0.1:{text}" if text.isdecimal() else f"{text}:8000"
            raise UsageError(f"bad address {text!r}: HOST:PORT or unix:PATH is needed, as {hint}")
        if ":" in host:
            raise UsageError(f"bad address {text!r}: an IPv6 address is written [ADDRESS]:PORT")
    if not host:
        raise UsageError(f"bad address {text!r}: the host is missing; 0.0.0.0 is every interface")
    # isascii too: other scripts have decimal digits that int() would take.
    if not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise UsageError(f"bad address {text!r}: the port must be a number from 0 to 65535")
    return Address(text, host=host, port=int(port))


def listen(address: Address, backlog: int) -> Listener:
    """Listen on `address`; what stands in the way is said in one line."""
    try:
        if address.path is not None:
            return _listen_unix(address, address.path, backlog)
        return _listen_tcp(address, backlog)
    except OSError as error:
        raise CommandError(f"cannot listen on {address.text}: {_reason(address, error)}") from None


def _listen_tcp(address: Address, backlog: int) -> Listener:
    import eventlet

    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        # UnicodeError: a label that is empty or too long for a name.
        reason = getattr(error, "strerror", None) or error
        raise CommandError(
            f"cannot listen on {address.text}: host {address.host!r}: {reason}"
        ) from None
    # Where a name has both, IPv4: that is what people mean by `localhost` when they type it.
    found.sort(key=lambda info: info[0] != socket.AF_INET)
    family, _, _, _, sockaddr = found[0]
    # Not SO_REUSEPORT: two servers on one port, each with half of the requests, is a mistake that
    # nobody would notice.
    sock: Any = eventlet.listen(sockaddr, family, backlog, reuse_port=False)
    host, port = sock.getsockname()[:2]
    shown = f"[{host}]" if family == socket.AF_INET6 else host
    return Listener(sock, f"http://{shown}:{port}")


def _listen_unix(address: Address, path: str, backlog: int) -> Listener:
    import eventlet

    _make_room(path)
    sock = eventlet.listen(path, socket.AF_UNIX, backlog, reuse_port=False)
    # Absolute, so that it can still be removed after the application has changed directory.
    return Listener(sock, address.text, os.path.abspath(path), _file_id(path))


def _make_room(path: str) -> None:
    """Remove the file a server left behind; raise OSError if it is anything else."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "a file that is not a socket is in the way")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # A server too busy to accept must not make us wait: it answers EAGAIN, which is alive.
        probe.setblocking(False)
        status = probe.connect_ex(path)
    if status == errno.ECONNREFUSED:
        os.unlink(path)
    elif status != errno.ENOENT:
        code = status if status in (errno.EACCES, errno.EPERM) else errno.EADDRINUSE
        raise OSError(code, os.strerror(code))


def _reason(address: Address, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the address is in use by another program"
    if error.errno in (errno.EACCES, errno.EPERM):
        low = address.path is None and 0 < address.port < 1024
        return "permission denied" + (" (ports below 1024 are reserved)" if low else "")
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address"
    return (error.strerror or str(error)).lower()


def _file_id(path: str) -> tuple[int, int]:
    info = os.lstat(path)
    return info.st_dev, info.st_ino
