"""The module ``socket`` with sockets and lookups that let others run while they wait."""

from __future__ import annotations

import socket as _original
import sys
from os import get_blocking as _get_blocking
from typing import TYPE_CHECKING, Any

from eventlet._core import set_fd_owner as _set_fd_owner
from eventlet.green import _dns
from eventlet.greenio import early
from eventlet.greenio.base import _GLOBAL_DEFAULT_TIMEOUT, GreenSocket

# Everything that the running Python has, whichever version it is; what is green comes afterwards.
globals().update(
    {name: value for name, value in vars(_original).items() if not name.startswith("__")}
)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


__all__ = [name for name in _original.__all__ if hasattr(_original, name)]

#: What monkey patching puts into the standard module. Its other functions are made of these.
__patched__ = [
    "fromfd",
    "getaddrinfo",
    "gethostbyaddr",
    "gethostbyname",
    "gethostbyname_ex",
    "getnameinfo",
    "socket",
    "timeout",
]

timeout = TimeoutError
socket = GreenSocket


def __also_patched__() -> list[tuple[Any, str, Any]]:
    """Return what monkey patching replaces in classes: triples of class, name and value."""
    _register_for_pickling()
    return early.replacements()


def _register_for_pickling() -> None:
    """Let ``multiprocessing`` hand green sockets to other processes, as it does with others.

    It registers the class that is ``socket.socket`` when it is imported.
    """
    reduction: Any = sys.modules.get("multiprocessing.reduction")
    if reduction is not None and hasattr(reduction, "_reduce_socket"):
        reduction.register(GreenSocket, reduction._reduce_socket)


_register_for_pickling()


getaddrinfo = _dns.getaddrinfo
gethostbyaddr = _dns.gethostbyaddr
gethostbyname = _dns.gethostbyname
gethostbyname_ex = _dns.gethostbyname_ex
getnameinfo = _dns.getnameinfo


def fromfd(fd: int, family: int, type: int, proto: int = 0) -> GreenSocket:
    """Make a socket of a duplicate of a descriptor."""
    blocking = _get_blocking(fd)
    made = GreenSocket(family, type, proto, _original.dup(fd))
    if blocking:
        # Both are non-blocking now. Whoever uses the original by its number expects it to wait.
        _set_fd_owner(fd, id(made))
    return made


_original_socketpair = _original.socketpair


def socketpair(
    family: int | None = None, type: int = _original.SOCK_STREAM, proto: int = 0
) -> tuple[GreenSocket, GreenSocket]:
    """Make two sockets that are connected with each other, local ones where there are any."""
    pair = _original_socketpair(family, type, proto)
    one, two = (GreenSocket(s.family, s.type, s.proto, s.detach()) for s in pair)
    return one, two


def create_connection(
    address: tuple[str | None, int | str],
    timeout: Any = _GLOBAL_DEFAULT_TIMEOUT,
    source_address: tuple[str, int] | None = None,
    *,
    all_errors: bool = False,
) -> GreenSocket:
    """Connect to a TCP service, at the first of its host's addresses that answers.

    :param address: host and port.
    :param timeout: seconds for each attempt, and for the socket afterwards; by default that of
        ``socket.getdefaulttimeout()``.
    :param source_address: where to connect from; by default wherever the system likes.
    :param all_errors: raise an ExceptionGroup of what has gone wrong with each address; by default
        the last error is raised. Needs Python 3.11.
    """
    host, port = address
    failures: list[OSError] = []
    for family, kind, proto, _, target in getaddrinfo(host, port, 0, _original.SOCK_STREAM):
        sock = None
        try:
            sock = socket(family, kind, proto)
            if timeout is not _GLOBAL_DEFAULT_TIMEOUT:
                sock.settimeout(timeout)
            if source_address:
                sock.bind(source_address)
            sock.connect(target)
        except OSError as error:
            failures.append(error)
            if sock is not None:
                sock.close()
        except BaseException:
            if sock is not None:
                sock.close()
            raise
        else:
            # The errors refer to this frame through their tracebacks, and the frame to them.
            failures.clear()
            return sock
    try:
        if not failures:
            raise OSError("getaddrinfo returns an empty list")
        if all_errors:
            raise _group("create_connection failed", failures)
        raise failures[-1]
    finally:
        failures.clear()


def _group(message: str, errors: list[OSError]) -> Exception:
    import builtins

    group = getattr(builtins, "ExceptionGroup", None)
    if group is None:
        raise TypeError("all_errors needs Python 3.11")
    made: Exception = group(message, list(errors))
    return made


def create_server(
    address: Any,
    *,
    family: int = _original.AF_INET,
    backlog: int | None = None,
    reuse_port: bool = False,
    dualstack_ipv6: bool = False,
) -> GreenSocket:
    """Make a TCP socket that listens at `address`; as ``socket.create_server``."""
    made = _original.create_server(
        address,
        family=family,
        backlog=backlog,
        reuse_port=reuse_port,
        dualstack_ipv6=dualstack_ipv6,
    )
    if isinstance(made, GreenSocket):
        return made
    return GreenSocket(made.family, made.type, made.proto, made.detach())


def getfqdn(name: str = "") -> str:
    """Return the full name of a host, by default of this one; `name` if there is none."""
    name = name.strip()
    if not name or name in ("0.0.0.0", "::"):
        name = _original.gethostname()
    try:
        hostname, aliases, _ = gethostbyaddr(name)
    except OSError:
        return name
    for candidate in (hostname, *aliases):
        if "." in candidate:
            return str(candidate)
    return str(hostname)
