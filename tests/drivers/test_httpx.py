"""httpx, its client that is not asynchronous."""

from __future__ import annotations

import pytest

pytest.importorskip("httpx", reason="httpx is not installed")


def test_get(http_peer, run_patched):
    code = """
import httpx
limits = httpx.Limits(max_connections=50)
with httpx.Client(limits=limits, timeout=20) as client:
    def get(number):
        return client.get(f"{given.url}/{number}?wait=0.4").text
    assert overlap(get) == [f"/{number} " for number in range(50)]
"""
    run_patched(code, url=http_peer)


def test_tls(https_peer, certificate, run_patched):
    code = """
import ssl
import httpx
context = ssl.create_default_context(cafile=given.cert)
with httpx.Client(verify=context, limits=httpx.Limits(max_connections=50), timeout=20) as client:
    def get(number):
        return client.get(f"{given.url}/{number}?wait=0.4").text
    assert overlap(get) == [f"/{number} " for number in range(50)]
"""
    run_patched(code, url=https_peer, cert=certificate[0])
