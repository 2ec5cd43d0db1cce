"""Pools of database connections."""

from __future__ import annotations

import gc
import sqlite3
import threading

import pytest

import eventlet
from eventlet import db_pool, tpool

LONG = 20
POOLS = [db_pool.TpooledConnectionPool, db_pool.RawConnectionPool]


@pytest.fixture(autouse=True)
def limit():
    """Ends what hangs in a green thread."""
    with eventlet.Timeout(LONG):
        yield
        tpool.killall()


class Connection:
    """A connection of the database module below."""

    def __init__(self, module, args, kwargs):
        self.module = module
        self.args = args
        self.kwargs = kwargs
        self.calls = []
        self.closed = False
        self.thread = threading.get_ident()

    def cursor(self):
        return Cursor()

    def rollback(self):
        self.calls.append("rollback")
        if self.module.rollback_error:
            raise self.module.rollback_error

    def commit(self):
        self.calls.append("commit")

    def close(self):
        self.closed = True


class Cursor:
    def where(self):
        return threading.get_ident()


class Module:
    """A database module."""

    def __init__(self):
        self.made = []
        self.error = None
        self.gate = None
        self.rollback_error = None

    def connect(self, *args, **kwargs):
        if self.gate is not None:
            self.gate.wait(LONG)
        if self.error is not None:
            raise self.error
        connection = Connection(self, args, kwargs)
        self.made.append(connection)
        return connection


@pytest.fixture
def module():
    return Module()


@pytest.mark.parametrize("kind", POOLS)
def test_a_connection_comes_back_and_is_used_again(kind, module):
    pool = kind(module, 0, 2, 10, 30, 5, db_pool.cleanup_rollback, "where", user="me")
    conn = pool.get()
    assert conn
    assert (module.made[0].args, module.made[0].kwargs) == (("where",), {"user": "me"})
    assert (pool.current_size, pool.free()) == (1, 1)
    conn.commit()
    pool.put(conn)
    assert not conn
    with pytest.raises(AttributeError):
        conn.cursor()
    assert module.made[0].calls == ["commit", "rollback"]
    assert (pool.current_size, pool.free()) == (1, 2)
    with pool.item() as again:
        again.commit()
    assert len(module.made) == 1
    pool.clear()
    assert module.made[0].closed
    assert (pool.current_size, len(pool.free_items)) == (0, 0)


def test_the_tpooled_ones_work_in_os_threads(module):
    pool = db_pool.ConnectionPool(module)
    with pool.item() as conn:
        assert module.made[0].thread != threading.get_ident()
        assert conn.cursor().where() != threading.get_ident()
    pool.clear()
    assert db_pool.ConnectionPool is db_pool.TpooledConnectionPool


@pytest.mark.parametrize("kind", POOLS)
def test_close_gives_back(kind, module):
    pool = kind(module, max_size=1)
    conn = pool.get()
    assert pool.free() == 0
    conn.close()
    conn.close()
    assert pool.free() == 1
    assert not module.made[0].closed
    pool.clear()


@pytest.mark.parametrize("kind", POOLS)
def test_who_waits_gets_the_next(kind, module):
    pool = kind(module, max_size=1)
    first = pool.get()
    getters = [eventlet.spawn(pool.get) for _ in range(3)]
    eventlet.sleep(0)
    assert (pool.free(), pool.waiting()) == (0, 3)
    for getter in getters:
        pool.put(first)
        first = getter.wait()
    pool.put(first)
    assert len(module.made) == 1
    pool.clear()


@pytest.mark.parametrize("kind", POOLS)
@pytest.mark.parametrize("option", ["max_idle", "max_age"])
def test_zero_limits_close_at_once(kind, option, module):
    pool = kind(module, max_size=1, **{option: 0})
    conn = pool.get()
    waiter = eventlet.spawn(pool.get)
    eventlet.sleep(0)
    conn.close()
    second = waiter.wait()
    assert [made.closed for made in module.made] == [True, False]
    second.close()
    assert (pool.current_size, len(pool.free_items)) == (0, 0)
    assert module.made[1].closed


@pytest.mark.parametrize("option", ["max_idle", "max_age"])
def test_what_is_free_for_too_long_is_closed(option, module, clean_hub):
    pool = db_pool.RawConnectionPool(module, max_size=2, **{option: 0.02})
    conns = [pool.get(), pool.get()]
    for conn in conns:
        conn.close()
    assert pool.current_size == 2
    while pool.current_size:
        eventlet.sleep(0.005)
    assert all(made.closed for made in module.made)
    assert not pool.free_items


def test_age_counts_from_when_it_was_made(module):
    pool = db_pool.RawConnectionPool(module, max_age=1000)
    conn = pool.get()
    made = conn._db_pool_created_at
    conn.close()
    conn = pool.get()
    assert conn._db_pool_created_at == made
    conn._db_pool_created_at = made - 2000
    conn.close()
    assert module.made[0].closed
    assert pool.current_size == 0


def test_the_timer_does_not_keep_a_pool(module):
    pool = db_pool.RawConnectionPool(module, max_idle=1000)
    pool.get().close()
    del pool
    gc.collect()
    assert module.made[0].closed


@pytest.mark.parametrize("kind", POOLS)
def test_errors_of_connecting_are_raised_and_leave_the_place(kind, module):
    pool = kind(module, max_size=1)
    module.error = OSError("no database")
    with pytest.raises(OSError, match="no database"):
        pool.get()
    assert (pool.current_size, pool.free()) == (0, 1)
    module.error = None
    pool.get().close()
    pool.clear()


def test_who_waits_makes_one_when_another_could_not(module):
    pool = db_pool.TpooledConnectionPool(module, max_size=1)
    module.gate = threading.Event()
    module.error = OSError("no database")
    getters = [eventlet.spawn(pool.get) for _ in range(3)]
    while pool.waiting() < 2:
        eventlet.sleep(0)
    module.gate.set()
    for getter in getters:
        with pytest.raises(OSError, match="no database"):
            getter.wait()
    assert (pool.current_size, pool.waiting(), pool.free()) == (0, 0, 1)


def test_connect_timeout(module):
    module.gate = threading.Event()
    # The threads run already: a call that no thread takes in time is never made.
    tpool.execute(int)
    pool = db_pool.TpooledConnectionPool(module, max_size=1, connect_timeout=0.1)
    with pytest.raises(db_pool.ConnectTimeout):
        pool.get()
    assert pool.free() == 1
    module.gate.set()
    # What comes too late is closed.
    while not (module.made and module.made[0].closed):
        eventlet.sleep(0.001)
    pool.get().close()
    pool.clear()


def test_connect_timeout_of_a_driver_that_gives_way():
    class Slow:
        def connect(self):
            eventlet.sleep(LONG)

    pool = db_pool.RawConnectionPool(Slow(), connect_timeout=0.01)
    with pytest.raises(db_pool.ConnectTimeout):
        pool.get()
    assert pool.current_size == 0


@pytest.mark.parametrize("kind", POOLS)
def test_cleanup(kind, module, capsys):
    seen = []
    pool = kind(module, max_size=1, cleanup=lambda conn: seen.append("pool's"))
    pool.put(pool.get())
    pool.put(pool.get(), cleanup=lambda conn: seen.append("own"))
    pool.put(pool.get(), cleanup=None)
    with pool.item(cleanup=lambda conn: seen.append("item's")):
        pass
    assert seen == ["pool's", "own", "item's"]
    assert len(module.made) == 1
    pool.put(pool.get(), cleanup=lambda conn: 1 / 0)
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert module.made[0].closed
    assert (pool.current_size, pool.free()) == (0, 1)


def test_a_cleanup_that_is_interrupted_loses_the_connection_only(module):
    pool = db_pool.RawConnectionPool(module, max_size=1, cleanup=lambda conn: eventlet.sleep(LONG))
    conn = pool.get()
    with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.01):
        pool.put(conn)
    assert pool.free() == 1


def test_a_connection_that_cannot_be_rolled_back_makes_room(module, capsys):
    module.rollback_error = OSError("gone")
    pool = db_pool.RawConnectionPool(module, max_size=1)
    conn = pool.get()
    waiter = eventlet.spawn(pool.get)
    eventlet.sleep(0)
    conn.close()
    assert waiter.wait()
    assert len(module.made) == 2
    assert "gone" in capsys.readouterr().err


def test_put_none_stands_for_a_lost_one(module):
    pool = db_pool.RawConnectionPool(module, max_size=1)
    pool.get()
    pool.put(None)
    assert pool.free() == 1


def test_min_size(module):
    pool = db_pool.RawConnectionPool(module, min_size=2, max_size=3)
    assert len(module.made) == 2
    with pool.item() as one, pool.item() as two:
        assert one
        assert two
        assert len(module.made) == 2
    pool.clear()
    assert all(made.closed for made in module.made)


def test_errors_of_closing_are_told(module, capsys):
    class Bad:
        def close(self):
            raise ValueError("stuck")

    pool = db_pool.RawConnectionPool(module)
    pool._safe_close(Bad())
    assert "stuck" in capsys.readouterr().err
    pool._safe_close(Bad(), quiet=True)
    pool._safe_close(None)
    assert capsys.readouterr().err == ""


def test_generic_wrapper(module):
    conn = db_pool.GenericConnectionWrapper(module.connect())
    conn.commit()
    conn.rollback()
    assert conn._base.calls == ["commit", "rollback"]
    assert repr(conn) == repr(conn._base)
    for name in ("begin", "ping", "set_isolation_level", "warning_count"):
        with pytest.raises(AttributeError):
            getattr(conn, name)()
    wrapped = db_pool.GenericConnectionWrapper(sqlite3.connect(":memory:"))
    with wrapped as raw:
        assert raw.execute("select 1").fetchone() == (1,)
    wrapped.close()


def test_connector(module):
    credentials = {"one": {"user": "me"}, "default": {"user": "anybody"}}
    connector = db_pool.DatabaseConnector(module, credentials, max_size=1)
    assert connector.credentials_for("one") == {"user": "me"}
    assert connector.credentials_for("two") == {"user": "anybody"}
    pool = connector.get("one", "books")
    assert isinstance(pool, db_pool.ConnectionPool)
    assert connector.get("one", "books") is pool
    assert connector.get("one", "films") is not pool
    with pool.item():
        assert module.made[0].kwargs == {"user": "me", "db": "books", "host": "one"}
    raw = db_pool.DatabaseConnector(module, {}, db_pool.RawConnectionPool)
    assert raw.credentials_for("three") is None
    assert isinstance(raw.get("three", "books"), db_pool.RawConnectionPool)
    pool.clear()


def test_sqlite(tmp_path):
    # Each call may come from another thread of the pool.
    path = tmp_path / "database"
    pool = db_pool.TpooledConnectionPool(sqlite3, database=path, check_same_thread=False)
    with pool.item() as conn:
        cursor = conn.cursor()
        cursor.execute("create table t (number integer)")
        cursor.executemany("insert into t values (?)", [(number,) for number in range(10)])
        conn.commit()
        cursor.execute("insert into t values (10)")
        cursor.close()
    # What was not committed is not there.
    with pool.item() as conn:
        cursor = conn.cursor()
        assert cursor.execute("select count(*) from t").fetchone() == (10,)
        cursor.close()
    pool.clear()


@pytest.fixture
def database(postgres_server):
    return pytest.importorskip("psycopg2", reason="psycopg2 is not installed"), postgres_server


@pytest.mark.parametrize("kind", POOLS)
def test_postgresql(kind, database):
    psycopg2, arguments = database
    pool = kind(psycopg2, max_size=2, **arguments)
    with pool.item() as conn:
        cursor = conn.cursor()
        cursor.execute("create temporary table t (number integer)")
        conn.commit()
        cursor.execute("insert into t values (1)")
        # Not committed, so taken back.
    with pool.item() as conn:
        cursor = conn.cursor()
        cursor.execute("select count(*) from t")
        assert cursor.fetchone() == (0,)
    pool.clear()


def test_postgresql_others_run_meanwhile(database):
    psycopg2, arguments = database
    pool = db_pool.TpooledConnectionPool(psycopg2, max_size=4, **arguments)
    others = eventlet.spawn(lambda: [eventlet.sleep(0) for _ in range(100)])

    def query():
        with pool.item() as conn:
            cursor = conn.cursor()
            cursor.execute("select pg_sleep(0.05), 7")
            return cursor.fetchone()[1]

    queries = [eventlet.spawn(query) for _ in range(8)]
    others.wait()
    assert not any(query.dead for query in queries)
    assert [query.wait() for query in queries] == [7] * 8
    pool.clear()
