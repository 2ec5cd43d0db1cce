"""Certificates for servers of the tests."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make(folder: Path) -> tuple[str, str]:
    """Make a self-signed certificate for "localhost" and its key; their paths.

    :raises FileNotFoundError: if there is no ``openssl`` here.
    """
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += ["-keyout", key, "-out", cert]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key
