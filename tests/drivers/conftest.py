"""Fixtures of the tests that show what unmodified libraries do in a patched process."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest

from support import certificates
from support.processes import Program

HERE = Path(__file__).parent

PATCHED = """\
import eventlet
eventlet.monkey_patch()
from overlap import compare, given, overlap
"""


@pytest.fixture
def run_patched(run_python):
    """A function that runs a program in an interpreter that is patched before anything else.

    run_patched(code, **values): the values are attributes of `given` there.
    """

    def run(code, **values):
        path = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
        env = {"PYTHONPATH": os.pathsep.join(path), "no_proxy": "*", "NO_PROXY": "*"}
        return run_python(PATCHED + code, json.dumps(values), env=env, timeout=50)

    return run


def _peer(*args):
    @contextlib.contextmanager
    def running():
        with Program(HERE / "peer.py", *args) as peer:
            yield peer.port(r"^(\d+)$")

    return running()


@pytest.fixture(scope="session")
def http_peer():
    """The URL of a server that waits before it answers."""
    with _peer("http") as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate for "localhost" and its key: two paths."""
    try:
        return certificates.make(tmp_path_factory.mktemp("tls"))
    except FileNotFoundError:
        pytest.skip("needs the openssl command")


@pytest.fixture(scope="session")
def https_peer(certificate):
    """As `http_peer`, with the certificate of `certificate`."""
    with _peer("http", *certificate) as port:
        yield f"https://localhost:{port}"


@pytest.fixture(scope="session")
def smtp_peer():
    """The port of a mail server that takes its time."""
    with _peer("smtp") as port:
        yield port


@pytest.fixture(scope="session")
def dns_peer():
    """The port of a name server that takes its time."""
    with _peer("dns") as port:
        yield port


@pytest.fixture(scope="session")
def ftp_peer():
    """The port of an FTP server whose NOOP takes its time."""
    pytest.importorskip("pyftpdlib", reason="pyftpdlib is not installed")
    with _peer("ftp") as port:
        yield port


@pytest.fixture
def slow_memcached(memcached_server):
    """The port of a memcached whose answers take their time."""
    with _peer("delay", *map(str, memcached_server)) as port:
        yield port
