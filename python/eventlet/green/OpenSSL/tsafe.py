"""The module ``OpenSSL.tsafe``, which pyOpenSSL had up to version 19.

:raises ImportError: if it has none. A connection of `eventlet.green.OpenSSL.SSL` may be used by
    several green threads as it is.
"""

from __future__ import annotations

from OpenSSL.tsafe import *
