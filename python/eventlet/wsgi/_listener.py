"""What a server has to know of its listening socket."""

from __future__ import annotations

import contextlib
import socket as _socket
import sys
from collections.abc import Callable
from typing import Any

from eventlet import _core

#: Bytes of a response that the system takes in before those in front of them have been sent.
UNSENT_LIMIT = 512 * 1024


def is_plain(sock: Any) -> bool:
    """Tell whether a listening socket is no more than its descriptor."""
    if not isinstance(sock, _socket.socket) or hasattr(sock, "do_handshake"):
        return False
    from eventlet.greenio import GreenSocket

    # An accept() of the program's own is to be called, whether a class or the socket itself has it.
    is_ours = type(sock).accept in (_socket.socket.accept, GreenSocket.accept)
    return is_ours and "accept" not in getattr(sock, "__dict__", ())


def securing(sock: Any) -> Callable[[int], Any] | None:
    """Return what makes a TLS socket of the descriptor of a connection to `sock`.

    None if `sock` is not a TLS socket, or has an ``accept`` of the program's own.
    """
    ssl = sys.modules.get("ssl")
    if ssl is None or not isinstance(sock, ssl.SSLSocket):
        return None
    from eventlet.green.ssl import GreenSSLSocket
    from eventlet.greenio.base import GreenSocket, _adopt

    is_ours = type(sock).accept in (ssl.SSLSocket.accept, GreenSSLSocket.accept)
    if not is_ours or "accept" in getattr(sock, "__dict__", ()):
        return None
    made: Any = type(sock) if isinstance(sock, GreenSSLSocket) else GreenSSLSocket
    family, kind, proto = sock.family, sock.type, sock.proto

    def secure(fileno: int) -> Any:
        plain = _adopt(GreenSocket, family, kind, proto, fileno)
        try:
            return made._create(
                plain,
                server_side=True,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=sock.suppress_ragged_eofs,
                # That of the moment: it may have been replaced, as for a new certificate.
                context=sock.context,
            )
        except BaseException:
            plain.close()
            raise

    return secure


def bound_unsent(sock: Any) -> None:
    """Bound what the system holds of a response that a client does not take.

    Left alone, it takes in megabytes for each of the clients that do not read, at a memory copy
    each. Connections have the option from their listening socket; systems without it, and sockets
    of other families, go without.
    """
    option = getattr(_socket, "TCP_NOTSENT_LOWAT", None)
    if option is None or not isinstance(sock, _socket.socket):
        return
    if sock.family in (_socket.AF_INET, _socket.AF_INET6):
        with contextlib.suppress(OSError):
            sock.setsockopt(_socket.IPPROTO_TCP, option, UNSENT_LIMIT)


def environ_template(is_tls: bool, extra: dict[str, Any] | None) -> dict[str, Any]:
    """Return what the environs of all requests have in common."""
    template: dict[str, Any] = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "QUERY_STRING": "",
        "SCRIPT_NAME": "",
        "SERVER_PROTOCOL": "HTTP/1.0",
        "wsgi.errors": sys.stderr,
        "wsgi.file_wrapper": _core.FileWrapper,
        "wsgi.multiprocess": False,
        "wsgi.multithread": True,
        "wsgi.run_once": False,
        "wsgi.url_scheme": "https" if is_tls else "http",
        "wsgi.version": (1, 0),
    }
    if is_tls:
        template["HTTPS"] = "on"
    if extra is not None:
        template.update(extra)
    return template


def host_port(address: Any) -> tuple[str, str]:
    """Return an address as ``SERVER_NAME`` and ``SERVER_PORT`` have it."""
    if isinstance(address, tuple):
        return str(address[0]), str(address[1])
    return "unix", ""


def fixed_address(sock: Any) -> tuple[str, str] | None:
    """Return the address that all connections of a listener have at this end, if it is one."""
    host, port = host_port(sock.getsockname())
    return None if host in {"0.0.0.0", "::"} else (host, port)


def describe(sock: Any, is_tls: bool) -> str:
    """Return where a socket listens, for the log."""
    scheme = "https" if is_tls else "http"
    name = sock.getsockname()
    if isinstance(name, tuple):
        host = f"[{name[0]}]" if ":" in str(name[0]) else name[0]
        return f"{scheme}://{host}:{name[1]}"
    return f"{scheme}:{name}"
