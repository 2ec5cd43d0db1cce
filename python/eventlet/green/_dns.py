"""Looking up names without blocking: libc's own functions, in OS threads.

The answers are those that any other program on the machine gets. A lookup that a `Timeout`
interrupts goes on in its thread; its answer is dropped.
"""

from __future__ import annotations

import _socket
import os
import socket as _original
from collections.abc import Callable
from typing import Any

from eventlet._os_threads import ThreadPool

__all__ = [
    "getaddrinfo",
    "gethostbyaddr",
    "gethostbyname",
    "gethostbyname_ex",
    "getnameinfo",
    "resolve_address",
]

#: Lookups that may be under way at once; EVENTLET_DNS_THREADS sets another number.
_pool = ThreadPool(max(1, int(os.environ.get("EVENTLET_DNS_THREADS") or 8)), name="dns_thread")

# Taken now: the names in the module may be replaced by monkey patching.
_getaddrinfo: Callable[..., Any] = _original.getaddrinfo
_gethostbyname: Callable[..., Any] = _original.gethostbyname
_gethostbyname_ex: Callable[..., Any] = _original.gethostbyname_ex
_gethostbyaddr: Callable[..., Any] = _original.gethostbyaddr
_getnameinfo: Callable[..., Any] = _original.getnameinfo


def _is_numeric(host: Any) -> bool:
    """Tell whether looking up `host` needs no network and no files."""
    if host is None:
        return True
    if isinstance(host, bytes):
        try:
            host = host.decode("ascii")
        except UnicodeDecodeError:
            return False
    if not isinstance(host, str):
        # Not a host at all: let libc's wrapper say so.
        return True
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return True
    return False


def getaddrinfo(
    host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> Any:
    """As ``socket.getaddrinfo``, without blocking other green threads."""
    if _is_numeric(host):
        return _getaddrinfo(host, port, family, type, proto, flags)
    return _pool.execute(_getaddrinfo, host, port, family, type, proto, flags)


def gethostbyname(hostname: Any) -> Any:
    """As ``socket.gethostbyname``, without blocking other green threads."""
    if _is_numeric(hostname):
        return _gethostbyname(hostname)
    return _pool.execute(_gethostbyname, hostname)


def gethostbyname_ex(hostname: Any) -> Any:
    """As ``socket.gethostbyname_ex``, without blocking other green threads."""
    return _pool.execute(_gethostbyname_ex, hostname)


def gethostbyaddr(ip_address: Any) -> Any:
    """As ``socket.gethostbyaddr``, without blocking other green threads."""
    return _pool.execute(_gethostbyaddr, ip_address)


def getnameinfo(sockaddr: Any, flags: int) -> Any:
    """As ``socket.getnameinfo``, without blocking other green threads."""
    return _pool.execute(_getnameinfo, sockaddr, flags)


def resolve_address(address: tuple[Any, ...], family: int) -> tuple[Any, ...]:
    """Return an IPv4 or IPv6 address with its host as a number.

    :param address: ``(host, port)``, for IPv6 also with flow information and scope.
    :param family: AF_INET or AF_INET6.
    """
    found = getaddrinfo(address[0], None, family, _socket.SOCK_STREAM)[0][4]
    rest = address[1:]
    if len(rest) == 1 and len(found) == 4 and found[3]:
        # A link-local address means little without its interface.
        rest = (rest[0], 0, found[3])
    return (found[0], *rest)
