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
import time
from collections.abc import Iterator
from socket import gaierror
from typing import Any

try:
    import dns.exception
    import dns.ipv4
    import dns.ipv6
    import dns.name
    import dns.rdata
    import dns.rdataclass
    import dns.rdatatype
    import dns.rdtypes.ANY.CNAME
    import dns.rdtypes.IN.A
    import dns.rdtypes.IN.AAAA
    import dns.resolver
    import dns.reversename
    import dns.rrset
except ModuleNotFoundError as error:
    raise ImportError(
        "eventlet.support.greendns needs dnspython 2.1 or newer: pip install 'eventlet[dns]'"
    ) from error

from eventlet import greenthread
from eventlet.green import _dns
from eventlet.green import _socket_nodns as socket
from eventlet.support._dns_transport import DNS_QUERY_TIMEOUT, tcp, udp

__all__ = [
    "DNS_QUERY_TIMEOUT",
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

#: Seconds after which the hosts file is looked at again.
HOSTS_TTL = 10.0

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

#: How many aliases of aliases are followed.
_MAX_ALIASES = 16


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


# ------------------------------------------------------------------------------------------------
# Addresses


def is_ipv4_addr(host: Any) -> bool:
    """Return whether `host` is an IPv4 address, as a string."""
    if not isinstance(host, str):
        return False
    try:
        dns.ipv4.inet_aton(host)
    except dns.exception.SyntaxError:
        return False
    return True


def is_ipv6_addr(host: Any) -> bool:
    """Return whether `host` is an IPv6 address, as a string; it may have a scope."""
    if not isinstance(host, str):
        return False
    try:
        dns.ipv6.inet_aton(host.partition("%")[0])
    except dns.exception.SyntaxError:
        return False
    return True


def is_ip_addr(host: Any) -> bool:
    """Return whether `host` is an IPv4 or IPv6 address, as a string."""
    return is_ipv4_addr(host) or is_ipv6_addr(host)


def _name(name: Any) -> dns.name.Name:
    """Return a name as dnspython has it, relative unless it ends with a dot."""
    if isinstance(name, bytes):
        name = name.decode("ascii")
    return dns.name.from_text(name, None) if isinstance(name, str) else name


# ------------------------------------------------------------------------------------------------
# The hosts file


class HostsAnswer(dns.resolver.Answer):
    """What the hosts file says of a name.

    :param qname: the name that was asked for.
    :param rrset: the answers, a ``dns.rrset.RRset``; may be empty or None.
    :param raise_on_no_answer: raise ``dns.resolver.NoAnswer`` if there are none.
    """

    def __init__(
        self,
        qname: Any,
        rdtype: Any,
        rdclass: Any,
        rrset: Any,
        raise_on_no_answer: bool = True,
    ) -> None:
        # Not the base's: it takes all this from the message of a server.
        if not rrset and raise_on_no_answer:
            raise dns.resolver.NoAnswer
        self.response: Any = None
        self.nameserver = None
        self.port = None
        self.qname = qname
        self.rdtype = rdtype
        self.rdclass = rdclass
        self.canonical_name = qname
        self.rrset = rrset
        self.expiration = time.time() + getattr(rrset, "ttl", 0)


def _rdata(rdtype: Any, text: str) -> Any:
    return dns.rdata.from_text(_IN, rdtype, text)


class HostsResolver:
    """Answers from the hosts file.

    :param fname: the file; by default the system's.
    :param interval: seconds after which to look whether it has changed.
    """

    def __init__(self, fname: str | None = None, interval: float = HOSTS_TTL) -> None:
        #: Addresses by name, and the names that others are aliases of, all in lower case.
        self._v4: dict[str, str] = {}
        self._v6: dict[str, str] = {}
        self._aliases: dict[str, str] = {}
        self.interval = interval
        self.fname = "/etc/hosts" if fname is None else fname
        self._state: Any = None
        self._load()

    def _readlines(self) -> list[str]:
        """Return the lines of the file that say something, without comments."""
        try:
            with open(self.fname, "rb") as file:
                text = file.read().decode(errors="ignore")
        except OSError:
            return []
        lines = (line.partition("#")[0].strip() for line in text.splitlines())
        return [line for line in lines if line]

    def _load(self) -> None:
        self._last_load = time.monotonic()
        self._state = self._file_state()
        self._v4.clear()
        self._v6.clear()
        self._aliases.clear()
        for line in self._readlines():
            address, *names = line.lower().split()
            if is_ipv4_addr(address):
                known = self._v4
            elif is_ipv6_addr(address) and not address.startswith("fe80:"):
                known = self._v6
            else:
                # Nothing to be said of a link-local address without its interface.
                continue
            for name in names:
                known[name] = address
                if name != names[0]:
                    self._aliases[name] = names[0]

    def _file_state(self) -> Any:
        try:
            found = os.stat(self.fname)
        except OSError:
            return None
        return (found.st_ino, found.st_size, found.st_mtime_ns)

    def _refresh(self) -> float:
        """Read the file again if it has changed; return how long its answers hold, in seconds."""
        now = time.monotonic()
        if now - self._last_load >= self.interval:
            if self._file_state() != self._state:
                self._load()
            self._last_load = now
        return self._last_load + self.interval - now

    def query(
        self,
        qname: Any,
        rdtype: Any = _A,
        rdclass: Any = _IN,
        tcp: bool = False,
        source: str | None = None,
        raise_on_no_answer: bool = True,
    ) -> HostsAnswer:
        """Return what the file says of a name.

        :param rdtype: A, AAAA or CNAME; there is no answer for other types.
        :param rdclass, tcp, source: for other resolvers.
        :raises dns.resolver.NoAnswer: if it says nothing, unless `raise_on_no_answer` is false.
        """
        ttl = self._refresh()
        if isinstance(qname, bytes):
            qname = qname.decode("ascii")
        if isinstance(qname, str):
            qname = dns.name.from_text(qname)
        name = qname.to_text(omit_final_dot=True).lower()
        rrset = dns.rrset.RRset(qname, _IN, rdtype)
        rrset.ttl = ttl  # type: ignore[assignment]
        if rdtype == _A and name in self._v4:
            rrset.add(_rdata(rdtype, self._v4[name]))
        elif rdtype == _AAAA and name in self._v6:
            rrset.add(_rdata(rdtype, self._v6[name]))
        elif rdtype == _CNAME and name in self._aliases:
            rrset.add(_rdata(rdtype, self._aliases[name] + "."))
        return HostsAnswer(qname, rdtype, _IN, rrset, raise_on_no_answer)

    def getaliases(self, hostname: str) -> list[str]:
        """Return the other names of a host."""
        hostname = hostname.lower()
        canonical = self._aliases.get(hostname, hostname)
        names = [canonical, *(name for name, of in self._aliases.items() if of == canonical)]
        return [name for name in names if name != hostname]

    def getname(self, address: str) -> str | None:
        """Return the name of an address, None if the file has none for it."""
        self._refresh()
        known = self._v4 if is_ipv4_addr(address) else self._v6
        # The canonical name comes first in its line.
        return next((name for name, each in known.items() if each == address.lower()), None)


# ------------------------------------------------------------------------------------------------
# Name servers


class ResolverProxy:
    """Answers from the hosts file, else from the name servers.

    :param hosts_resolver: a `HostsResolver`; None: name servers only.
    :param filename: where the name servers are listed. It is read when they are first needed.
    """

    def __init__(
        self, hosts_resolver: HostsResolver | None = None, filename: str | None = "/etc/resolv.conf"
    ) -> None:
        self._hosts = hosts_resolver
        self._filename = filename
        self._cached_resolver: Any = None

    @property
    def _resolver(self) -> Any:
        if self._cached_resolver is None:
            self.clear()
        return self._cached_resolver

    @_resolver.setter
    def _resolver(self, value: Any) -> None:
        self._cached_resolver = value

    def clear(self) -> None:
        """Forget all answers, and read the list of name servers again."""
        made = dns.resolver.Resolver(filename=self._filename)  # type: ignore[arg-type]
        made.cache = dns.resolver.LRUCache()
        self._cached_resolver = made

    def query(
        self,
        qname: Any,
        rdtype: Any = _A,
        rdclass: Any = _IN,
        tcp: bool = False,
        source: str | None = None,
        raise_on_no_answer: bool = True,
        _hosts_rdtypes: tuple[Any, ...] = (_A, _AAAA),
        use_network: bool = True,
    ) -> Any:
        """Return the answer to a question, a ``dns.resolver.Answer``.

        A name without dots that the search list of resolv.conf does not lead to is also looked for
        as a top-level domain.

        :param source: the address to ask from.
        :param raise_on_no_answer: whether it is an error if the name has nothing of that type.
        :param use_network: false: look into the hosts file only.
        :raises dns.resolver.NXDOMAIN: if there is no such name.
        :raises dns.resolver.NoAnswer: if it has nothing of that type.
        :raises dns.exception.DNSException: if no server gives an answer.
        """
        name = _name("0.0.0.0" if qname is None else qname)
        if self._hosts is not None and rdclass == _IN and rdtype in _hosts_rdtypes:
            try:
                found = self._hosts.query(name, rdtype, raise_on_no_answer=False)
            except dns.exception.DNSException:
                pass
            else:
                if found.rrset:
                    return found
        if not use_network:
            raise dns.resolver.NXDOMAIN(qnames=(name,))  # type: ignore[no-untyped-call]
        names = [name]
        if len(name) == 1 and not name.is_absolute():
            names.append(name.concatenate(dns.name.root))
        answer: Any = None
        failure: Exception | None = None
        try:
            for each in names:
                try:
                    answer = self._ask(each, rdtype, rdclass, tcp, source)
                except dns.exception.DNSException as error:
                    failure = error
                else:
                    if answer.rrset:
                        return answer
            if answer is None and failure is not None:
                raise failure
            if raise_on_no_answer:
                raise dns.resolver.NoAnswer
            return answer
        finally:
            # It refers to this frame by its traceback.
            failure = None

    def _ask(self, name: Any, rdtype: Any, rdclass: Any, tcp: bool, source: str | None) -> Any:
        ask = self._resolver
        if getattr(type(ask), "query", None) is _outdated_query:
            # dnspython's present name for the same thing.
            return ask.resolve(
                name, rdtype, rdclass, tcp, source, raise_on_no_answer=False, search=True
            )
        return ask.query(name, rdtype, rdclass, tcp, source, raise_on_no_answer=False)

    def getaliases(self, hostname: Any) -> list[str]:
        """Return the other names of a host: those in the hosts file, and those it points to."""
        aliases = self._hosts.getaliases(str(hostname)) if self._hosts is not None else []
        while len(aliases) < _MAX_ALIASES:
            try:
                found = self._ask(_name(hostname), _CNAME, _IN, False, None)
            except (dns.resolver.NoAnswer, dns.resolver.NXDOMAIN):
                break
            if not found.rrset:
                break
            aliases.extend(str(each.target) for each in found.rrset)
            hostname = found.rrset[0].target
        return aliases


_outdated_query = getattr(dns.resolver.Resolver, "query", None)

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
            return HostsAnswer(_name(name), rdtype, _IN, None, False)


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
