"""`eventlet.green.socket` whose lookups are the standard library's, which block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventlet.green import _dns
from eventlet.green import socket as _green

globals().update({name: value for name, value in vars(_green).items() if not name.startswith("__")})

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


__all__ = _green.__all__

__patched__ = ["socket", "timeout"]

getaddrinfo = _dns._getaddrinfo
gethostbyaddr = _dns._gethostbyaddr
gethostbyname = _dns._gethostbyname
gethostbyname_ex = _dns._gethostbyname_ex
getnameinfo = _dns._getnameinfo
