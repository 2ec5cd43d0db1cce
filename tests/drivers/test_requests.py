"""requests."""

from __future__ import annotations

import pytest

pytest.importorskip("requests", reason="requests is not installed")


def test_get(http_peer, run_patched):
    code = """
import requests
def get(number):
    reply = requests.get(f"{given.url}/{number}", timeout=20)
    return reply.text
assert overlap(get) == [f"/{number} " for number in range(50)]
"""
    run_patched(code, url=http_peer)


def test_one_session_for_all(http_peer, run_patched):
    code = """
import requests
from requests.adapters import HTTPAdapter
session = requests.Session()
session.mount("http://", HTTPAdapter(pool_maxsize=50))
def post(number):
    return session.post(given.url, data=str(number), timeout=20).text
assert overlap(post) == [f"/ {number}" for number in range(50)]
"""
    run_patched(code, url=http_peer + "/")


def test_tls(https_peer, certificate, run_patched):
    code = """
import requests
def get(number):
    return requests.get(f"{given.url}/{number}?wait=0.5", timeout=20, verify=given.cert).text
assert overlap(get) == [f"/{number} " for number in range(50)]
try:
    requests.get(given.url, timeout=20)
except requests.exceptions.SSLError as error:
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)
else:
    raise SystemExit("the certificate was not verified")
"""
    run_patched(code, url=https_peer, cert=certificate[0])


def test_timeout(http_peer, run_patched):
    code = """
import requests
try:
    requests.get(f"{given.url}/?wait=20", timeout=0.1)
except requests.exceptions.ReadTimeout:
    pass
else:
    raise SystemExit("no timeout")
"""
    run_patched(code, url=http_peer)
