"""Many chat clients in one process, on a plain epoll or kqueue loop: no green threads.

Run as a program it connects `--clients` clients to the chat at `--port`, waits until all of them
take part, lets `--talkers` of them say a line each, and checks that each line reached each of the
others, once and whole. It prints one JSON object with what it saw. Exit status 0 says that every
line arrived.

It is the other side of the tests of `examples/chat.py`, so it shares no code with it or with the
package.
"""

from __future__ import annotations

import argparse
import errno
import json
import selectors
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

# How many connections are under way at once: fewer than a listen queue usually holds.
CONNECTING = 500

# Bytes that no client can be owed: a server that loses its way must not fill the memory.
FLOOD = 4 << 20


@dataclass
class Client:
    """One connection and what arrived on it."""

    sock: socket.socket
    number: int
    connected: bool = False
    received: bytearray = field(default_factory=bytearray)


class Crowd:
    """The clients, and the loop that serves them all."""

    def __init__(self, address: tuple[str, int], deadline: float) -> None:
        self.address = address
        self.deadline = deadline
        self.selector = selectors.DefaultSelector()
        self.clients: list[Client] = []
        # One for all: a new one for each read, however little is read, would leave the heap full of
        # holes.
        self.buffer = memoryview(bytearray(64 * 1024))

    def connect(self, count: int) -> None:
        """Connect `count` clients, some hundred at a time."""
        for number in range(count):
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.setblocking(False)
            client = Client(sock, number)
            self.clients.append(client)
            status = sock.connect_ex(self.address)
            if status not in (0, errno.EINPROGRESS):
                raise OSError(status, f"client {number}: {errno.errorcode.get(status, status)}")
            self.selector.register(sock, selectors.EVENT_WRITE, client)
            first = max(0, number - CONNECTING)
            self.turn_until(lambda first=first: self.clients[first].connected, "connecting")
        self.turn_until(lambda: all(client.connected for client in self.clients), "connecting")

    def say(self, number: int, line: bytes) -> None:
        """Send a line. It is short and the socket idle, so it fits into the socket's buffer."""
        if self.clients[number].sock.send(line) != len(line):
            raise OSError(f"client {number}: a line of {len(line)} bytes did not fit")

    def wait_for(self, sizes: list[int], what: str) -> None:
        """Go on until each client has received its number of bytes."""
        missing = {client.number for client in self.clients if self.lacks(client, sizes)}

        def complete() -> bool:
            while missing:
                number = next(iter(missing))
                if self.lacks(self.clients[number], sizes):
                    return False
                missing.discard(number)
            return True

        self.turn_until(complete, what)

    @staticmethod
    def lacks(client: Client, sizes: list[int]) -> bool:
        """Whether a client has received less than it shall."""
        return len(client.received) < sizes[client.number]

    def turn_until(self, done: Callable[[], bool], what: str) -> None:
        """Handle events until `done`; TimeoutError past the deadline."""
        while not done():
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"out of time while {what}")
            for key, events in self.selector.select(left):
                client: Client = key.data
                if events & selectors.EVENT_WRITE:
                    self.on_connected(client)
                else:
                    self.on_readable(client)

    def on_connected(self, client: Client) -> None:
        """A connection stands, or failed."""
        status = client.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if status:
            raise OSError(status, f"client {client.number}: {errno.errorcode.get(status, status)}")
        client.connected = True
        self.selector.modify(client.sock, selectors.EVENT_READ, client)

    def on_readable(self, client: Client) -> None:
        """Take what arrived; a connection that ends, ends the test."""
        size = client.sock.recv_into(self.buffer)
        if not size:
            raise OSError(f"client {client.number}: the server closed the connection")
        client.received += self.buffer[:size]
        if len(client.received) > FLOOD:
            raise OSError(f"client {client.number}: the server sends without end")

    def close(self) -> None:
        """Close all connections."""
        for client in self.clients:
            client.sock.close()
        self.selector.close()


def gather(crowd: Crowd) -> None:
    """Wait until every client takes part.

    A connection stands before the server has accepted it, and what is said in between reaches only
    those already in. So somebody calls until everybody has heard one of the calls.
    """
    caller = crowd.clients[0]
    heard = [1] * len(crowd.clients)
    heard[caller.number] = 0
    end = crowd.deadline
    while True:
        crowd.say(caller.number, b"call\n")
        crowd.deadline = min(end, time.monotonic() + 0.25)
        try:
            crowd.wait_for(heard, "gathering")
            break
        except TimeoutError:
            if time.monotonic() >= end:
                raise
        finally:
            crowd.deadline = end
    # Calls may still be on their way: a last word of the same caller comes after all of them.
    crowd.say(caller.number, b"end\n")

    def ended() -> bool:
        others = (client for client in crowd.clients if client is not caller)
        return all(client.received.endswith(b"end\n") for client in others)

    crowd.turn_until(ended, "gathering")
    for client in crowd.clients:
        client.received.clear()


def converse(crowd: Crowd, talkers: int) -> int:
    """Let the first `talkers` speak and check who heard what; the number of lines delivered."""
    lines = [b"line %06d from %06d %s\n" % (n, n, b"x" * (n % 50)) for n in range(talkers)]
    total = sum(map(len, lines))
    sizes = [
        total - (len(lines[client.number]) if client.number < talkers else 0)
        for client in crowd.clients
    ]
    for number, line in enumerate(lines):
        crowd.say(number, line)
    crowd.wait_for(sizes, "listening")
    expected = sorted(lines)
    for client in crowd.clients:
        mine = expected if client.number >= talkers else sorted({*lines} - {lines[client.number]})
        if sorted(client.received.splitlines(keepends=True)) != mine:
            raise OSError(f"client {client.number}: lines are missing, doubled or torn")
    return sum(len(lines) - (client.number < talkers) for client in crowd.clients)


def allow_many_files() -> None:
    """Raise the soft limit of open files to the hard one."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> int:
    """Run a crowd as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--talkers", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60, help="time limit for all of it")
    args = parser.parse_args()

    allow_many_files()
    start = time.monotonic()
    crowd = Crowd(("127.0.0.1", args.port), start + args.seconds)
    report: dict[str, object] = {"clients": args.clients, "ok": False}
    try:
        crowd.connect(args.clients)
        connected = time.monotonic()
        gather(crowd)
        gathered = time.monotonic()
        delivered = converse(crowd, min(args.talkers, args.clients))
        done = time.monotonic()
        report.update(
            ok=True,
            delivered=delivered,
            connect_seconds=round(connected - start, 3),
            gather_seconds=round(gathered - connected, 3),
            talk_seconds=round(done - gathered, 3),
        )
        print(json.dumps(report), flush=True)
        # Whoever started us may look at the server while everybody is still in: until they close
        # our standard input.
        sys.stdin.read()
    except OSError as error:
        # TimeoutError is one of these.
        print(json.dumps({**report, "error": str(error)}), flush=True)
    finally:
        crowd.close()
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
