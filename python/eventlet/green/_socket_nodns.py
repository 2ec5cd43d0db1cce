"""The module ``socket`` with green sockets, and with the functions of libc to look up names.

For those who look up names themselves, and only have libc read numeric addresses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventlet.green import _dns
from eventlet.green import socket as _green

globals().update({name: value for name, value in vars(_green).items() if not name.startswith("__")})

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


__all__ = [*_green.__all__]
__patched__ = ["fromfd", "socket", "socketpair", "timeout"]

getaddrinfo = _dns._getaddrinfo
gethostbyaddr = _dns._gethostbyaddr
gethostbyname = _dns._gethostbyname
gethostbyname_ex = _dns._gethostbyname_ex
getnameinfo = _dns._getnameinfo
