"""urllib3."""

from __future__ import annotations

import pytest

pytest.importorskip("urllib3", reason="urllib3 is not installed")


def test_a_pool_that_blocks(http_peer, run_patched):
    code = """
import urllib3
pool = urllib3.PoolManager(maxsize=25, block=True)
def get(number):
    return pool.request("GET", f"{given.url}/{number}").data
assert overlap(get) == [b"/%d " % number for number in range(50)]
"""
    run_patched(code, url=http_peer)
