"""The module ``OpenSSL.SSL`` with connections that let others run while they wait."""

from __future__ import annotations

import time as _time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL as _original

from eventlet import hubs as _hubs
from eventlet.greenio import GreenSocket as _GreenSocket

globals().update(
    {name: value for name, value in vars(_original).items() if not name.startswith("__")}
)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


__all__ = [*_original.__all__]

#: How much `sendall` gives to OpenSSL at once, in bytes: more than fits into a record.
_BLOCK = 1 << 16


class GreenConnection(_original.Connection):
    """A TLS connection over a green socket, or over buffers in memory if it has no socket.

    It obeys the timeout of its socket: an operation that takes longer raises TimeoutError, and with
    a timeout of zero none waits. One green thread may send while another one receives.

    :param context: an ``OpenSSL.SSL.Context``. Or a connection, whose place this one takes.
    :param socket: the socket; a blocking one is made green.
    """

    def __init__(self, context: Any, socket: Any = None) -> None:
        if isinstance(context, _original.Connection):
            vars(self).update(vars(context))
            self._reverse_mapping[self._ssl] = self
            if self._socket is not None:
                self._socket = _green(self._socket)
            return
        super().__init__(context, None if socket is None else _green(socket))

    @property
    def fd(self) -> Any:
        """What reads and writes: the connection itself."""
        return self

    def accept(self) -> tuple[GreenConnection, Any]:
        """Accept a connection; return it and the address of the other side."""
        accepted, address = self._sock.accept()
        made = type(self)(self._context, accepted)
        made.set_accept_state()
        return made, address

    def do_handshake(self) -> None:
        """As ``OpenSSL.SSL.Connection.do_handshake``."""
        self._retry(super().do_handshake)

    def recv(self, bufsiz: int, flags: int | None = None) -> bytes:
        """As ``OpenSSL.SSL.Connection.recv``; empty if the other side went without a word."""
        try:
            received: bytes = self._retry(super().recv, bufsiz, flags)
        except _original.Error as error:
            if not _is_gone(error):
                raise
            return b""
        return received

    read = recv

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int | None = None) -> int:
        """As ``OpenSSL.SSL.Connection.recv_into``; 0 if the other side went without a word."""
        try:
            received: int = self._retry(super().recv_into, buffer, nbytes, flags)
        except _original.Error as error:
            if not _is_gone(error):
                raise
            return 0
        return received

    def send(self, buf: Any, flags: int = 0) -> int:
        """As ``OpenSSL.SSL.Connection.send``."""
        if not buf:
            # What OpenSSL does with nothing is undefined.
            return 0
        sent: int = self._retry(super().send, buf, flags)
        return sent

    write = send

    def sendall(self, buf: Any, flags: int = 0) -> int:
        """As ``OpenSSL.SSL.Connection.sendall``: return how many bytes there were."""
        with memoryview(buf) as view, view.cast("B") as data:
            sent = 0
            while sent < len(data):
                sent += self.send(data[sent : sent + _BLOCK], flags)
            return sent

    def shutdown(self) -> bool:
        """As ``OpenSSL.SSL.Connection.shutdown``."""
        done: bool = self._retry(super().shutdown)
        return done

    def dup(self) -> Any:
        """Not possible.

        :raises NotImplementedError: always.
        """
        raise NotImplementedError("A TLS connection cannot be duplicated")

    @property
    def _sock(self) -> Any:
        return self._socket

    def _retry(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function until OpenSSL need not wait for the socket."""
        timeout = None if self._socket is None else self._sock.gettimeout()
        if self._socket is None or timeout == 0:
            return function(*args)
        deadline = None if timeout is None else _time.monotonic() + timeout
        while True:
            try:
                return function(*args)
            except _original.WantReadError:
                write = False
            except _original.WantWriteError:
                write = True
            if deadline is not None:
                timeout = max(0, deadline - _time.monotonic())
            _hubs.trampoline(
                self._sock.fileno(),
                read=not write,
                write=write,
                timeout=timeout,
                timeout_exc=TimeoutError("timed out"),
            )


def _green(socket: Any) -> Any:
    return socket if isinstance(socket, _GreenSocket) else _GreenSocket(socket)


def _is_gone(error: Any) -> bool:
    """Tell whether an error means that the other side has gone."""
    if isinstance(error, _original.SysCallError):
        return bool(error.args) and (error.args[0] == -1 or error.args[0] > 0)
    # An error without a reason: it has been given before.
    return type(error) is _original.Error and error.args == ([],)


Connection = ConnectionType = GreenConnection
