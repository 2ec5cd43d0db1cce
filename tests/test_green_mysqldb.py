"""`eventlet.green.MySQLdb`, against MariaDB."""

from __future__ import annotations

import json
import time

import pytest

import eventlet
from eventlet import tpool

original = pytest.importorskip("MySQLdb", reason="mysqlclient is not installed")

from eventlet.green import MySQLdb  # noqa: E402

pytestmark = pytest.mark.usefixtures("limit")

LONG = 20


@pytest.fixture
def connection(mariadb_server):
    with MySQLdb.connect(**mariadb_server) as connection:
        yield connection


def test_true_subclass(connection):
    assert isinstance(connection, original.connections.Connection)
    assert type(connection) is MySQLdb.Connection is MySQLdb.connections.Connection
    assert MySQLdb.connect is MySQLdb.Connect
    assert original.Connection is not MySQLdb.Connection


def test_queries(connection):
    with connection.cursor() as cursor:
        cursor.execute("create database if not exists test")
        cursor.execute("use test")
        cursor.execute("create temporary table t (a integer, b mediumtext)")
        cursor.executemany("insert into t values (%s, %s)", [(1, "x"), (2, "y" * 100_000)])
        connection.commit()
        cursor.execute("select a, length(b) from t order by a")
        assert cursor.fetchall() == ((1, 1), (2, 100_000))
        cursor.execute("select 1; select 2")
        assert cursor.fetchall() == ((1,),)
        assert cursor.nextset()
        assert cursor.fetchall() == ((2,),)


def test_errors(connection, mariadb_server):
    with connection.cursor() as cursor, pytest.raises(MySQLdb.ProgrammingError, match="syntax"):
        cursor.execute("nonsense")
    with pytest.raises(original.OperationalError):
        MySQLdb.connect(**mariadb_server, db="missing")


def test_rows_that_stay_on_the_server(connection):
    with connection.cursor(MySQLdb.cursors.SSCursor) as cursor:
        cursor.execute("select 1 union select 2")
        assert cursor.fetchone() == (1,)
        assert cursor.fetchall() == ((2,),)


def test_more_queries_at_once_than_there_are_threads(mariadb_server, monkeypatch):
    tpool.killall()
    monkeypatch.setattr(tpool, "_nthreads", 2)

    def query(number):
        with MySQLdb.connect(**mariadb_server) as connection, connection.cursor() as cursor:
            cursor.execute("select sleep(0.2), %s", [number])
            return cursor.fetchone()

    start = time.monotonic()
    assert query(7) == (0, 7)
    one = time.monotonic() - start
    start = time.monotonic()
    assert [*eventlet.GreenPool().imap(query, range(50))] == [(0, number) for number in range(50)]
    # If each kept a thread, they would take twenty-five times as long.
    assert time.monotonic() - start < 10 * one
    tpool.killall()


def test_timeout(connection):
    with (
        pytest.raises(eventlet.Timeout),
        eventlet.Timeout(0.01),
        connection.cursor() as cursor,
    ):
        cursor.execute("select sleep(%s)", [LONG])
    # The answer that is yet to come must not be taken for another's.
    with pytest.raises(MySQLdb.OperationalError, match="2013"):
        connection.ping()


def test_a_call_that_is_interrupted_in_its_thread(connection):
    connection.query("select 1; select sleep(0.2)")
    connection.store_result()
    with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.01):
        connection.next_result()
    with pytest.raises(MySQLdb.OperationalError, match="2013"):
        connection.query("select 1")


def test_in_a_thread_of_the_pool(mariadb_server):
    def query():
        with MySQLdb.connect(**mariadb_server) as connection, connection.cursor() as cursor:
            cursor.execute("select 1")
            return cursor.fetchone()

    assert eventlet.tpool.execute(query) == (1,)


def test_monkey_patching(mariadb_server, run_python):
    code = """
import json, sys
import MySQLdb, MySQLdb.connections
import eventlet
from eventlet import tpool
from eventlet import patcher
from eventlet.green import MySQLdb as green
before = {module: dict(vars(module)) for module in (MySQLdb, MySQLdb.connections)}
eventlet.monkey_patch()
assert not patcher.is_monkey_patched("MySQLdb")
eventlet.monkey_patch(MySQLdb=True)
assert patcher.is_monkey_patched("MySQLdb")
assert MySQLdb.connect is green.connect
assert MySQLdb.connections.Connection is green.Connection
with MySQLdb.connect(**json.loads(sys.argv[1])) as connection:
    assert isinstance(connection, green.Connection)
    with connection.cursor() as cursor:
        cursor.execute("select 1")
        assert cursor.fetchall() == ((1,),)
patcher.unpatch()
for module, names in before.items():
    assert vars(module) == names
"""
    run_python(code, json.dumps(mariadb_server))
