"""mysqlclient, against MariaDB."""

from __future__ import annotations

import pytest

pytest.importorskip("MySQLdb", reason="mysqlclient is not installed")


def test_patched(mariadb_server, run_patched):
    code = """
eventlet.monkey_patch(MySQLdb=True)
import MySQLdb
def query(number):
    with MySQLdb.connect(**given.server) as connection, connection.cursor() as cursor:
        cursor.execute("select sleep(0.3), %s", [number])
        return cursor.fetchone()[1]
assert overlap(query) == [*range(50)]
"""
    run_patched(code, server=mariadb_server)


def test_in_os_threads(mariadb_server, run_patched):
    code = """
import MySQLdb
from eventlet import db_pool, tpool
tpool.set_num_threads(50)
pool = db_pool.TpooledConnectionPool(MySQLdb, max_size=50, **given.server)
def query(number):
    with pool.item() as connection, connection.cursor() as cursor:
        cursor.execute("select sleep(0.3), %s", [number])
        return cursor.fetchone()[1]
assert overlap(query) == [*range(50)]
pool.clear()
"""
    run_patched(code, server=mariadb_server)
