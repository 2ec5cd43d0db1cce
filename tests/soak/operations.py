"""What the soak does: each operation takes a source of randomness, does one thing and checks it.

An operation draws all it needs from its own `Random`, made from the seed, the worker and the
operation's number; so the sequence of operations is the same in each run of a seed, however the
green threads happen to interleave. An operation that finds something wrong raises; it always leaves
nothing behind.
"""

from __future__ import annotations

import contextlib
import importlib.util
import socket
import struct
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from http_client import BadResponse, Connection
from servers import Servers, pattern, streamed

import eventlet
from eventlet import Timeout
from eventlet.event import Event

GreenletExit = eventlet.greenlet.GreenletExit

# What makes close() reset a connection instead of ending it.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)

_HEAD = b"POST /echo HTTP/1.1\r\nHost: x\r\n"

# Requests that are none; an empty one stands for random bytes.
GARBAGE = [
    b"",
    b"\r\n\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nno colon here\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
    b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"x" * 20_000),
    b"GET / HTTP/1.1\r\nX: %b\r\n\r\n" % (b"x" * 100_000),
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
    _HEAD + b"Content-Length: -1\r\n\r\n",
    _HEAD + b"Content-Length: 1e3\r\n\r\n",
    _HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    _HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
    _HEAD + b"Content-Length: 99999\r\n\r\nhello",
    _HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    _HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello, world\r\n0\r\n\r\n",
    _HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
]


class Wrong(AssertionError):
    """Something is not as it must be."""


def check(true: bool, what: str) -> None:
    """Raise `Wrong` unless `true`: `assert` would vanish under -O."""
    if not true:
        raise Wrong(what)


class Operations:
    """The operations on a pair of servers, and how much they did."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.requests = 0
        self.messages = 0

    def table(self) -> list[tuple[int, Callable[[Random], None]]]:
        """(weight, operation) of each operation."""
        table = [
            (30, self.keep_alive),
            (20, self.pipeline),
            (6, self.upload_in_chunks),
            (4, self.slow_writer),
            (5, self.abort_request),
            (5, self.abort_response),
            (4, self.garbage),
            (4, self.idle_connection),
            (10, self.echo),
            (4, self.killed_session),
            (6, self.timed_out_session),
            (6, self.spawn_and_wait),
            (5, self.spawn_and_kill),
            (4, self.spawn_later),
            (6, self.timeouts),
            (4, self.events),
            (3, self.nested),
        ]
        # Where the package has them.
        for weight, operation, module in (
            (4, self.queue, "eventlet.queue"),
            (3, self.semaphore, "eventlet.semaphore"),
            (3, self.pool, "eventlet.greenpool"),
        ):
            if importlib.util.find_spec(module) is not None:
                table.append((weight, operation))
        return table

    # HTTP

    def keep_alive(self, random: Random) -> None:
        """One request after the other on one connection."""
        plans = [self._plan(random) for _ in range(random.randint(1, 40))]
        with self._web() as connection:
            for request, verify in plans:
                connection.send(request)
                if self._verified(connection, verify):
                    return

    def pipeline(self, random: Random) -> None:
        """Many requests at once, then their responses, in order."""
        plans = [self._plan(random, failing=False) for _ in range(random.randint(2, 50))]
        cuts = sorted(random.random() for _ in range(random.randint(0, 3)))
        data = b"".join(request for request, _ in plans)
        with self._web() as connection:
            # In pieces that end anywhere.
            start = 0
            for cut in [*cuts, 1.0]:
                end = int(cut * len(data))
                connection.send(data[start:end])
                start = end
                if cut < 1:
                    eventlet.sleep(0)
            for _, verify in plans:
                check(not self._verified(connection, verify), "closed in the middle of a pipeline")

    def upload_in_chunks(self, random: Random) -> None:
        """A request body in chunks of random sizes."""
        body = pattern(random.randint(0, 20_000))
        parts = [b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"]
        start = 0
        while start < len(body):
            piece = body[start : start + random.randint(1, 5000)]
            parts.append(b"%x\r\n%b\r\n" % (len(piece), piece))
            start += len(piece)
        parts.append(b"0\r\n\r\n")
        pauses = [random.random() < 0.3 for _ in parts]
        with self._web() as connection:
            for part, pause in zip(parts, pauses, strict=True):
                connection.send(part)
                if pause:
                    eventlet.sleep(0)
            self._verified(connection, _answers(200, body))

    def slow_writer(self, random: Random) -> None:
        """A request that arrives in pieces, with time in between."""
        request, verify = self._plan(random)
        step = max(1, len(request) // random.randint(2, 6))
        with self._web() as connection:
            for start in range(0, len(request), step):
                connection.send(request[start : start + step])
                eventlet.sleep(0.001)
            self._verified(connection, verify)

    def abort_request(self, random: Random) -> None:
        """Go away in the middle of a request."""
        request = _post(pattern(random.randint(100, 50_000)))
        cut = random.randrange(1, len(request))
        hard = random.random() < 0.5
        pause = random.random() < 0.5
        with self._web() as connection:
            connection.send(request[:cut])
            if pause:
                eventlet.sleep(0.001)
            if hard:
                connection.reset()

    def abort_response(self, random: Random) -> None:
        """Go away before a response has been read."""
        route = random.choice([b"/big?n=300000", b"/stream?n=200", b"/slow?n=5", b"/hello"])
        times = random.randint(1, 5)
        hard = random.random() < 0.5
        pause = random.uniform(0, 0.003)
        with self._web() as connection:
            connection.send(_get(route) * times)
            eventlet.sleep(pause)
            if hard:
                connection.reset()

    def garbage(self, random: Random) -> None:
        """What is not HTTP: the server must end the connection, and nothing else."""
        data = random.choice(GARBAGE)
        if not data:
            data = random.randbytes(random.randint(1, 3000))
        with self._web() as connection:
            # The server may end the connection while we are still talking.
            with contextlib.suppress(OSError):
                connection.send(data)
                connection.finish()
            answer = connection.drain()
            check(not answer or answer.startswith(b"HTTP/1."), f"{data[:60]!r}: {answer[:60]!r}")
            self.requests += 1

    def idle_connection(self, random: Random) -> None:
        """Connections that do nothing, or nothing more."""
        used = [random.random() < 0.5 for _ in range(random.randint(1, 10))]
        pause = random.uniform(0, 0.005)
        with contextlib.ExitStack() as stack:
            for use in used:
                connection = stack.enter_context(self._web())
                if use:
                    connection.send(_get(b"/hello"))
                    self._verified(connection, _answers(200, b"hello\n"))
            eventlet.sleep(pause)

    def _web(self) -> Connection:
        return Connection(self.servers.web_address)

    def _plan(
        self, random: Random, failing: bool = True
    ) -> tuple[bytes, Callable[[int, bytes], None]]:
        """A request, and what verifies its response."""
        kind = random.random()
        if kind < 0.6:
            return _get(b"/hello"), _answers(200, b"hello\n")
        if kind < 0.8:
            body = pattern(random.choice([0, 1, 100, 5000, 70_000]))
            return _post(body), _answers(200, body)
        if kind < 0.9:
            size = random.choice([0, 1, 1000, 40_000])
            return _get(b"/big?n=%d" % size), _answers(200, pattern(size))
        if kind < 0.95:
            number = random.randint(0, 30)
            return _get(b"/stream?n=%d" % number), _answers(200, streamed(number))
        if kind < 0.98 or not failing:
            return _get(b"/slow?n=%d" % random.randint(0, 10)), _answers(200, b"hello\n")
        return _get(b"/fail"), _answers(500, None)

    def _verified(self, connection: Connection, verify: Callable[[int, bytes], None]) -> bool:
        """Read and verify a response; whether the server ends the connection with it."""
        response = connection.response()
        verify(response.status, response.body)
        self.requests += 1
        return response.closes

    # TCP

    def echo(self, random: Random) -> None:
        """Messages of all sizes, there and back."""
        sizes = [random.choice([1, 10, 1000, 30_000]) for _ in range(random.randint(1, 20))]
        hard = random.random() < 0.3
        sock = eventlet.connect(self.servers.echo_address)
        with contextlib.closing(sock):
            for size in sizes:
                sock.sendall(pattern(size))
                data = b""
                while len(data) < size:
                    some = sock.recv(64 * 1024)
                    check(some != b"", "the echo ended early")
                    data += some
                check(data == pattern(size), "the echo is not what was sent")
                self.messages += 1
            if hard:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)

    # Interrupted at any moment

    def killed_session(self, random: Random) -> None:
        """A session whose green thread is killed."""
        session = random.choice([self.keep_alive, self.pipeline, self.echo])
        child = Random(random.getrandbits(64))
        pause = random.uniform(0, 0.01)
        thread = eventlet.spawn(session, child)
        eventlet.sleep(pause)
        thread.kill()
        with contextlib.suppress(GreenletExit):
            thread.wait()
        check(thread.dead, "a killed green thread lives")

    def timed_out_session(self, random: Random) -> None:
        """A session that a Timeout ends, in whatever it does just then."""
        session = random.choice([self.keep_alive, self.pipeline, self.echo])
        child = Random(random.getrandbits(64))
        with Timeout(random.uniform(0, 0.01), False):
            session(child)

    # Green threads

    def spawn_and_wait(self, random: Random) -> None:
        """Green threads return values or raise."""
        plans = [
            (number, random.uniform(0, 0.005), random.random() < 0.2)
            for number in range(random.randint(1, 50))
        ]
        threads = [eventlet.spawn(_work, *plan) for plan in plans]
        for thread, (number, _, fails) in zip(threads, plans, strict=True):
            try:
                check(thread.wait() == number and not fails, "a wrong value")
            except ArithmeticError as error:
                check(fails and error.args == (number,), "a wrong exception")

    def spawn_and_kill(self, random: Random) -> None:
        """Green threads killed before they start, while they wait, and after they are done."""
        plans = [(random.uniform(0, 0.005), random.random()) for _ in range(random.randint(1, 30))]
        threads = [eventlet.spawn(_work, 1, seconds, False) for seconds, _ in plans]
        for thread, (_, when) in zip(threads, plans, strict=True):
            if when > 0.3:
                eventlet.sleep(0 if when < 0.8 else 0.004)
            thread.kill()
        for thread in threads:
            with contextlib.suppress(GreenletExit):
                check(thread.wait() == 1, "a wrong value")
            check(thread.dead, "a killed green thread lives")

    def spawn_later(self, random: Random) -> None:
        """Delayed green threads, of which some are cancelled."""
        ran: list[int] = []
        plans = [(random.uniform(0, 0.003), random.random() < 0.5) for _ in range(10)]
        threads = [
            eventlet.spawn_after(0.002 + delay, ran.append, number)
            for number, (delay, _) in enumerate(plans)
        ]
        kept = []
        for number, (thread, (_, cancel)) in enumerate(zip(threads, plans, strict=True)):
            if cancel:
                thread.cancel()
            else:
                thread.wait()
                kept.append(number)
        # A cancelled one may have begun while an earlier one was waited for.
        check({*kept} <= {*ran} and len(ran) == len({*ran}), f"kept {kept}, ran {ran}")

    def timeouts(self, random: Random) -> None:
        """Nested Timeouts: the one that is due first fires, and only it."""
        limits = [random.uniform(0.001, 0.01) for _ in range(random.randint(1, 4))]
        entered: list[Timeout] = []
        due: list[float] = []
        try:
            with contextlib.ExitStack() as stack:
                for limit in limits:
                    # The order is that of the deadlines: the machine may pause between two of them.
                    entered.append(stack.enter_context(Timeout(limit)))
                    due.append(entered[-1].timer.scheduled_time)
                eventlet.sleep(1)
        except Timeout as fired:
            check(fired in entered, "a stranger's Timeout")
            check(due[entered.index(fired)] == min(due), "the wrong Timeout fired")
        else:
            raise Wrong("no Timeout fired")
        check(not any(timeout.pending for timeout in entered), "a Timeout is still pending")
        with Timeout(1):
            eventlet.sleep(0)

    # What green threads meet at

    def events(self, random: Random) -> None:
        """One sends, many wait."""
        event: Event = Event()
        value = random.random()
        fails = random.random() < 0.3
        early = random.random() < 0.3
        waiters = [eventlet.spawn(_outcome, event) for _ in range(random.randint(1, 20))]
        impatient = eventlet.spawn(_outcome_within, 0.0005, event)
        if not early:
            eventlet.sleep(random.uniform(0, 0.002))
        if fails:
            event.send_exception(ArithmeticError(value))
        else:
            event.send(value)
        expected = ("raised" if fails else "got", value)
        check(all(waiter.wait() == expected for waiter in waiters), "a waiter missed the event")
        check(impatient.wait() in (expected, None), "an impatient waiter got something else")

    def queue(self, random: Random) -> None:
        """Producers and consumers; nothing is lost or doubled, whatever the size."""
        from eventlet.queue import Queue

        queue: Any = Queue(random.choice([None, 0, 1, 5]))
        shares = [random.randint(0, 30) for _ in range(random.randint(1, 5))]
        total = sum(shares)
        consumers = [eventlet.spawn(_take, queue) for _ in range(random.randint(1, 5))]
        producers = [
            eventlet.spawn(_put, queue, number * 100, share) for number, share in enumerate(shares)
        ]
        for producer in producers:
            producer.wait()
        for _ in consumers:
            queue.put(None)
        taken = [item for consumer in consumers for item in consumer.wait()]
        expected = [100 * number + i for number, share in enumerate(shares) for i in range(share)]
        check(len(taken) == total and sorted(taken) == expected, "items were lost or doubled")

    def semaphore(self, random: Random) -> None:
        """Never more inside than the semaphore lets in."""
        from eventlet.semaphore import Semaphore

        limit = random.randint(1, 4)
        semaphore = Semaphore(limit)
        inside = [0]

        def visit(seconds: float, patience: float) -> None:
            if not semaphore.acquire(timeout=patience):
                return
            try:
                inside[0] += 1
                check(inside[0] <= limit, "too many inside")
                eventlet.sleep(seconds)
                inside[0] -= 1
            finally:
                semaphore.release()

        visitors = [
            eventlet.spawn(visit, random.uniform(0, 0.001), random.choice([0.001, 5]))
            for _ in range(random.randint(1, 20))
        ]
        for visitor in visitors:
            visitor.wait()
        check(semaphore.counter == limit, "the semaphore did not come back to where it was")

    def pool(self, random: Random) -> None:
        """A pool keeps to its size and to the order."""
        from eventlet.greenpool import GreenPool

        size = random.randint(1, 10)
        pool = GreenPool(size)
        pauses = [random.uniform(0, 0.001) for _ in range(random.randint(1, 40))]
        most = [0]

        def work(number: int) -> int:
            most[0] = max(most[0], pool.running())
            eventlet.sleep(pauses[number])
            return number * 2

        results = list(pool.imap(work, range(len(pauses))))
        pool.waitall()
        check(results == [number * 2 for number in range(len(pauses))], "out of order")
        check(most[0] <= size and pool.free() == size, "the pool is not what it was")

    def nested(self, random: Random) -> None:
        """Green threads that spawn green threads, under Timeouts that do not fire."""

        def grow(depth: int) -> int:
            with Timeout(20):
                if depth == 0:
                    eventlet.sleep(0)
                    return 1
                branches = [eventlet.spawn(grow, depth - 1) for _ in range(2)]
                return sum(branch.wait() for branch in branches)

        depth = random.randint(1, 5)
        check(grow(depth) == 2**depth, "a branch is missing")


def _get(path: bytes) -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path


def _post(body: bytes) -> bytes:
    return b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def _answers(status: int, body: bytes | None) -> Callable[[int, bytes], None]:
    def verify(got_status: int, got_body: bytes) -> None:
        if got_status != status or (body is not None and got_body != body):
            length = None if body is None else len(body)
            raise BadResponse(f"{got_status}, {len(got_body)} bytes; not {status}, {length}")

    return verify


def _work(value: int, seconds: float, fails: bool) -> int:
    eventlet.sleep(seconds)
    if fails:
        raise ArithmeticError(value)
    return value


def _outcome(event: Event) -> tuple[str, Any]:
    try:
        return "got", event.wait()
    except ArithmeticError as error:
        return "raised", error.args[0]


def _outcome_within(seconds: float, event: Event) -> tuple[str, Any] | None:
    with Timeout(seconds, False):
        return _outcome(event)
    return None


def _put(queue: Any, start: int, count: int) -> None:
    for item in range(start, start + count):
        queue.put(item)


def _take(queue: Any) -> list[int]:
    return list(_until_none(queue))


def _until_none(queue: Any) -> Iterator[int]:
    while (item := queue.get()) is not None:
        yield item
