"""psycopg2, against PostgreSQL."""

from __future__ import annotations

import pytest

pytest.importorskip("psycopg2", reason="psycopg2 is not installed")


def test_queries(postgres_server, run_patched):
    code = """
import psycopg2
def query(number):
    with psycopg2.connect(**given.server) as connection, connection.cursor() as cursor:
        cursor.execute("select %s from pg_sleep(0.3)", [number])
        return cursor.fetchone()[0]
assert overlap(query) == [*range(50)]
"""
    run_patched(code, server=postgres_server)
