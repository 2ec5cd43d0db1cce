"""Making sockets green that are of the standard library's own classes.

A program that is patched late has sockets that were made before, names that were imported with
``from socket import socket``, classes that derive from the original one. All of them get their
methods from ``socket.socket`` and ``ssl.SSLSocket``, so that is where these functions are put. They
call the methods that were there, and do the waiting themselves.

The sockets stay what they are: their descriptors block, and their timeouts are CPython's. In an OS
thread that has no hub they work as they always did.
"""

from __future__ import annotations

import _socket
import errno
import os
import socket as _module
import time
from collections.abc import Callable
from typing import Any

from eventlet._core import call_early, can_wait, notify_closing, resolved, sleep
from eventlet.greenio.base import CONNECT_ERR, send_file

__all__ = ["replacements", "waiting"]

_Base: Any = _socket.socket
_Socket: Any = _module.socket

#: Those that may wait: whether it is to write, and the place of the flags among the arguments.
_WAITING = {
    "_accept": (False, 0),
    "recv": (False, 1),
    "recv_into": (False, 2),
    "recvfrom": (False, 1),
    "recvfrom_into": (False, 2),
    "recvmsg": (False, 2),
    "recvmsg_into": (False, 2),
    "send": (True, 1),
}
_DONTWAIT: int = getattr(_socket, "MSG_DONTWAIT", 0)
#: How long to wait until a local socket may have room for another connection, in seconds.
_PAUSE = 0.005


def waiting(original: Callable[..., Any], *, write: bool, flags: int = 99) -> Callable[..., Any]:
    """Return a method that calls `original`, and lets other green threads run while it waits.

    :param write: what it means if `original` raises BlockingIOError: that the socket cannot be
        written to, or that it cannot be read from.
    :param flags: the place of the flags among its arguments; with MSG_DONTWAIT it does not wait.
    """

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if len(args) > flags and args[flags] & _DONTWAIT:
            return original(self, *args, **kwargs)
        return call_early(self, write, self.gettimeout(), original, self, *args, **kwargs)

    return _named(method, original)


def _named(method: Callable[..., Any], original: Any) -> Callable[..., Any]:
    method.__name__ = original.__name__
    method.__qualname__ = f"socket.{original.__name__}"
    method.__doc__ = original.__doc__
    return method


def replacements() -> list[tuple[Any, str, Any]]:
    """Return what to put where: triples of a class, the name of an attribute and its value."""
    methods: dict[str, Any] = {
        name: waiting(getattr(_Base, name), write=write, flags=flags)
        for name, (write, flags) in _WAITING.items()
        if hasattr(_Base, name)
    }
    own = [_real_close, _sendfile_use_sendfile, connect, connect_ex, detach, sendall, sendto]
    if hasattr(_Base, "sendmsg"):
        own.append(sendmsg)
    methods.update({function.__name__: function for function in own})
    return [(_Socket, name, method) for name, method in methods.items()]


# What follows are methods: `self` is a socket. They have the names of those that they replace.


def connect(self: Any, address: Any) -> None:
    """Connect to an address; raise OSError if that fails, TimeoutError if it takes too long."""
    code = _connect(self, address)
    if code:
        raise OSError(code, os.strerror(code))


def connect_ex(self: Any, address: Any) -> int:
    """As `connect`, but return 0 or the errno where that would raise OSError."""
    try:
        return _connect(self, address)
    except TimeoutError:
        return errno.EAGAIN


def _connect(self: Any, address: Any) -> int:
    timeout = self.gettimeout()
    if timeout == 0 or not can_wait():
        code: int = _Base.connect_ex(self, address)
        return code
    deadline = None if timeout is None else time.monotonic() + timeout
    address = resolved(self, address)
    while True:
        code = _try_to_connect(self, address, timeout)
        if code in CONNECT_ERR and code != errno.EAGAIN:
            return int(call_early(self, True, _left(deadline), _outcome, self))
        if code != errno.EAGAIN:
            return 0 if code == errno.EISCONN else code
        # A local socket whose queue is full: there is no event for it.
        left = _left(deadline)
        if left == 0:
            raise TimeoutError("timed out")
        sleep(_PAUSE if left is None else min(left, _PAUSE))


def _try_to_connect(self: Any, address: Any, timeout: float | None) -> int:
    _Base.settimeout(self, 0.0)
    try:
        code: int = _Base.connect_ex(self, address)
    finally:
        _Base.settimeout(self, timeout)
    return code


def _outcome(self: Any) -> int:
    """Return 0 or the errno of a connection; raise BlockingIOError while it is being made."""
    code: int = self.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
    if code:
        return code
    try:
        self.getpeername()
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            raise BlockingIOError(errno.EINPROGRESS, os.strerror(errno.EINPROGRESS)) from None
        return error.errno or errno.EIO
    return 0


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def sendall(self: Any, data: Any, flags: int = 0) -> None:
    """Send all of `data`. The timeout is for the whole of it."""
    timeout = self.gettimeout()
    if timeout == 0 or not can_wait():
        _Base.sendall(self, data, flags)
        return
    deadline = None if timeout is None else time.monotonic() + timeout
    with memoryview(data) as view, view.cast("B") as octets:
        sent = 0
        while sent < len(octets):
            left = _left(deadline)
            if left == 0:
                raise TimeoutError("timed out")
            sent += call_early(self, True, left, _Base.send, self, octets[sent:], flags)


def sendto(self: Any, data: Any, *args: Any) -> int:
    """``sendto(data, address)`` or ``sendto(data, flags, address)``: send a message."""
    if len(args) > 1 and args[0] & _DONTWAIT:
        return int(_Base.sendto(self, data, *args))
    if args and can_wait():
        args = (*args[:-1], resolved(self, args[-1]))
    sent: int = call_early(self, True, self.gettimeout(), _Base.sendto, self, data, *args)
    return sent


def sendmsg(self: Any, buffers: Any, ancdata: Any = (), flags: int = 0, address: Any = None) -> int:
    """Send data and ancillary data; see ``socket.sendmsg``."""
    if flags & _DONTWAIT:
        return int(_Base.sendmsg(self, buffers, ancdata, flags, address))
    if address is not None and can_wait():
        address = resolved(self, address)
    timeout = self.gettimeout()
    sent: int = call_early(
        self, True, timeout, _Base.sendmsg, self, buffers, ancdata, flags, address
    )
    return sent


_original_sendfile: Any = _Socket._sendfile_use_sendfile


def _sendfile_use_sendfile(self: Any, file: Any, offset: int = 0, count: int | None = None) -> int:
    timeout = self.gettimeout()
    if not can_wait():
        done: int = _original_sendfile(self, file, offset, count)
        return done

    def send(source: int, offset: int, size: int) -> int:
        sent: int = call_early(
            self, True, timeout, os.sendfile, self.fileno(), source, offset, size
        )
        return sent

    return send_file(self, file, offset, count, send)


_original_detach: Any = _Socket.detach


def detach(self: Any) -> int:
    """Give up the descriptor without closing it, and return its number.

    Green threads that wait for it get `IOClosed`.
    """
    notify_closing(self.fileno())
    return int(_original_detach(self))


def _real_close(
    self: Any, _ss: Any = _Base, _notify: Callable[[int], None] = notify_closing
) -> None:
    # The defaults are for the end of the interpreter, when globals are gone.
    _notify(self.fileno())
    _ss.close(self)
