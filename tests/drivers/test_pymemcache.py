"""pymemcache, against memcached."""

from __future__ import annotations

import pytest

pytest.importorskip("pymemcache", reason="pymemcache is not installed")


def test_get_and_set(slow_memcached, run_patched):
    code = """
from pymemcache.client.base import PooledClient
client = PooledClient(("127.0.0.1", given.port), max_pool_size=50, timeout=20)
def work(number):
    client.set(f"key{number}", str(number), noreply=False)
    return client.get(f"key{number}")
assert overlap(work) == [b"%d" % number for number in range(50)]
"""
    run_patched(code, port=slow_memcached)
