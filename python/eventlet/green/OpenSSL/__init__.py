"""The package ``OpenSSL`` (pyOpenSSL) with connections that let others run while they wait."""

from __future__ import annotations

from contextlib import suppress as _suppress

from . import SSL, crypto, version
from .version import __version__

with _suppress(ImportError):
    from . import tsafe

__all__ = ["SSL", "__version__", "crypto", "version"]
