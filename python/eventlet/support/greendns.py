"""Looking up names by asking the name servers, without libc: green dnspython.

Needs dnspython (``pip install eventlet[dns]``). Importing the module makes this the way in which
`eventlet.green.socket`, and ``socket`` in a patched program, look up names, unless
EVENTLET_NO_GREENDNS is ``yes``. It also makes ``dns.query.udp`` and ``dns.query.tcp`` green, so
that dnspython itself may be used in green threads; DNS over TLS and HTTPS are green in a patched
program.

A name is looked up in the hosts file, and only if it is not there at the name servers of
resolv.conf, whose answers are kept for as long as they may be. Other sources that the system may be
set up to use (mDNS, LDAP, ...) are not.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from socket import gaierror
from typing import Any

try:
    import dns.exception
    import dns.rdataclass
    import dns.rdatatype
    import dns.resolver
    import dns.reversename
except ModuleNotFoundError as error:
    raise ImportError(
        "eventlet.support.greendns needs dnspython 2.1 or newer: pip install 'eventlet[dns]'"
    ) from error

from eventlet import greenthread
from eventlet.green import _dns
from eventlet.green import _socket_nodns as socket
from eventlet.support._dns_resolvers import (
    HOSTS_TTL,
    HostsAnswer,
    HostsResolver,
    ResolverProxy,
    is_ip_addr,
    is_ipv4_addr,
    is_ipv6_addr,
    parse_name,
)
from eventlet.support._dns_transport import DNS_QUERY_TIMEOUT, tcp, udp

__all__ = [
    "DNS_QUERY_TIMEOUT",
    "HOSTS_TTL",
    "HostsAnswer",
    "HostsResolver",
    "ResolverProxy",
    "getaddrinfo",
    "getaliases",
    "gethostbyname",
    "gethostbyname_ex",
    "getnameinfo",
    "is_ip_addr",
    "is_ipv4_addr",
    "is_ipv6_addr",
    "reset",
    "resolve",
    "resolve_cname",
    "resolver",
    "tcp",
    "udp",
]

# What is raised is a copy: an exception keeps the stack it was raised from alive.
EAI_EAGAIN_ERROR = gaierror(socket.EAI_AGAIN, "Lookup timed out")
EAI_NONAME_ERROR = gaierror(socket.EAI_NONAME, "Name or service not known")
EAI_NODATA_ERROR = EAI_NONAME_ERROR
if os.environ.get("EVENTLET_DEPRECATED_EAI_NODATA", "").lower() in ("1", "y", "yes") and hasattr(
    socket, "EAI_NODATA"
):
    EAI_NODATA_ERROR = gaierror(socket.EAI_NODATA, "No address associated with hostname")

_IN = dns.rdataclass.IN
_A = dns.rdatatype.A
_AAAA = dns.rdatatype.AAAA
_CNAME = dns.rdatatype.CNAME


def _raise_new_error(error_instance: OSError) -> Any:
    raise type(error_instance)(*error_instance.args)


@contextlib.contextmanager
def _socket_errors() -> Iterator[None]:
    """Turn dnspython's exceptions into those of the module ``socket``."""
    try:
        yield
    except (dns.exception.Timeout, dns.resolver.NoNameservers):
        # Another time there may be an answer.
        _raise_new_error(EAI_EAGAIN_ERROR)
    except dns.exception.DNSException:
        _raise_new_error(EAI_NODATA_ERROR)


#: What everything below asks.
resolver: Any = ResolverProxy(hosts_resolver=HostsResolver())


def resolve(
    name: Any,
    family: int = socket.AF_INET,
    raises: bool = True,
    _proxy: Any = None,
    use_network: bool = True,
) -> Any:
    """Return the addresses of a host, a ``dns.resolver.Answer``.

    :param family: AF_INET or AF_INET6.
    :param raises: whether it is an error if there are none; if not, the answer may be empty.
    :param use_network: false: look into the hosts file only.
    :raises socket.gaierror: if there are none, or no server gives an answer.
    """
    if family == socket.AF_INET:
        rdtype = _A
    elif family == socket.AF_INET6:
        rdtype = _AAAA
    else:
        raise gaierror(socket.EAI_FAMILY, "Address family not supported")
    ask = resolver if _proxy is None else _proxy
    with _socket_errors():
        try:
            return ask.query(name, rdtype, raise_on_no_answer=raises, use_network=use_network)
        except dns.resolver.NXDOMAIN:
            if raises:
                raise
            return HostsAnswer(parse_name(name), rdtype, _IN, None, False)


def resolve_cname(host: Any) -> str:
    """Return the name that a host's name is an alias of; the name itself if it is none.

    :raises socket.gaierror: if no server gives an answer.
    """
    with _socket_errors():
        try:
            return str(resolver.query(host, _CNAME)[0].target)
        except dns.resolver.NoAnswer:
            return str(host)


def getaliases(host: Any) -> list[str]:
    """Return the other names of a host.

    :raises socket.gaierror: if no server gives an answer.
    """
    with _socket_errors():
        aliases: list[str] = resolver.getaliases(host)
        return aliases


def reset() -> None:
    """Forget all answers, and read the list of name servers again."""
    resolver.clear()


# ------------------------------------------------------------------------------------------------
# The functions of the module socket


class _Functions:
    """The functions as they are called by those of `eventlet.green.socket`."""

    @staticmethod
    def getaddrinfo(
        host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[Any]:
        """As ``socket.getaddrinfo``."""
        if isinstance(host, (bytes, bytearray)):
            host = host.decode("ascii")
        elif isinstance(host, str):
            host = host.encode("idna").decode("ascii")
        if host == "":
            _raise_new_error(EAI_NONAME_ERROR)
        name, addresses = host, [host]
        if host is not None and not is_ip_addr(host):
            if flags & socket.AI_NUMERICHOST:
                _raise_new_error(EAI_NONAME_ERROR)
            name, addresses = _find_addresses(host, family, flags)
        # libc adds the rest: ports of services, the types of sockets there are...
        by_number = (flags | socket.AI_NUMERICHOST) & ~socket.AI_CANONNAME
        found: list[Any] = []
        failure: OSError | None = None
        for address in addresses:
            try:
                found += socket.getaddrinfo(address, port, family, type, proto, by_number)
            except OSError as error:
                if not flags & socket.AI_ADDRCONFIG:
                    raise
                # An address of a family that this machine has none of.
                failure = error.with_traceback(None)
        if not found:
            raise failure or gaierror(socket.EAI_NONAME, "No address found")
        if flags & socket.AI_CANONNAME:
            if not is_ip_addr(name):
                name = resolve_cname(name).rstrip(".").encode("ascii").decode("idna")
            found[0] = (*found[0][:3], name, found[0][4])
        return found

    @staticmethod
    def gethostbyname(hostname: Any) -> str:
        """As ``socket.gethostbyname``."""
        if is_ipv4_addr(hostname):
            return str(hostname)
        return str(resolve(hostname)[0].address)

    @staticmethod
    def gethostbyname_ex(hostname: Any) -> tuple[str, list[str], list[str]]:
        """As ``socket.gethostbyname_ex``."""
        if is_ipv4_addr(hostname):
            return (hostname, [], [hostname])
        answer = resolve(hostname)
        aliases = getaliases(hostname)
        return (str(answer.qname).rstrip("."), aliases, [each.address for each in answer.rrset])

    @staticmethod
    def getnameinfo(sockaddr: Any, flags: int) -> tuple[str, str]:
        """As ``socket.getnameinfo``."""
        if isinstance(sockaddr, tuple) and sockaddr and not is_ip_addr(sockaddr[0]):
            found = {each[4][0] for each in _Functions.getaddrinfo(sockaddr[0], None)}
            if len(found) > 1:
                raise OSError("sockaddr resolved to multiple addresses")
            sockaddr = (*found, *sockaddr[1:])
        host, service = socket.getnameinfo(sockaddr, (flags | socket.NI_NUMERICHOST) & ~_NAME)
        if flags & socket.NI_NUMERICHOST:
            if flags & _NAME:
                _raise_new_error(EAI_NONAME_ERROR)
            return (host, service)
        try:
            return (_find_name(host), service)
        except dns.exception.Timeout:
            if flags & _NAME:
                _raise_new_error(EAI_EAGAIN_ERROR)
        except dns.exception.DNSException:
            if flags & _NAME:
                _raise_new_error(EAI_NONAME_ERROR)
        return (host, service)


_NAME: int = socket.NI_NAMEREQD


def _find_addresses(host: str, family: int, flags: int) -> tuple[str, list[str]]:
    """Return the name that a host was found by, and its addresses."""
    if family == socket.AF_UNSPEC:
        return _find_all_addresses(host)
    answer = resolve(host, family, False)
    addresses = [each.address for each in answer.rrset or ()]
    mapped = family == socket.AF_INET6 and flags & socket.AI_V4MAPPED
    if mapped and (not addresses or flags & socket.AI_ALL):
        answer = resolve(host, socket.AF_INET, False)
        addresses += ["::ffff:" + each.address for each in answer.rrset or ()]
    return str(answer.qname), addresses


def _find_all_addresses(host: str) -> tuple[str, list[str]]:
    """Return the name that a host was found by, and its addresses, those of IPv6 first.

    What the hosts file has of either family is all that counts.
    """
    answers = [
        resolve(host, family, False, use_network=False)
        for family in (socket.AF_INET6, socket.AF_INET)
    ]
    if not any(answer.rrset for answer in answers):
        answers = _ask_for_all(host)
    addresses = [each.address for answer in answers for each in answer.rrset or ()]
    return str(answers[-1].qname), addresses


def _ask_for_all(host: str) -> list[Any]:
    """Ask for the addresses of both families at once; fail only if both questions do."""
    both = [greenthread.spawn(resolve, host, socket.AF_INET6, False)]
    answers = []
    failure: OSError | None = None
    try:
        both.append(greenthread.spawn(resolve, host, socket.AF_INET, False))
        for question in both:
            try:
                answers.append(question.wait())
            except gaierror as error:
                failure = error.with_traceback(None)
    finally:
        for question in both:
            question.kill()
    if failure is not None and not any(answer.rrset for answer in answers):
        raise failure
    return answers


def _find_name(address: str) -> str:
    """Return the name of an address."""
    hosts = getattr(resolver, "_hosts", None)
    if hosts is not None:
        known = hosts.getname(address)
        if known is not None:
            return str(known)
    question = dns.reversename.from_address(address.partition("%")[0])
    found = resolver.query(question, dns.rdatatype.PTR)
    return str(found[0].target.to_text(omit_final_dot=True))


if os.environ.get("EVENTLET_NO_GREENDNS", "").lower() == "yes":
    getaddrinfo: Any = _Functions.getaddrinfo
    gethostbyname: Any = _Functions.gethostbyname
    gethostbyname_ex: Any = _Functions.gethostbyname_ex
    getnameinfo: Any = _Functions.getnameinfo
else:
    _dns.install(_Functions)
    getaddrinfo = _dns.getaddrinfo
    gethostbyname = _dns.gethostbyname
    gethostbyname_ex = _dns.gethostbyname_ex
    getnameinfo = _dns.getnameinfo
