"""A Python prompt inside of a running program, for whoever connects to a socket.

    eventlet.spawn(backdoor.backdoor_server, eventlet.listen(("127.0.0.1", 3000)))

and then ``telnet localhost 3000``. Whoever can connect can do anything that the program can: let it
listen on the loopback interface, or on a Unix socket in a folder of one's own.

Each client has a standard input, output and error stream of its own. While there are clients,
`sys.stdin`, `sys.stdout`, `sys.stderr` and `sys.displayhook` are stand-ins that look up, in a
context variable, whose they are to be: the client's in its green thread and in those it spawns, and
the program's everywhere else.
"""

from __future__ import annotations

import builtins
import contextlib
import contextvars
import errno
import socket
import sys
from code import InteractiveConsole
from collections.abc import Iterable
from typing import Any

import greenlet

import eventlet
from eventlet.hubs import get_hub
from eventlet.support import get_errno

__all__ = ["FileProxy", "SocketConsole", "backdoor", "backdoor_server"]

#: What a socket says whose other side has gone.
_GONE = frozenset(
    {errno.EPIPE, errno.ECONNRESET, errno.ECONNABORTED, errno.ENOTCONN, errno.ETIMEDOUT}
)
#: What `accept` says when it may work again later.
_BUSY = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
#: Seconds after which it is tried again then.
_PAUSE = 0.1


def backdoor_server(sock: Any, locals: dict[str, Any] | None = None) -> None:
    """Serve a prompt to everybody who connects to the listening socket `sock`, until killed.

    :param locals: the names that are known at the prompts, and which they may change: one
        dictionary for all of them. None gives each its own.
    """
    where = _address(sock.family, sock.getsockname()) or sock.getsockname()
    print(f"backdoor server listening on {where}")
    try:
        while True:
            try:
                conn, address = sock.accept()
            except OSError as error:
                if get_errno(error) in _BUSY:
                    eventlet.sleep(_PAUSE)
                elif get_errno(error) not in _GONE:
                    raise
                continue
            try:
                backdoor((conn, address), locals)
            except OSError as error:
                if get_errno(error) not in _GONE:
                    raise
            finally:
                # The console has its own hold on it.
                conn.close()
    finally:
        sock.close()


def backdoor(conn_info: tuple[Any, Any], locals: dict[str, Any] | None = None) -> None:
    """Give the client of one connection a prompt, in a green thread of its own; return at once.

    :param conn_info: the connection and the client's address, as `accept` returns them. The
        connection may be closed then: it ends when the client has finished as well.
    :param locals: the names that are known at the prompt, and which it may change.
    """
    conn, address = conn_info
    name = _address(conn.family, address)
    print(f"backdoor to {name}" if name else "backdoor opened")
    console = SocketConsole(_Duplex(conn), address, locals)
    get_hub().schedule_call_global(0, console.switch)


def _address(family: int, address: Any) -> str:
    """Return an Internet address as text, nothing for another."""
    if family in (socket.AF_INET, socket.AF_INET6):
        return f"{address[0]}:{address[1]}"
    return ""


class _Duplex:
    """A text file that is read and written: two, as one forgets what it has read ahead when it is
    written to."""

    def __init__(self, conn: Any) -> None:
        self._reader = conn.makefile("r", encoding="utf-8", errors="backslashreplace")
        self._writer = conn.makefile("w", encoding="utf-8", errors="backslashreplace")

    def write(self, data: str) -> Any:
        return self._writer.write(data)

    def writelines(self, lines: Iterable[str]) -> Any:
        return self._writer.writelines(lines)

    def flush(self) -> None:
        self._writer.flush()

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        try:
            self._reader.close()
        finally:
            self._writer.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


class FileProxy:
    """Stands for a client's file: is a terminal, and does not mind if nobody is there."""

    def __init__(self, f: Any) -> None:
        self.f = f

    def isatty(self) -> bool:
        """Return True: at the other end there is a person."""
        return True

    def flush(self) -> None:
        """Do nothing: `write` leaves nothing behind."""

    def write(self, data: str, *a: Any, **kw: Any) -> None:
        """Send `data`; if the client has gone, nothing happens."""
        try:
            self.f.write(data, *a, **kw)
            self.f.flush()
        except OSError as error:
            if get_errno(error) not in _GONE:
                raise
        except ValueError:
            # Closed, by `exit()` or by the end of the console.
            if not self.f.closed:
                raise

    def readline(self, *a: Any) -> str:
        """Return the next line that the client has sent; '' if it has gone."""
        try:
            line: str = self.f.readline(*a)
        except OSError as error:
            if get_errno(error) not in _GONE:
                raise
            return ""
        except ValueError:
            if not self.f.closed:
                raise
            return ""
        return line.replace("\r\n", "\n")

    def __iter__(self) -> Any:
        return iter(self.readline, "")

    def __getattr__(self, attr: str) -> Any:
        return getattr(self.f, attr)


class SocketConsole(greenlet.greenlet):
    """The green thread behind one prompt.

    :param desc: the client's file.
    :param hostport: its address.
    :param locals: the names that are known at the prompt.
    """

    def __init__(self, desc: Any, hostport: Any, locals: dict[str, Any] | None) -> None:
        super().__init__(parent=get_hub().greenlet)
        self.hostport = hostport
        self.locals = locals
        self.desc: FileProxy | None = FileProxy(desc)
        # A context of its own, in which it is the console.
        self.gr_context = contextvars.copy_context()

    def run(self, *_args: Any) -> None:
        """Ask for statements and run them, until the client leaves."""
        assert self.desc is not None
        console = _InteractiveConsole(self.desc, self.locals)
        _current.set(console)
        _streams.install(console)
        try:
            console.interact(exitmsg="")
        except SystemExit:
            # exit() at the prompt is meant for the prompt.
            pass
        finally:
            _streams.remove(console)
            _current.set(None)
            self.finalize()

    def finalize(self) -> None:
        """Close the client's file and say that it has left."""
        desc, self.desc = self.desc, None
        if desc is not None:
            with contextlib.suppress(OSError, ValueError):
                desc.f.close()
        is_pair = isinstance(self.hostport, tuple) and len(self.hostport) >= 2
        print(
            f"backdoor closed to {self.hostport[0]}:{self.hostport[1]}"
            if is_pair
            else "backdoor closed"
        )


class _InteractiveConsole(InteractiveConsole):
    """A prompt on a client's file."""

    def __init__(self, stream: FileProxy, locals: dict[str, Any] | None) -> None:
        super().__init__(locals)
        self.stream = stream

    def raw_input(self, prompt: str = "") -> str:
        self.write(prompt)
        line = self.stream.readline()
        if not line:
            raise EOFError
        return line.removesuffix("\n")

    def write(self, data: str) -> None:
        self.stream.write(data)

    def display(self, value: Any) -> None:
        """Show the value of an expression, which is called ``_`` from then on at this prompt."""
        if value is not None:
            self.locals["_"] = None
            self.write(f"{value!r}\n")
            self.locals["_"] = value


#: The prompt that the running green thread belongs to.
_current: contextvars.ContextVar[_InteractiveConsole | None] = contextvars.ContextVar(
    "eventlet_backdoor_console", default=None
)


class _Stream:
    """In the place of one of the standard streams: the client's in its green threads."""

    def __init__(self, original: Any) -> None:
        self._original = original

    def _stream(self) -> Any:
        console = _current.get()
        return self._original if console is None else console.stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream(), name)

    def __iter__(self) -> Any:
        return iter(self._stream())

    def __next__(self) -> Any:
        return next(self._stream())


class _Streams:
    """Puts the stand-ins into `sys` while there are consoles."""

    NAMES = ("stdin", "stdout", "stderr")

    def __init__(self) -> None:
        self.consoles: set[_InteractiveConsole] = set()
        self.placed: dict[str, Any] = {}
        self.displayhook: Any = None

    def install(self, console: _InteractiveConsole) -> None:
        """Begin with the first console; for each, see what somebody may have put there since."""
        for prompt, text in (("ps1", ">>> "), ("ps2", "... ")):
            if not hasattr(sys, prompt):
                # Python's own console takes those away at its end that it has made.
                setattr(sys, prompt, text)
        self.consoles.add(console)
        for name in self.NAMES:
            present = getattr(sys, name)
            if not isinstance(present, _Stream):
                self.placed[name] = _Stream(present)
                setattr(sys, name, self.placed[name])
        if sys.displayhook is not _display:
            self.displayhook = sys.displayhook
            sys.displayhook = _display

    def remove(self, console: _InteractiveConsole) -> None:
        """End with the last console. What somebody else has put there stays."""
        self.consoles.discard(console)
        if self.consoles:
            return
        for name, placed in self.placed.items():
            if getattr(sys, name) is placed:
                setattr(sys, name, placed._original)
        self.placed.clear()
        if sys.displayhook is _display:
            sys.displayhook = self.displayhook


_streams = _Streams()


def _display(value: Any) -> None:
    console = _current.get()
    if console is not None:
        console.display(value)
    elif _streams.displayhook is not None:
        _streams.displayhook(value)
    elif value is not None:
        builtins.print(repr(value))


if __name__ == "__main__":
    backdoor_server(eventlet.listen(("127.0.0.1", 9000)), {})
