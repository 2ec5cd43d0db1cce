"""TLS for `eventlet serve`: contexts from files, and reading the files anew.

A context stays the same for as long as the process runs: it is given the new certificate, and hands
it to whoever connects from then on. Connections that are open keep what they have.
"""

from __future__ import annotations

import argparse
import ssl
from dataclasses import dataclass, field
from typing import Any

from eventlet.cli._errors import CommandError, UsageError

_VERIFY = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}


@dataclass(frozen=True)
class Files:
    """What the command line says about TLS."""

    certificate: str
    key: str | None
    authorities: str | None
    clients: str
    ciphers: str | None
    # Made while the files could be read.
    _kept: list[ssl.SSLContext] = field(default_factory=list)

    def keep(self) -> None:
        """Make the context that `context` is to return from now on: the rights to read go.

        :raises CommandError: as `context`.
        """
        self._kept[:] = [self.context()]

    def context(self) -> ssl.SSLContext:
        """A context for a server.

        :raises CommandError: if a file is missing, or is not what it should be.
        """
        if self._kept:
            return self._kept[0]
        return self._new()

    def _new(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        self._load(context)
        context.verify_mode = _VERIFY[self.clients]
        if self.ciphers is not None:
            try:
                context.set_ciphers(self.ciphers)
            except ssl.SSLError:
                raise CommandError(f"--ciphers {self.ciphers}: OpenSSL knows none") from None
        return context

    def renew(self, context: ssl.SSLContext) -> None:
        """Have a context use what the files hold now; if that is no good, it stays as it is.

        :raises CommandError: if it is no good.
        """
        # A context that failed half way would be left with a certificate and the key of another.
        self._new()
        self._load(context)

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self.certificate, self.key, _no_password)
        except (OSError, ValueError) as error:
            files = self.certificate + (f" with {self.key}" if self.key else "")
            raise CommandError(f"--certfile {files}: {_reason(error)}") from None
        if self.authorities is not None:
            try:
                context.load_verify_locations(self.authorities)
            except (OSError, ValueError) as error:
                raise CommandError(f"--ca-certs {self.authorities}: {_reason(error)}") from None


def files(args: argparse.Namespace) -> Files | None:
    """What the command line says about TLS; None if nothing.

    :raises UsageError: if it says too little.
    """
    if args.certfile is None:
        for name in ("keyfile", "ca_certs", "client_certs", "ciphers"):
            if getattr(args, name) is not None:
                option = name.replace("_", "-")
                raise UsageError(f"--{option} needs a --certfile, which turns TLS on")
        return None
    clients = args.client_certs or ("required" if args.ca_certs else "none")
    if clients != "none" and args.ca_certs is None:
        raise UsageError(f"--client-certs {clients} needs --ca-certs, to check them against")
    return Files(args.certfile, args.keyfile, args.ca_certs, clients, args.ciphers)


def _no_password() -> str:
    """Called for a key that is encrypted; OpenSSL would ask on the terminal, for ever."""
    raise ValueError("the key is encrypted; openssl pkey -in KEY -out NEW decrypts it")


def _reason(error: Any) -> str:
    if isinstance(error, ssl.SSLError):
        reason = error.reason or str(error)
        if reason == "KEY_VALUES_MISMATCH":
            return "the key belongs to another certificate"
        if reason in ("NO_START_LINE", "PEM_LIB") or "PEM lib" in reason:
            return "not in PEM format"
        return reason.replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or "not in PEM format"
