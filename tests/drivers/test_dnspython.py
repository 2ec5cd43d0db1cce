"""dnspython, against a name server of the test's."""

from __future__ import annotations

import pytest

pytest.importorskip("dns", reason="dnspython is not installed")


def test_resolve(dns_peer, run_patched):
    code = """
import dns.resolver
resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers = ["127.0.0.1"]
resolver.port = given.port
resolver.lifetime = 20
def resolve(number):
    [answer] = resolver.resolve(f"host{number}.test.", "A")
    return answer.address
assert overlap(resolve) == ["192.0.2.7"] * 50
"""
    run_patched(code, port=dns_peer)
