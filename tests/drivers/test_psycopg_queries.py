"""psycopg 3, its builds in C and in Python, against PostgreSQL."""

from __future__ import annotations

import pytest

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")


@pytest.fixture(params=["binary", "python"])
def build(request):
    """Which of its implementations a program is to use, as it says it in its environment."""
    if request.param == "binary":
        pytest.importorskip("psycopg_binary", reason="psycopg_binary is not installed")
    return request.param


START = """
import os
os.environ["PSYCOPG_IMPL"] = given.build
import psycopg
assert psycopg.pq.__impl__ == given.build
"""


def test_queries(postgres_server, build, run_patched):
    code = """
def query(number):
    with psycopg.connect(**given.server) as connection:
        return connection.execute("select %s from pg_sleep(0.4)", [number]).fetchone()[0]
assert overlap(query) == [*range(50)]
"""
    run_patched(START + code, server=postgres_server, build=build)


def test_notifications(postgres_server, build, run_patched):
    code = """
ready = eventlet.Semaphore(0)
def listener(number):
    with psycopg.connect(**given.server, autocommit=True) as connection:
        connection.execute("listen news")
        ready.release()
        for notice in connection.notifies():
            return notice.payload
threads = [eventlet.spawn(listener, number) for number in range(20)]
for _ in threads:
    ready.acquire()
with psycopg.connect(**given.server, autocommit=True) as connection:
    connection.execute("notify news, 'hello'")
assert [thread.wait() for thread in threads] == ["hello"] * 20
"""
    run_patched(START + code, server=postgres_server, build=build)


def test_timeout_in_a_query(postgres_server, build, run_patched):
    code = """
with psycopg.connect(**given.server) as connection:
    try:
        with eventlet.Timeout(0.2):
            connection.execute("select pg_sleep(40)")
    except eventlet.Timeout:
        pass
    else:
        raise SystemExit("no timeout")
    connection.close()
"""
    run_patched(START + code, server=postgres_server, build=build)
