"""Green sockets.

A `GreenSocket` is a ``socket.socket``: what does not wait is inherited, what may wait is native
(`eventlet._core.SocketMethods`). The descriptor is always non-blocking, and the timeout that a
program sets is kept here, for the hub to obey.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import io
import os
import socket
from collections.abc import Callable
from typing import Any

from eventlet import hubs
from eventlet._core import (
    SocketMethods,
    fd_owner,
    init_sockets,
    notify_adopted,
    notify_closing,
    notify_opened,
    set_fd_owner,
)

__all__ = [
    "BUFFER_SIZE",
    "CONNECT_ERR",
    "CONNECT_SUCCESS",
    "SOCKET_BLOCKING",
    "SOCKET_CLOSED",
    "_GLOBAL_DEFAULT_TIMEOUT",
    "GreenSocket",
    "set_nonblocking",
    "shutdown_safe",
    "socket_accept",
    "socket_checkerr",
    "socket_connect",
    "socket_timeout",
]

#: The errno values of a connection that is being made.
CONNECT_ERR = {errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK}
#: The results of a connection that has been made.
CONNECT_SUCCESS = {0, errno.EISCONN}
#: The errno values of an operation that would have to wait.
SOCKET_BLOCKING = {errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOTCONN}
#: The errno values of a connection that has ended.
SOCKET_CLOSED = {errno.ECONNRESET, errno.ESHUTDOWN, errno.EPIPE}
BUFFER_SIZE = 4096

#: What an operation raises when its socket's timeout is over.
socket_timeout = TimeoutError

_GLOBAL_DEFAULT_TIMEOUT: Any = socket._GLOBAL_DEFAULT_TIMEOUT  # type: ignore[attr-defined]

# Taken now: the names in the module may be replaced by monkey patching.
_Socket = socket.socket
_GiveUpOnSendfile: type[Exception] = socket._GiveupOnSendfile  # type: ignore[attr-defined]
_init = _Socket.__init__
_set_base_timeout = _socket.socket.settimeout
_SOCK_NONBLOCK: int = getattr(_socket, "SOCK_NONBLOCK", 0)

#: How much `sendfile` asks the kernel to send at once, in bytes.
_SENDFILE_BLOCK = 1 << 20


class GreenSocket(SocketMethods, _Socket):
    """A socket whose operations let other green threads run while they wait.

    ``GreenSocket(family, type, proto, fileno)`` is as for ``socket.socket``. ``GreenSocket(sock)``
    stands for an existing socket: both have one descriptor, and closing either closes it.

    :param set_nonblocking: pass False for a descriptor that is non-blocking already.
    """

    __slots__ = ("__dict__", "_green_timeout")

    #: The socket that this one stands for.
    _original: Any = None
    #: The class to make further sockets of.
    _public: type[GreenSocket] | None = None

    _green_timeout: float | None

    def __init__(
        self,
        family: Any = -1,
        type: int = -1,
        proto: int = -1,
        fileno: int | None = None,
        *,
        set_nonblocking: bool = True,
    ) -> None:
        if not isinstance(family, int):
            self._stand_for(family, set_nonblocking)
            return
        self._green_timeout = _socket.getdefaulttimeout()
        if fileno is None:
            if type == -1:
                type = _socket.SOCK_STREAM
            if type & _SOCK_NONBLOCK:
                self._green_timeout = 0.0
            elif set_nonblocking:
                type |= _SOCK_NONBLOCK
        _init(self, family, type, proto, fileno)
        if set_nonblocking and (fileno is not None or not _SOCK_NONBLOCK):
            _set_base_timeout(self, 0.0)
        notify_opened(self.fileno(), id(self))

    def _stand_for(self, original: Any, set_nonblocking_: bool) -> None:
        fileno = original.fileno()
        self.__class__ = _stand_in_class(type(self))
        self._original = original
        try:
            timeout = original.gettimeout()
        except AttributeError:
            timeout = None
        self._green_timeout = timeout or _socket.getdefaulttimeout()
        if isinstance(original, GreenSocket) or fileno == -1:
            return
        if set_nonblocking_:
            set_nonblocking(original)
        notify_adopted(fileno)
        set_fd_owner(fileno, id(self))

    def _accepted(self, family: int, type_: int, proto: int, fileno: int) -> GreenSocket:
        """Make the socket of a connection that `accept` has taken."""
        return _adopt(self._public or type(self), family, type_, proto, fileno)

    @property
    def fd(self) -> Any:
        """The object that owns the descriptor: the socket itself, unless it stands for another."""
        return self

    @property
    def _sock(self) -> GreenSocket:
        return self

    @property
    def act_non_blocking(self) -> bool:
        """Whether operations raise BlockingIOError instead of waiting."""
        return self._green_timeout == 0.0

    @act_non_blocking.setter
    def act_non_blocking(self, on: bool) -> None:
        if on:
            self._green_timeout = 0.0
        elif self._green_timeout == 0.0:
            self._green_timeout = None

    def settimeout(self, howlong: float | None) -> None:
        """Set how long an operation may wait.

        :param howlong: seconds; 0 makes the socket non-blocking, None lets it wait for ever.
        """
        if howlong is None or howlong is _GLOBAL_DEFAULT_TIMEOUT:
            self._green_timeout = None
            return
        try:
            seconds = howlong.__float__()
        except AttributeError:
            raise TypeError("a float is required") from None
        if not seconds >= 0.0:
            raise ValueError("Timeout value out of range")
        self._green_timeout = seconds

    def gettimeout(self) -> float | None:
        """Return what `settimeout` has set, in seconds, or None."""
        return self._green_timeout

    @property
    def timeout(self) -> float | None:
        """What `settimeout` has set, in seconds, or None."""
        return self._green_timeout

    def setblocking(self, flag: bool) -> None:
        """Set the timeout to None (wait for ever) if `flag` is true, else to 0 (do not wait)."""
        self._green_timeout = None if flag else 0.0

    def getblocking(self) -> bool:
        """Return whether operations may wait."""
        return self._green_timeout != 0.0

    def bind(self, address: Any) -> None:
        """Bind to an address. A host name is looked up without blocking other green threads."""
        _socket.socket.bind(self, self._resolved(address))

    def dup(self) -> GreenSocket:
        """Return another socket for this connection, with a descriptor of its own."""
        fileno = socket.dup(self.fileno())
        new = _adopt(self._public or type(self), self.family, self.type, self.proto, fileno)
        new.settimeout(self.gettimeout())
        return new

    def detach(self) -> int:
        """Give up the descriptor without closing it, and return its number.

        Green threads that wait for it get `IOClosed`. The descriptor is in blocking mode
        afterwards, unless the socket's timeout is 0: whoever gets it may know nothing of hubs.
        """
        # Another socket may have been made of the descriptor, as for TLS.
        owned = fd_owner(self.fileno()) == id(self)
        notify_closing(self.fileno())
        fileno = super().detach()
        if owned and self._green_timeout != 0.0:
            os.set_blocking(fileno, True)
        return fileno

    def _real_close(
        self, _ss: Any = _socket.socket, _notify: Callable[[int], None] = notify_closing
    ) -> None:
        # The defaults are for the end of the interpreter, when globals are gone.
        _notify(self.fileno())
        _ss.close(self)

    def _sendfile_use_sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        # Called by `socket.sendfile`, which sends block by block if this gives up.
        def send(source: int, offset: int, size: int) -> int:
            while True:
                try:
                    return os.sendfile(self.fileno(), source, offset, size)
                except BlockingIOError:
                    self._wait(True)

        return send_file(self, file, offset, count, send)

    def _mark_as_closed(self) -> None:
        self._closed = True

    def _trampoline(
        self,
        fd: Any,
        read: bool = False,
        write: bool = False,
        timeout: float | None = None,
        timeout_exc: Any = None,
    ) -> int:
        """Wait until the descriptor is ready; see `eventlet.hubs.trampoline`."""
        return hubs.trampoline(
            fd,
            read=read,
            write=write,
            timeout=timeout,
            timeout_exc=TimeoutError("timed out") if timeout_exc is None else timeout_exc,
            mark_as_closed=self._mark_as_closed,
        )


def _adopt(cls: type[GreenSocket], family: int, type_: int, proto: int, fileno: int) -> GreenSocket:
    """Make a socket of a descriptor that nobody else owns; on failure the descriptor is closed."""
    sock = cls.__new__(cls)
    try:
        if cls is GreenSocket:
            sock.__init__(family, type_, proto, fileno, set_nonblocking=False)  # type: ignore[misc]
        else:
            sock.__init__(family, type_, proto, fileno=fileno)  # type: ignore[misc]
    except BaseException:
        if sock.fileno() == -1:
            os.close(fileno)
        raise
    return sock


def _delegate(name: str) -> Callable[..., Any]:
    def method(self: GreenSocket, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._original, name)(*args, **kwargs)

    method.__name__ = name
    method.__qualname__ = f"GreenSocket.{name}"
    method.__doc__ = getattr(_Socket, name).__doc__
    return method


def _delegate_attribute(name: str) -> property:
    def get(self: GreenSocket) -> Any:
        return getattr(self._original, name)

    def put(self: GreenSocket, value: Any) -> None:
        setattr(self._original, name, value)

    return property(get, put)


class _StandIn(GreenSocket):
    """A green socket that stands for another socket.

    It has no descriptor: what is asked of it is asked of the other, so there is nothing to get out
    of step, and nothing that could be closed twice.
    """

    __slots__ = ()

    fileno = _delegate("fileno")
    bind = _delegate("bind")
    listen = _delegate("listen")
    shutdown = _delegate("shutdown")
    getsockname = _delegate("getsockname")
    getpeername = _delegate("getpeername")
    getsockopt = _delegate("getsockopt")
    setsockopt = _delegate("setsockopt")
    get_inheritable = _delegate("get_inheritable")
    set_inheritable = _delegate("set_inheritable")
    family = _delegate_attribute("family")
    type = _delegate_attribute("type")
    proto = _delegate_attribute("proto")
    _io_refs = _delegate_attribute("_io_refs")
    _closed = _delegate_attribute("_closed")

    @property
    def fd(self) -> Any:
        """The socket that this one stands for."""
        return self._original

    def close(self) -> None:
        """Close the socket that this one stands for."""
        if getattr(self._original, "_io_refs", 0) <= 0:
            notify_closing(self._original.fileno())
        self._original.close()

    def detach(self) -> int:
        """Make the socket that this one stands for give up its descriptor."""
        notify_closing(self._original.fileno())
        return int(self._original.detach())

    def _decref_socketios(self) -> None:
        original = self._original
        if original._closed and original._io_refs <= 1:
            notify_closing(original.fileno())
        original._decref_socketios()

    def __repr__(self) -> str:
        return f"<{(self._public or GreenSocket).__name__} for {self._original!r}>"


_stand_ins: dict[type[GreenSocket], type[GreenSocket]] = {GreenSocket: _StandIn}


def _stand_in_class(cls: type[GreenSocket]) -> type[GreenSocket]:
    """Return the class for instances of `cls` that stand for other sockets."""
    if issubclass(cls, _StandIn):
        return cls
    if cls not in _stand_ins:
        namespace = {"__slots__": (), "_public": cls, "__module__": cls.__module__}
        _stand_ins[cls] = type(cls.__name__, (cls, _StandIn), namespace)
    return _stand_ins[cls]


_StandIn._public = GreenSocket


def send_file(
    sock: Any,
    file: Any,
    offset: int,
    count: int | None,
    send: Callable[[int, int, int], int],
) -> int:
    """Send a file as ``socket.sendfile`` does, by the kernel; return how many bytes were sent.

    :param send: is called with the file's descriptor, an offset and a number of bytes; it sends
        some of them and returns how many. It waits as long as nothing can be sent.
    """
    sock._check_sendfile_params(file, offset, count)
    if not hasattr(os, "sendfile"):
        raise _GiveUpOnSendfile("no os.sendfile")
    try:
        source = file.fileno()
        size = os.fstat(source).st_size
    except (AttributeError, OSError, io.UnsupportedOperation) as error:
        raise _GiveUpOnSendfile(error) from error
    if sock.gettimeout() == 0:
        raise ValueError("non-blocking sockets are not supported")
    if not size:
        return 0
    sent = 0
    try:
        while count is None or sent < count:
            block = _SENDFILE_BLOCK if count is None else min(_SENDFILE_BLOCK, count - sent)
            try:
                done = send(source, offset + sent, block)
            except OSError as error:
                if sent == 0 and error.errno in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
                    raise _GiveUpOnSendfile(error) from error
                raise
            if done == 0:
                break
            sent += done
    finally:
        if sent and hasattr(file, "seek"):
            file.seek(offset + sent)
    return sent


def set_nonblocking(fd: Any) -> None:
    """Make a socket, or anything with ``fileno()``, non-blocking."""
    try:
        setblocking = fd.setblocking
    except AttributeError:
        fileno = fd.fileno()
        flags = fcntl.fcntl(fileno, fcntl.F_GETFL)
        if not flags & os.O_NONBLOCK:
            fcntl.fcntl(fileno, fcntl.F_SETFL, flags | os.O_NONBLOCK)
        set_fd_owner(fileno, id(fd))
    else:
        setblocking(False)


def socket_connect(descriptor: Any, address: Any) -> Any:
    """Try to connect a non-blocking socket; return it, or None if that takes time."""
    code = descriptor.connect_ex(address)
    if code in CONNECT_ERR:
        return None
    if code not in CONNECT_SUCCESS:
        raise OSError(code, os.strerror(code))
    return descriptor


def socket_checkerr(descriptor: Any) -> None:
    """Raise OSError if something has gone wrong with a socket since the last look."""
    code = descriptor.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
    if code not in CONNECT_SUCCESS:
        raise OSError(code, os.strerror(code))


def socket_accept(descriptor: Any) -> Any:
    """Try to take a connection from a non-blocking socket; return it with its address, or None."""
    try:
        return descriptor.accept()
    except BlockingIOError:
        return None


def shutdown_safe(sock: Any) -> None:
    """Shut down both directions of a socket of any kind; one without a peer is left alone."""
    try:
        try:
            sock.shutdown(_socket.SHUT_RDWR)
        except TypeError:
            # pyOpenSSL's takes no argument.
            sock.shutdown()
    except OSError as error:
        if error.errno not in (errno.ENOTCONN, errno.EBADF):
            raise


class _NoOpenSSL:
    """Stands in for the module ``OpenSSL.SSL`` where it is not installed."""

    class WantWriteError(Exception):
        """Never raised."""

    class WantReadError(Exception):
        """Never raised."""

    class ZeroReturnError(Exception):
        """Never raised."""

    class SysCallError(Exception):
        """Never raised."""


def find_openssl() -> Any:
    """Return the module ``OpenSSL.SSL``, or a class with its exceptions without it."""
    try:
        from OpenSSL import SSL  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return _NoOpenSSL
    return SSL


def _start() -> None:
    with _Socket(socket.AF_UNIX if hasattr(socket, "AF_UNIX") else socket.AF_INET) as probe:
        init_sockets(_socket.socket, GreenSocket, probe)


_start()
