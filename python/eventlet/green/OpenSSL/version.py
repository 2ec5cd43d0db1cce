"""The module ``OpenSSL.version``."""

from __future__ import annotations

from OpenSSL.version import __doc__, __version__

__all__ = ["__version__"]
