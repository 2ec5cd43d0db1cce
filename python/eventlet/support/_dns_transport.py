"""Green ``dns.query.udp`` and ``dns.query.tcp``: dnspython's own, given green sockets.

dnspython does what is to be done with a message: it builds the query, and checks that what comes
back answers it. Only the waiting is different.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import dns.exception
import dns.inet
import dns.message
import dns.query
import dns.resolver

from eventlet.green import _socket_nodns as socket
from eventlet.green import time as green_time

__all__ = ["DNS_QUERY_TIMEOUT", "tcp", "udp"]

#: Seconds that `udp` and `tcp` wait for an answer.
DNS_QUERY_TIMEOUT = 10.0


def udp(
    q: Any,
    where: str,
    timeout: float | None = DNS_QUERY_TIMEOUT,
    port: int = 53,
    source: str | None = None,
    source_port: int = 0,
    ignore_unexpected: bool = False,
    one_rr_per_rrset: bool = False,
    ignore_trailing: bool = False,
    raise_on_truncation: bool = False,
    sock: Any = None,
    ignore_errors: bool = False,
    *,
    af: int | None = None,
) -> Any:
    """Send a query by UDP, and return the answer, a ``dns.message.Message``.

    :param q: the query, a ``dns.message.Message``.
    :param where: the server's address.
    :param timeout: seconds for all of it; None waits for ever.
    :param source, source_port: where to ask from.
    :param ignore_unexpected: whether datagrams from elsewhere are dropped; if not, they are errors.
    :param one_rr_per_rrset, ignore_trailing, raise_on_truncation, ignore_errors: as for
        ``dns.query.udp``; the last needs a dnspython that knows it.
    :param sock: a datagram socket to use, which is left open.
    :param af: the family of `where`, which is found out otherwise.
    :raises dns.exception.Timeout: if there is no answer in time.
    :raises dns.query.UnexpectedSource: if one comes from elsewhere.
    :raises dns.query.BadResponse: if it answers something else.
    """
    options: dict[str, Any] = {
        "ignore_unexpected": ignore_unexpected,
        "one_rr_per_rrset": one_rr_per_rrset,
        "ignore_trailing": ignore_trailing,
        "raise_on_truncation": raise_on_truncation,
    }
    if ignore_errors:
        options["ignore_errors"] = ignore_errors
    if sock is not None:
        return _udp(q, where, timeout, port, sock=_timed(sock, timeout), **options)
    with _open(where, af, socket.SOCK_DGRAM, source, source_port) as made:
        return _udp(q, where, timeout, port, sock=_timed(made, timeout), **options)


def tcp(
    q: Any,
    where: str,
    timeout: float | None = DNS_QUERY_TIMEOUT,
    port: int = 53,
    source: str | None = None,
    source_port: int = 0,
    one_rr_per_rrset: bool = False,
    ignore_trailing: bool = False,
    sock: Any = None,
    *,
    af: int | None = None,
) -> Any:
    """Send a query by TCP, and return the answer, a ``dns.message.Message``.

    :param q: the query, a ``dns.message.Message``.
    :param where: the server's address.
    :param timeout: seconds for all of it; None waits for ever.
    :param source, source_port: where to ask from.
    :param one_rr_per_rrset, ignore_trailing: as for ``dns.query.tcp``.
    :param sock: a connected socket to use, which is left open.
    :param af: the family of `where`, which is found out otherwise.
    :raises dns.exception.Timeout: if there is no answer in time.
    :raises dns.query.BadResponse: if it answers something else.
    :raises OSError: if no connection can be made.
    :raises EOFError: if the server closes it.
    """
    options = {"one_rr_per_rrset": one_rr_per_rrset, "ignore_trailing": ignore_trailing}
    if sock is not None:
        return _tcp(q, where, timeout, port, sock=_timed(sock, timeout), **options)
    with _open(where, af, socket.SOCK_STREAM, source, source_port) as made:
        timed = _timed(made, timeout)
        timed.connect(_address(where, port))
        return _tcp(q, where, timeout, port, sock=timed, **options)


def _open(where: str, af: int | None, kind: int, source: str | None, source_port: int) -> Any:
    """Make a green socket with which to reach `where`, bound as told."""
    family = dns.inet.af_for_address(where) if af is None else af
    made = socket.socket(family, kind)
    try:
        if source is not None or source_port:
            wildcard = "::" if family == socket.AF_INET6 else "0.0.0.0"
            made.bind(_address(source or wildcard, source_port))
    except BaseException:
        made.close()
        raise
    return made


def _address(host: str, port: int) -> Any:
    # With the scope of a link-local address where it belongs.
    return socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST, type=socket.SOCK_STREAM)[0][
        4
    ]


class _Timed:
    """A green socket whose operations may take so many seconds altogether."""

    def __init__(self, sock: Any, timeout: float | None) -> None:
        self._sock = sock
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def _call(self, name: str, *args: Any) -> Any:
        remaining = None
        if self._deadline is not None:
            remaining = self._deadline - time.monotonic()
            if remaining <= 0:
                raise dns.exception.Timeout
        self._sock.settimeout(remaining)
        try:
            return getattr(self._sock, name)(*args)
        except TimeoutError:
            raise dns.exception.Timeout from None

    def connect(self, address: Any) -> None:
        self._call("connect", address)

    def recv(self, size: int) -> Any:
        return self._call("recv", size)

    def recvfrom(self, size: int) -> Any:
        return self._call("recvfrom", size)

    def send(self, data: bytes) -> Any:
        return self._call("send", data)

    def sendto(self, data: bytes, address: Any) -> Any:
        return self._call("sendto", data, address)


def _timed(sock: Any, timeout: float | None) -> Any:
    # Of a socket that is not green, dnspython takes care by itself.
    return _Timed(sock, timeout) if isinstance(sock, socket.socket) else sock


# dnspython's own, also if this module is imported a second time.
_udp: Callable[..., Any] = getattr(dns.query.udp, "_original", dns.query.udp)
_tcp: Callable[..., Any] = getattr(dns.query.tcp, "_original", dns.query.tcp)
vars(udp)["_original"] = _udp
vars(tcp)["_original"] = _tcp
vars(dns.query).update(udp=udp, tcp=tcp)

# The resolver sleeps before it tries servers again.
vars(dns.resolver)["time"] = green_time
