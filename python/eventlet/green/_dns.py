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
from collections.abc import Callable
from typing import Any

from eventlet._core import can_wait, has_hub
from eventlet._os_threads import RLock, ThreadPool
from eventlet.event import Event

__all__ = [
    "getaddrinfo",
    "gethostbyaddr",
    "gethostbyname",
    "gethostbyname_ex",
    "getnameinfo",
    "install",
    "resolve_address",
]

#: Lookups that may be under way at once; EVENTLET_DNS_THREADS sets another number. Most wait for
#: name servers, so that there may well be more of them than processors.
_pool = ThreadPool(
    max(1, int(os.environ.get("EVENTLET_DNS_THREADS") or 32)),
    idle_seconds=60,
    min_threads=1,
    name="dns_thread",
)

# Taken now: the names in the module may be replaced by monkey patching.
_getaddrinfo: Callable[..., Any] = _original.getaddrinfo
_gethostbyname: Callable[..., Any] = _original.gethostbyname
_gethostbyname_ex: Callable[..., Any] = _original.gethostbyname_ex
_gethostbyaddr: Callable[..., Any] = _original.gethostbyaddr
_getnameinfo: Callable[..., Any] = _original.getnameinfo

_BY_NUMBER = _original.NI_NUMERICHOST | _original.NI_NUMERICSERV


def getaddrinfo(
    host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> Any:
    """As ``socket.getaddrinfo``, without blocking other green threads."""
    if _is_numeric(host) and _is_number(port):
        return _getaddrinfo(host, port, family, type, proto, flags)
    if _resolver is not None and (can_wait() or not has_hub()):
        return _resolver.getaddrinfo(host, port, family, type, proto, flags)
    return _look_up(_getaddrinfo, host, port, family, type, proto, flags)


def gethostbyname(hostname: Any) -> Any:
    """As ``socket.gethostbyname``, without blocking other green threads."""
    if _is_numeric(hostname):
        return _gethostbyname(hostname)
    if _resolver is not None and (can_wait() or not has_hub()):
        return _resolver.gethostbyname(hostname)
    return _look_up(_gethostbyname, hostname)


def gethostbyname_ex(hostname: Any) -> Any:
    """As ``socket.gethostbyname_ex``, without blocking other green threads."""
    if _is_numeric(hostname):
        return _gethostbyname_ex(hostname)
    if _resolver is not None and (can_wait() or not has_hub()):
        return _resolver.gethostbyname_ex(hostname)
    return _look_up(_gethostbyname_ex, hostname)


def gethostbyaddr(ip_address: Any) -> Any:
    """As ``socket.gethostbyaddr``, without blocking other green threads."""
    return _look_up(_gethostbyaddr, ip_address)


def getnameinfo(sockaddr: Any, flags: int) -> Any:
    """As ``socket.getnameinfo``, without blocking other green threads."""
    if not isinstance(sockaddr, tuple):
        # libc's wrapper says what is wrong with it.
        return _getnameinfo(sockaddr, flags)
    if flags & _BY_NUMBER == _BY_NUMBER and sockaddr and _is_numeric(sockaddr[0]):
        return _getnameinfo(sockaddr, flags)
    if _resolver is not None and (can_wait() or not has_hub()):
        return _resolver.getnameinfo(sockaddr, flags)
    return _look_up(_getnameinfo, sockaddr, flags)


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


class _Lookup:
    """A call of libc, and those who wait for its result."""

    __slots__ = ("args", "begun", "done", "function", "job", "key", "waiters")

    def __init__(self, key: Any, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.key = key
        self.function = function
        self.args = args
        #: Gets the result and None, or None and the error.
        self.done = Event()
        self.waiters = 0
        self.start()

    def start(self) -> None:
        self.begun = False
        self.job = _pool.submit(self.done, self.run)

    def run(self) -> tuple[Any, BaseException | None]:
        """Make the call, in a thread of the pool."""
        self.begun = True
        try:
            outcome: tuple[Any, BaseException | None] = (self.function(*self.args), None)
        except BaseException as error:
            outcome = (None, error.with_traceback(None))
        with _lock:
            # Who asks from now on wants to know how things are from now on.
            self.forget()
        return outcome

    def forget(self) -> None:
        if _lookups.get(self.key) is self:
            del _lookups[self.key]

    def wait(self) -> Any:
        with _lock:
            self.waiters += 1
        try:
            result, error = self.done.wait()
        finally:
            with _lock:
                self.waiters -= 1
                if not self.waiters and not self.begun:
                    # Nobody wants to know any more.
                    self.job.clear()
                    self.forget()
        if error is not None:
            # One for each who waits: they have tracebacks of their own.
            raise type(error)(*error.args)
        return _copy(result)


def _look_up(function: Callable[..., Any], *args: Any) -> Any:
    """Return ``function(*args)``, called in a thread."""
    if not can_wait():
        # Nobody could run meanwhile.
        return function(*args)
    # 1, 1.0 and True are equal, but libc's wrapper knows them apart.
    key = (function, args, tuple(map(type, args)))
    try:
        with _lock:
            lookup = _lookups.get(key)
            if lookup is None:
                lookup = _lookups[key] = _Lookup(key, function, args)
    except TypeError:
        # Arguments without a hash are wrong ones.
        return function(*args)
    return lookup.wait()


def _copy(result: Any) -> Any:
    """Return a result whose lists are the caller's own."""
    if isinstance(result, list):
        return list(result)
    if isinstance(result, tuple):
        return tuple(map(_copy, result))
    return result


def _after_fork_in_child() -> None:
    global _lock
    _lock = RLock()
    # The threads are the parent's; the green threads that wait for them are the child's, too.
    for lookup in [*_lookups.values()]:
        if lookup.waiters:
            lookup.start()
        else:
            lookup.forget()


_lock = RLock()

#: The lookups under way.
_lookups: dict[Any, _Lookup] = {}

os.register_at_fork(after_in_child=_after_fork_in_child)
