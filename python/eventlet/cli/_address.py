"""Addresses given with `--bind`: reading them, listening on them, tidying up after them.

A listening socket is made here, or comes from outside: from systemd, or by its number. One that
came from outside is not ours to remove.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eventlet.cli._errors import CommandError, UsageError

# The room in `sockaddr_un.sun_path`, less its final zero.
_UNIX_PATH_MAX = 107 if sys.platform.startswith("linux") else 103


@dataclass(frozen=True)
class Address:
    """Where to listen: `host` and `port`, or `path` of a unix socket, or what is listening already.

    That is descriptor `fd`, or the sockets that systemd passed by the name `systemd`, or all of
    them if that is empty.
    """

    text: str
    host: str = ""
    port: int = 0
    path: str | None = None
    mode: int | None = None
    fd: int | None = None
    systemd: str | None = None


@dataclass
class Listener:
    """A listening socket and how to tell people about it."""

    sock: Any
    url: str
    path: str | None = None
    # Whether it came from outside: whoever made it goes on with it.
    passed: bool = False
    # Whether there may be more sockets of this address, each with a queue of its own.
    shareable: bool = False
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
    """Read `host:port`, `[v6]:port`, `unix:path`, `fd://number` or `systemd`."""
    if text.startswith("fd:"):
        digits = text.removeprefix("fd:").removeprefix("//")
        if not (digits.isascii() and digits.isdecimal()):
            raise UsageError(f"bad address {text!r}: the number of a descriptor is needed: fd://3")
        return Address(text, fd=int(digits))
    if text == "systemd" or text.startswith("systemd:"):
        return Address(text, systemd=text.removeprefix("systemd").removeprefix(":"))
    if text.startswith("unix:"):
        path, mode = _split_mode(text)
        if not path or "\0" in path:
            raise UsageError(f"bad address {text!r}: the path of the unix socket is missing")
        length = len(os.fsencode(path))
        if length > _UNIX_PATH_MAX:
            raise UsageError(
                f"bad address {text!r}: the path of a unix socket may have {_UNIX_PATH_MAX} bytes, "
                f"this one has {length}"
            )
        return Address(text, path=path, mode=mode)
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


def _split_mode(text: str) -> tuple[str, int | None]:
    """The path of a unix socket, and the permissions it is to get."""
    path, mark, digits = text.removeprefix("unix:").rpartition("?mode=")
    if not mark:
        return digits, None
    try:
        mode = int(digits, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777:
        raise UsageError(f"bad address {text!r}: permissions are three octal digits: ?mode=660")
    return path, mode


def resolve(addresses: Sequence[Address], passed: Sequence[tuple[int, str]]) -> list[Address]:
    """Put the descriptors that systemd `passed` where `addresses` asks for them.

    :raises CommandError: if there is none where one is asked for.
    """
    found = []
    for address in addresses:
        if address.systemd is None:
            found.append(address)
            continue
        fds = [fd for fd, name in passed if address.systemd in ("", name)]
        if not fds:
            names = ", ".join(sorted({name for _, name in passed}))
            there = f"it passed: {names}" if names else "it passed none: is there a .socket unit?"
            raise CommandError(f"cannot listen on {address.text}: no such socket; {there}")
        found += [Address(address.text, fd=fd) for fd in fds]
    return found


def listen(address: Address, backlog: int, reuse_port: bool = False) -> Listener:
    """Listen on `address`; what stands in the way is said in one line.

    With `reuse_port` others of our processes may listen there, too, each with a queue of its own.
    """
    try:
        if address.fd is not None:
            return _adopt(address, address.fd)
        if address.path is not None:
            return _listen_unix(address, address.path, backlog)
        return _listen_tcp(address, backlog, reuse_port)
    except OSError as error:
        raise CommandError(f"cannot listen on {address.text}: {_reason(address, error)}") from None


def again(listener: Listener, backlog: int) -> Listener:
    """Listen once more where `listener` does, which has been made with `reuse_port`."""
    import eventlet

    address, family = listener.sock.getsockname(), listener.sock.family
    sock = eventlet.listen(address, family, backlog, reuse_port=True)
    return Listener(sock, listener.url, shareable=True)


def _adopt(address: Address, fd: int) -> Listener:
    from eventlet.greenio import GreenSocket

    try:
        os.set_inheritable(fd, False)
        plain = socket.socket(fileno=fd)
    except OSError as error:
        raise OSError(error.errno, f"descriptor {fd}: {os.strerror(error.errno or 0)}") from None
    if plain.type != socket.SOCK_STREAM or not plain.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    ):
        plain.detach()
        raise OSError(errno.EINVAL, f"descriptor {fd} is not a socket that listens")
    sock = plain if isinstance(plain, GreenSocket) else GreenSocket(plain)
    return Listener(sock, _url(sock) or address.text, passed=True)


def _url(sock: Any) -> str:
    name = sock.getsockname()
    if isinstance(name, tuple):
        host = f"[{name[0]}]" if sock.family == socket.AF_INET6 else name[0]
        return f"http://{host}:{name[1]}"
    return f"unix:{os.fsdecode(name)}" if name else ""


def _listen_tcp(address: Address, backlog: int, reuse_port: bool) -> Listener:
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
    # Not SO_REUSEPORT unless asked for: two servers on one port, each with half of the requests, is
    # a mistake that nobody would notice.
    with warnings.catch_warnings():
        # A port that the system chooses is ours alone; whoever else gets it, gets it from us.
        warnings.simplefilter("ignore")
        sock: Any = eventlet.listen(sockaddr, family, backlog, reuse_port=reuse_port)
    return Listener(sock, _url(sock), shareable=reuse_port)


def _listen_unix(address: Address, path: str, backlog: int) -> Listener:
    import eventlet

    _make_room(path)
    if address.mode is None:
        sock = eventlet.listen(path, socket.AF_UNIX, backlog, reuse_port=False)
    else:
        # The file must never be there with more permissions than it is to have.
        before = os.umask(0o777 & ~address.mode)
        try:
            sock = eventlet.listen(path, socket.AF_UNIX, backlog, reuse_port=False)
        finally:
            os.umask(before)
    # Absolute, so that it can still be removed after the application has changed directory.
    return Listener(sock, f"unix:{path}", os.path.abspath(path), file_id=_file_id(path))


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
