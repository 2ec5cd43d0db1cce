"""PyMySQL, against MariaDB."""

from __future__ import annotations

import pytest

pytest.importorskip("pymysql", reason="PyMySQL is not installed")


def test_queries(mariadb_server, run_patched):
    code = """
import pymysql
def query(number):
    # TLS is set up even where it is not used, which takes more time than all else.
    with pymysql.connect(**given.server, ssl_disabled=True) as connection:
        with connection.cursor() as cursor:
            cursor.execute("select sleep(0.3), %s", [number])
            return cursor.fetchone()[1]
assert overlap(query) == [*range(50)]
"""
    run_patched(code, server=mariadb_server)
