"""A TCP chat server: every line goes to all other participants.

    python examples/chat.py
    nc 127.0.0.1 3000

Two green threads a participant: one reads its lines, one writes what the others said. Between them
is an outbox of limited length, so that a participant whose line is slow delays nobody: the readers
never wait for a socket that is not theirs. Who falls too far behind is dropped.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import sys
from collections.abc import Iterator
from typing import Any

import eventlet
from eventlet.event import Event
from eventlet.greenio import shutdown_safe

LINE_LIMIT = 4096  # bytes; a longer line ends the connection
OUTBOX_LIMIT = 1000  # messages a participant may be behind before it is dropped


class Participant:
    """One connection: its socket, and the messages that wait to be written to it."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.outbox: list[bytes] = []
        self.idle_writer: Event | None = None

    def messages(self) -> Iterator[bytes]:
        """Yield what this participant says, one or more whole lines at a time, until it leaves."""
        rest = b""
        while data := self.sock.recv(LINE_LIMIT):
            lines, newline, rest = (rest + data).rpartition(b"\n")
            if newline:
                yield lines + newline
            if len(rest) > LINE_LIMIT:
                return

    def tell(self, message: bytes) -> None:
        """Have a message written. This never waits."""
        if len(self.outbox) == OUTBOX_LIMIT:
            self.drop()
            return
        self.outbox.append(message)
        if self.idle_writer is not None:
            self.idle_writer.send()
            self.idle_writer = None

    def write_outbox(self) -> None:
        """Send what is in the outbox, for as long as the connection lasts."""
        try:
            while True:
                if not self.outbox:
                    self.idle_writer = Event()
                    self.idle_writer.wait()
                messages, self.outbox = self.outbox, []
                self.write(messages)
        except OSError:
            pass  # It is gone; the one who reads from it sees that, too.

    def write(self, messages: list[bytes]) -> None:
        """Send what has come meanwhile: all of it in one system call."""
        self.sock.sendall(b"".join(messages))

    def drop(self) -> None:
        """End the connection: `messages` sees its end, `write_outbox` gets an error."""
        shutdown_safe(self.sock)


class Chat:
    """A room and those who are in it."""

    def __init__(self) -> None:
        self.participants: set[Participant] = set()

    def join(self, sock: Any, address: Any) -> None:
        """Take part on behalf of one connection, until it ends."""
        # A line is worth a packet of its own: do not hold it back to join it to the next one.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        me = Participant(sock)
        writer = eventlet.spawn(me.write_outbox)
        self.participants.add(me)
        try:
            for message in me.messages():
                self.tell_others(me, message)
                # One who talks without a pause has always something to read, and so would never
                # wait: let the writers have their turn.
                eventlet.sleep(0)
        except OSError:
            pass  # It vanished without a word.
        finally:
            self.participants.discard(me)
            writer.kill()

    def tell_others(self, sender: Participant, message: bytes) -> None:
        """Have a message written to all other participants."""
        for other in tuple(self.participants):
            if other is not sender:
                other.tell(message)

    def serve(self, listener: Any, most: int = 100_000) -> None:
        """Accept participants, at most `most` at a time, for ever."""
        eventlet.serve(listener, self.join, concurrency=most)


def allow_many_files() -> int:
    """Raise the limit of open files as far as the system lets us, and say how far that is.

    A connection is an open file, and the usual limit of 1024 is soft: meant to be raised.
    """
    try:
        import resource
    except ImportError:  # Not on this system.
        return 1024
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems claim to have no limit, and then refuse to set that.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 1_000_000


def main() -> None:
    """Run a chat on `--bind` until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bind", default="127.0.0.1:3000", metavar="HOST:PORT")
    host, _, port = parser.parse_args().bind.rpartition(":")

    # Some files are not connections: the listener, the hub's own, standard input and output.
    most = allow_many_files() - 32
    listener = eventlet.listen((host, int(port)), backlog=4096)
    print("chat listening on {}:{}".format(*listener.getsockname()), flush=True)
    print(f"room for {most} participants", file=sys.stderr)
    try:
        Chat().serve(listener, most)
    except KeyboardInterrupt:
        print("bye")


if __name__ == "__main__":
    main()
