"""`eventlet serve` over TLS: certificates, and reading them anew without losing a connection."""

from __future__ import annotations

import http.client
import shutil
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import certificates
from support.processes import PATIENCE, Program
from support.serving import start, wait_for_end, workers


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """A function that starts a server with TLS in the test's folder."""
    programs = []
    make(tmp_path, "first")
    install(tmp_path, "first")

    def run(*args: str | Path, **kwargs: Any) -> Program:
        tls = ("--certfile", "cert.pem", "--keyfile", "key.pem")
        programs.append(start(tmp_path, "--access-log", "off", *tls, *args, **kwargs))
        return programs[-1]

    yield run
    for program in programs:
        program.__exit__(*sys.exc_info())


def make(folder: Path, name: str) -> None:
    """Make a certificate, apart from the one that is used."""
    (folder / name).mkdir()
    certificates.make(folder / name)


def install(folder: Path, name: str) -> None:
    """Use a certificate."""
    for file in ("cert.pem", "key.pem"):
        shutil.copy(folder / name / file, folder / file)


def shown(port: int) -> bytes:
    """The certificate that a new client sees."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        with context.wrap_socket(sock) as tls:
            certificate = tls.getpeercert(binary_form=True)
    assert certificate is not None
    return certificate


def certificate(folder: Path, name: str) -> bytes:
    """A certificate as a client sees it."""
    return ssl.PEM_cert_to_DER_cert((folder / name / "cert.pem").read_text())


def connect(port: int, folder: Path, name: str) -> http.client.HTTPSConnection:
    """A connection that trusts one certificate."""
    context = ssl.create_default_context(cafile=str(folder / name / "cert.pem"))
    return http.client.HTTPSConnection("localhost", port, timeout=PATIENCE, context=context)


def get(connection: http.client.HTTPSConnection) -> int:
    """The status of a request."""
    connection.request("GET", "/")
    response = connection.getresponse()
    response.read()
    return response.status


@pytest.mark.parametrize("many", [(), ("--workers", "2")])
def test_certificates_are_read_anew(
    many: tuple[str, ...], serve: Callable[..., Program], tmp_path: Path
) -> None:
    make(tmp_path, "second")
    program = serve(*many)
    before = workers(program, 2) if many else set()
    port = program.port(r"https://127\.0\.0\.1:(\d+)")
    assert shown(port) == certificate(tmp_path, "first")
    connection = connect(port, tmp_path, "first")
    assert get(connection) == 200
    install(tmp_path, "second")
    program.send(signal.SIGHUP)
    program.wait_for("^eventlet: (certificates read anew|reloaded)$")
    # What was open before is answered yet.
    assert get(connection) == 200
    connection.close()
    # Until the old workers have left, some connections are still theirs.
    wait_for_end(before)
    assert shown(port) == certificate(tmp_path, "second")
    connection = connect(port, tmp_path, "second")
    assert get(connection) == 200
    connection.close()
    assert program.stop() == 0
    assert program.stderr == ""


@pytest.mark.parametrize("many", [(), ("--workers", "1")])
def test_a_bad_certificate_changes_nothing(
    many: tuple[str, ...], serve: Callable[..., Program], tmp_path: Path
) -> None:
    make(tmp_path, "second")
    program = serve(*many)
    port = program.port(r"https://127\.0\.0\.1:(\d+)")
    # The certificate of one, the key of another.
    shutil.copy(tmp_path / "second" / "cert.pem", tmp_path / "cert.pem")
    program.send(signal.SIGHUP)
    program.wait_for(
        "error: --certfile cert.pem with key.pem: the key belongs to another certificate", "stderr"
    )
    what = "going on with the workers there were" if many else "serving with the certificate there"
    program.wait_for(what, "stderr")
    assert shown(port) == certificate(tmp_path, "first")
    install(tmp_path, "second")
    program.send(signal.SIGHUP)
    program.wait_for("^eventlet: (certificates read anew|reloaded)$")
    while shown(port) != certificate(tmp_path, "second"):
        assert many
    assert program.stop() == 0


def test_clients_may_have_to_show_certificates(
    serve: Callable[..., Program], tmp_path: Path
) -> None:
    program = serve("--ca-certs", "first/cert.pem")
    port = program.port(r"https://127\.0\.0\.1:(\d+)")
    connection = connect(port, tmp_path, "first")
    # TLS 1.3 tells a client only when it reads.
    with pytest.raises((ssl.SSLError, OSError, http.client.HTTPException)):
        get(connection)
    connection.close()
    context = ssl.create_default_context(cafile=str(tmp_path / "first" / "cert.pem"))
    context.load_cert_chain(tmp_path / "first" / "cert.pem", tmp_path / "first" / "key.pem")
    connection = http.client.HTTPSConnection("localhost", port, timeout=PATIENCE, context=context)
    assert get(connection) == 200
    connection.close()
    assert program.stop() == 0


def test_a_certificate_that_is_none(serve: Callable[..., Program], tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("nonsense\n")
    for many in ((), ("--workers", "2")):
        program = serve(*many, wait=False)
        assert program.wait() == 1
        assert program.stderr == (
            "eventlet: error: --certfile cert.pem with key.pem: not in PEM format\n"
        )
