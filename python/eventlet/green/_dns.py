"""Looking up names without blocking: libc's own functions, in OS threads.

The answers are those that any other program on the machine gets. Who asks what somebody else is
asking already waits for the same answer. A lookup that a `Timeout` interrupts goes on in its
thread, where the next one to ask finds it.

Numeric addresses need no lookup, and get their answer at once. In the hub itself, where a signal
handler may run, and in OS threads that have none, libc is called on the spot.

Everything else may be answered by `eventlet.support.greendns` instead, which asks the name servers
by itself. EVENTLET_NO_GREENDNS decides:

* not set: from when the program imports ``eventlet.support.greendns``;
* ``yes``: never, except by calling that module's own functions;
* ``no``: always.
"""

from __future__ import annotations

import _socket
import os
import socket as _original
import sys
from collections.abc import Callable
from typing import Any

from eventlet import _core
from eventlet._core import can_wait, has_hub

__all__ = [
    "getaddrinfo",
    "gethostbyaddr",
    "gethostbyname",
    "gethostbyname_ex",
    "getnameinfo",
    "install",
    "resolve_address",
]

# How many lookups may be under way at once. Most wait for name servers, so that there may well be
# more of them than processors.
_core.set_resolver_threads(int(os.environ.get("EVENTLET_DNS_THREADS") or 32))

# Taken now: the names in the module may be replaced by monkey patching.
_getaddrinfo: Callable[..., Any] = _original.getaddrinfo
_gethostbyname: Callable[..., Any] = _original.gethostbyname
_gethostbyname_ex: Callable[..., Any] = _original.gethostbyname_ex
_gethostbyaddr: Callable[..., Any] = _original.gethostbyaddr
_getnameinfo: Callable[..., Any] = _original.getnameinfo

_BY_NUMBER = _original.NI_NUMERICHOST | _original.NI_NUMERICSERV

#: What the standard library calls the numbers in an address.
_FAMILIES: dict[int, int] = {int(member): member for member in _original.AddressFamily}
_TYPES: dict[int, int] = {int(member): member for member in _original.SocketKind}


def getaddrinfo(
    host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> Any:
    """As ``socket.getaddrinfo``, without blocking other green threads."""
    if _is_numeric(host) and _is_number(port):
        return _getaddrinfo(host, port, family, type, proto, flags)
    if _resolver is not None and (can_wait() or not has_hub()):
        return _resolver.getaddrinfo(host, port, family, type, proto, flags)
    if not (can_wait() and _is_plain(host) and _is_plain(port)):
        return _getaddrinfo(host, port, family, type, proto, flags)
    sys.audit("socket.getaddrinfo", host, port, family, type, proto)
    found = _core.getaddrinfo(_name(host), _service(port), family, type, proto, flags)
    return [
        (_FAMILIES.get(family, family), _TYPES.get(type, type), proto, name, address)
        for family, type, proto, name, address in found
    ]


def gethostbyname(hostname: Any) -> Any:
    """As ``socket.gethostbyname``, without blocking other green threads."""
    if _is_numeric(hostname):
        return _gethostbyname(hostname)
    if _resolver is not None and (can_wait() or not has_hub()):
        return _resolver.gethostbyname(hostname)
    if not can_wait() or not _is_plain(hostname) or _is_special(hostname):
        return _gethostbyname(hostname)
    sys.audit("socket.gethostbyname", hostname)
    return _first_address(hostname, _socket.AF_INET)


def gethostbyname_ex(hostname: Any) -> Any:
    """As ``socket.gethostbyname_ex``, without blocking other green threads."""
    if _is_numeric(hostname):
        return _gethostbyname_ex(hostname)
    if _resolver is not None and (can_wait() or not has_hub()):
        return _resolver.gethostbyname_ex(hostname)
    if not can_wait() or not _is_plain(hostname) or _is_special(hostname):
        return _gethostbyname_ex(hostname)
    sys.audit("socket.gethostbyname", hostname)
    # A name that does not exist is an error of getaddrinfo(3), for the standard library as well.
    _first_address(hostname, _socket.AF_INET)
    return _core.gethostbyname_ex(_name(hostname))


def gethostbyaddr(ip_address: Any) -> Any:
    """As ``socket.gethostbyaddr``, without blocking other green threads."""
    if not can_wait() or not _is_plain(ip_address) or _is_special(ip_address):
        return _gethostbyaddr(ip_address)
    sys.audit("socket.gethostbyaddr", ip_address)
    if _is_numeric(ip_address):
        return _core.gethostbyaddr(str(_socket.getaddrinfo(ip_address, None)[0][4][0]))
    return _core.gethostbyaddr(_first_address(ip_address, 0))


def getnameinfo(sockaddr: Any, flags: int) -> Any:
    """As ``socket.getnameinfo``, without blocking other green threads."""
    if not isinstance(sockaddr, tuple):
        # libc's wrapper says what is wrong with it.
        return _getnameinfo(sockaddr, flags)
    if flags & _BY_NUMBER == _BY_NUMBER and sockaddr and _is_numeric(sockaddr[0]):
        return _getnameinfo(sockaddr, flags)
    if _resolver is not None and (can_wait() or not has_hub()):
        return _resolver.getnameinfo(sockaddr, flags)
    if not can_wait():
        return _getnameinfo(sockaddr, flags)
    # Of numbers alone, which is done on the spot; it also says what is wrong with the address.
    host, port = _getnameinfo(sockaddr, flags | _BY_NUMBER)
    flowinfo, scope_id = (*sockaddr[2:], 0, 0)[:2]
    return _core.getnameinfo(host.partition("%")[0], int(port), flowinfo, scope_id, flags)


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


def install(resolver: Any) -> None:
    """Have names looked up by `resolver` from now on, by libc if it is None.

    :param resolver: an object with the methods getaddrinfo, gethostbyname, gethostbyname_ex and
        getnameinfo. It is not asked about numeric addresses.
    """
    global _resolver
    _resolver = resolver


class _Greendns:
    """Stands for `eventlet.support.greendns` until the first lookup."""

    def __getattr__(self, name: str) -> Any:
        # Installs its own resolver.
        import eventlet.support.greendns

        return getattr(_resolver, name)


#: What looks up names instead of libc.
_resolver: Any = None
if os.environ.get("EVENTLET_NO_GREENDNS", "").lower() == "no":
    _resolver = _Greendns()


def _is_numeric(host: Any) -> bool:
    """Tell whether looking up `host` needs no network and no files."""
    if host is None:
        return True
    if isinstance(host, (bytes, bytearray)):
        try:
            host = host.decode("ascii")
        except UnicodeDecodeError:
            return False
    if not isinstance(host, str):
        # Not a host at all: let libc's wrapper say so.
        return True
    try:
        if ":" in host:
            _socket.inet_pton(_socket.AF_INET6, host.partition("%")[0])
            return True
        # Also the old ways of writing an IPv4 address, as in 127.1. The function takes anything
        # that only begins with an address.
        _socket.inet_aton(host)
        return not any(character.isspace() for character in host)
    except (OSError, ValueError):
        return False


def _is_number(port: Any) -> bool:
    """Tell whether `port` needs no lookup: the names of services may be in a directory."""
    return not isinstance(port, (str, bytes, bytearray)) or port.isdigit()


def _is_plain(value: Any) -> bool:
    """Tell whether a host or a service is one that the C library can be given.

    If it is not, libc's wrapper has its own opinion of what is wrong.
    """
    if isinstance(value, str):
        return "\0" not in value
    if isinstance(value, bytes):
        return b"\0" not in value
    return value is None or (type(value) is int and -(2**31) <= value < 2**31)


def _is_special(host: Any) -> bool:
    """Tell whether a host is what the standard library knows besides names: any address, or all."""
    if isinstance(host, str):
        return host in ("", "<broadcast>")
    return host in (b"", b"<broadcast>")


def _name(host: Any) -> Any:
    """Return a host as the C library takes it."""
    return host.encode("idna") if isinstance(host, str) else host


def _service(port: Any) -> Any:
    """Return a port or a service as the C library takes it."""
    if isinstance(port, int):
        return b"%d" % port
    return port.encode() if isinstance(port, str) else port


def _first_address(host: Any, family: int) -> Any:
    """Return the numeric address that a name stands for."""
    return _core.getaddrinfo(_name(host), None, family)[0][4][0]
