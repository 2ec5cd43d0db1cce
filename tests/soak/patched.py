"""The soak in a patched process, with Redis, PostgreSQL and HTTPS traffic in it.

    python tests/soak/patched.py --minutes 10

As soak.py, whose options it has. Besides what is done there, unmodified libraries talk to a Redis
and a PostgreSQL server, which it starts, and over TLS to a server of its own; threads, queues and
child processes come and go.
"""

# ruff: noqa: E402

from __future__ import annotations

import eventlet

eventlet.monkey_patch()

import contextlib
import itertools
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import psycopg2
import redis
import requests

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from operations import Operations, check
from servers import Log, Servers, app, pattern

import soak
from eventlet import Timeout, wsgi
from support import certificates, postgres
from support import redis as redis_server

CONNECTIONS = 30  # to PostgreSQL at once: it makes a process for each
TOO_LONG = 0.5  # seconds that what is interrupted would take


class World:
    """What the operations talk to, outside of the process and in it."""

    redis: dict[str, Any]
    postgres: dict[str, Any]
    certificate: tuple[str, str]


class PatchedServers(Servers):
    """The servers, and one with TLS."""

    def __init__(self) -> None:
        super().__init__()
        cert, key = World.certificate
        plain = eventlet.listen(("127.0.0.1", 0), backlog=1024)
        self.tls_port = plain.getsockname()[1]
        secure = eventlet.wrap_ssl(plain, certfile=cert, keyfile=key, server_side=True)
        self._tls_server = eventlet.spawn(wsgi.server, secure, app, log=Log(), debug=False)

    def stop(self) -> None:
        """End them all."""
        self._tls_server.kill()
        with contextlib.suppress(eventlet.greenlet.GreenletExit):
            self._tls_server.wait()
        super().stop()


class PatchedOperations(Operations):
    """The operations, and those of libraries that know nothing of green threads."""

    servers: PatchedServers

    def __init__(self, servers: PatchedServers) -> None:
        super().__init__(servers)
        self._connections = threading.BoundedSemaphore(CONNECTIONS)

    def table(self) -> list[tuple[int, Callable[[Random], None]]]:
        """(weight, operation) of each operation."""
        return [*super().table(), *self.added()]

    def added(self) -> list[tuple[int, Callable[[Random], None]]]:
        """Those that are here."""
        return [
            (12, self.redis_commands),
            (5, self.redis_queue),
            (4, self.redis_news),
            (4, self.redis_timed_out),
            (8, self.postgres_transaction),
            (5, self.postgres_timed_out),
            (8, self.https_get),
            (6, self.https_session),
            (4, self.https_timed_out),
            (4, self.threads),
            (2, self.child_process),
        ]

    # Redis

    def redis_commands(self, random: Random) -> None:
        """Values there and back, some of them large, one by one and in a pipeline."""
        values = [random.randbytes(random.choice((1, 100, 50_000))) for _ in range(5)]
        name = f"key{random.random()}"
        with redis.Redis(**World.redis) as client:
            for value in values:
                client.set(name, value)
                check(client.get(name) == value, "a value is another")
            with client.pipeline(transaction=bool(random.getrandbits(1))) as pipe:
                for value in values:
                    pipe.rpush(f"{name}-list", value)
                pipe.lrange(f"{name}-list", 0, -1)
                pipe.delete(name, f"{name}-list")
                *_, found, deleted = pipe.execute()
            check((found, deleted) == (values, 2), "a pipeline's answers are others")

    def redis_queue(self, random: Random) -> None:
        """One pushes, another waits."""
        name = f"queue{random.random()}"
        items = [b"%d" % index for index in range(random.randint(1, 20))]

        def push() -> None:
            with redis.Redis(**World.redis) as client:
                for item in items:
                    client.rpush(name, item)

        pusher = threading.Thread(target=push)
        with redis.Redis(**World.redis) as client:
            pusher.start()
            found = [client.blpop([name], timeout=20)[1] for _ in items]
        pusher.join()
        check(found == items, "what was pushed is not what came")

    def redis_news(self, random: Random) -> None:
        """One publishes, others listen."""
        name = f"news{random.random()}"
        last = random.randint(1, 10)

        def listen() -> None:
            with redis.Redis(**World.redis) as client, client.pubsub() as pubsub:
                pubsub.subscribe(name)
                for message in pubsub.listen():
                    if message["type"] == "subscribe":
                        ready.release()
                    elif int(message["data"]) == last:
                        break

        ready = threading.Semaphore(0)
        listeners = [threading.Thread(target=listen) for _ in range(random.randint(1, 4))]
        for listener in listeners:
            listener.start()
        for _ in listeners:
            ready.acquire()
        with redis.Redis(**World.redis) as client:
            for number in range(last + 1):
                check(client.publish(name, number) >= 1, "nobody listens")
        for listener in listeners:
            listener.join()

    def redis_timed_out(self, random: Random) -> None:
        """A wait that is cut short leaves nothing behind."""
        with redis.Redis(**World.redis) as client:
            seconds = random.random() * 0.02
            with Timeout(seconds, False):
                client.blpop([f"nothing{random.random()}"], timeout=20)
                raise AssertionError("there was something")

    # PostgreSQL

    def postgres_transaction(self, random: Random) -> None:
        """A table of its own: rows, and a rollback."""
        rows = [(index, random.randbytes(500).hex()) for index in range(random.randint(1, 100))]
        driver = random.choice((psycopg, psycopg2))
        with self._connections, contextlib.closing(driver.connect(**World.postgres)) as connection:
            with connection.cursor() as cursor:
                cursor.execute("create temporary table t (n integer, s text)")
                connection.commit()
                cursor.executemany("insert into t values (%s, %s)", rows)
                connection.commit()
                cursor.execute("delete from t")
                connection.rollback()
                cursor.execute("select n, s from t order by n")
                check([tuple(row) for row in cursor.fetchall()] == rows, "rows are others")

    def postgres_timed_out(self, random: Random) -> None:
        """A query that is cut short leaves nothing behind."""
        driver = random.choice((psycopg, psycopg2))
        with self._connections:
            connection = driver.connect(**World.postgres)
            try:
                with Timeout(random.random() * 0.05, False), connection.cursor() as cursor:
                    cursor.execute("select pg_sleep(%s)", [TOO_LONG])
                    raise AssertionError("it did not take its time")
            finally:
                connection.close()

    # HTTPS

    def https_get(self, random: Random) -> None:
        """One request, and a connection for it."""
        size = random.choice((0, 10, 1000, 300_000))
        url = f"https://localhost:{self.servers.tls_port}/big?n={size}"
        reply = requests.get(url, timeout=20, verify=World.certificate[0])
        check(reply.content == pattern(size), "a body is another")
        self.requests += 1

    def https_session(self, random: Random) -> None:
        """Several requests on a connection."""
        with requests.Session() as session:
            # Not what the environment has to say on certificates and proxies.
            session.trust_env = False
            session.verify = World.certificate[0]
            for _ in range(random.randint(1, 10)):
                body = random.randbytes(random.choice((0, 10, 100_000)))
                url = f"https://127.0.0.1:{self.servers.tls_port}/echo"
                check(session.post(url, body, timeout=20).content == body, "a body is another")
                self.requests += 1

    def https_timed_out(self, random: Random) -> None:
        """A request that is cut short, by the library or by a `Timeout`."""
        url = f"https://localhost:{self.servers.tls_port}/slow?n={int(TOO_LONG * 1000)}"
        seconds = 0.001 + random.random() * 0.05
        with requests.Session() as session:
            # Not what the environment has to say on certificates and proxies.
            session.trust_env = False
            session.verify = World.certificate[0]
            if random.getrandbits(1):
                try:
                    session.get(url, timeout=seconds)
                except requests.exceptions.RequestException:
                    return
            else:
                with Timeout(seconds, False):
                    session.get(url, timeout=20)
                    raise AssertionError("it was not slow")

    # The standard library

    def threads(self, random: Random) -> None:
        """Threads that hand things on, until the last has them all."""
        items = [random.random() for _ in range(random.randint(1, 50))]
        queues: list[queue.Queue[Any]] = [queue.Queue(5) for _ in range(random.randint(2, 5))]

        def hand_on(source: queue.Queue[Any], target: queue.Queue[Any]) -> None:
            while (item := source.get()) is not None:
                time.sleep(0)
                target.put(item)
            target.put(None)

        pairs = itertools.pairwise(queues)
        workers = [threading.Thread(target=hand_on, args=pair) for pair in pairs]
        feeder = threading.Thread(target=lambda: [*map(queues[0].put, [*items, None])])
        for worker in (*workers, feeder):
            worker.start()
        found = [*iter(queues[-1].get, None)]
        for worker in (*workers, feeder):
            worker.join()
        check(found == items, "what came out is not what went in")

    def child_process(self, random: Random) -> None:
        """A command with input and output, and one that is cut short."""
        text = random.randbytes(random.choice((1, 200_000)))
        done = subprocess.run(["cat"], input=text, capture_output=True, check=True, timeout=20)
        check(done.stdout == text, "the output is not the input")
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(["sleep", "20"], timeout=random.random() * 0.01, check=False)
            raise AssertionError("it did not take its time")


def prepare() -> None:
    """Do everything once: what the first use of a thing leaves behind is no leak."""
    servers = PatchedServers()
    for number, (_, operation) in enumerate(PatchedOperations(servers).added()):
        operation(Random(number))
    servers.stop()


def main() -> int:
    """Start the other servers and run the soak."""
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "*"
    with contextlib.ExitStack() as stack:
        World.redis = stack.enter_context(redis_server.server())
        World.postgres = stack.enter_context(postgres.server())
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        World.certificate = certificates.make(Path(folder))
        return soak.main(PatchedServers, PatchedOperations, prepare)


if __name__ == "__main__":
    sys.exit(main())
