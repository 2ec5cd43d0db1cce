"""Answering questions from the hosts file and from the name servers, with dnspython."""

from __future__ import annotations

import os
import time
from typing import Any

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
import dns.rrset

__all__ = [
    "HOSTS_TTL",
    "HostsAnswer",
    "HostsResolver",
    "ResolverProxy",
    "is_ip_addr",
    "is_ipv4_addr",
    "is_ipv6_addr",
    "parse_name",
]

#: Seconds after which the hosts file is looked at again.
HOSTS_TTL = 10.0

_IN = dns.rdataclass.IN
_A = dns.rdatatype.A
_AAAA = dns.rdatatype.AAAA
_CNAME = dns.rdatatype.CNAME

#: How many aliases of aliases are followed.
_MAX_ALIASES = 16


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


def parse_name(name: Any) -> dns.name.Name:
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
        name = parse_name("0.0.0.0" if qname is None else qname)
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
                found = self._ask(parse_name(hostname), _CNAME, _IN, False, None)
            except (dns.resolver.NoAnswer, dns.resolver.NXDOMAIN):
                break
            if not found.rrset:
                break
            aliases.extend(str(each.target) for each in found.rrset)
            hostname = found.rrset[0].target
        return aliases


_outdated_query = getattr(dns.resolver.Resolver, "query", None)
