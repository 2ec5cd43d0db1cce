"""The client's side of the opening handshake."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from eventlet import _core
from eventlet.green import socket
from eventlet.timeout import Timeout
from eventlet.websocket._errors import HandshakeError
from eventlet.websocket._hixie import DEFAULT_MAX_FRAME_LENGTH
from eventlet.websocket._rfc6455 import RFC6455WebSocket, check_pings

__all__ = ["connect"]

_OFFER = "permessage-deflate; client_max_window_bits"

#: The longest head of an answer that is read, in bytes.
_MAX_HEAD = 65536

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


def connect(
    url: str,
    subprotocols: Iterable[str] = (),
    headers: Headers | None = None,
    ssl: Any = None,
    timeout: float | None = None,
    *,
    origin: str | None = None,
    compression: bool = True,
    proxy: bool | str | None = True,
    sock: Any = None,
    source_address: tuple[str, int] | None = None,
    max_frame_length: int = DEFAULT_MAX_FRAME_LENGTH,
    max_message_length: int | None = None,
    ping_interval: float | None = None,
    ping_timeout: float | None = None,
) -> RFC6455WebSocket:
    """Open a WebSocket, and return it; it can be iterated over, and used in a ``with`` statement.

    :param url: ``ws://`` or ``wss://``; with a user and a password, they are sent (Basic
        authentication).
    :param subprotocols: names to offer; ``protocol`` of the result is the one that the server has
        chosen, or None.
    :param headers: to send along, as a mapping or as pairs.
    :param ssl: an ``ssl.SSLContext`` for ``wss://``; None for the default, which verifies the
        server.
    :param timeout: seconds for all of the opening; None for no limit. Later waits have limits of
        their own.
    :param origin: what to send as ``Origin``.
    :param compression: whether to offer permessage-deflate.
    :param proxy: the URL of an HTTP proxy; True for what the environment says (``http_proxy`` for
        ``ws://``, ``https_proxy`` for ``wss://``, and ``no_proxy``); None or False for none.
    :param sock: a connected stream socket to use instead of a new one, such as a Unix socket; it is
        closed if this fails.
    :param source_address: host and port to connect from.
    :param max_frame_length: the longest payload of a frame that is accepted, in bytes.
    :param max_message_length: the longest message that is accepted, decompressed, in bytes; None:
        as `max_frame_length`.
    :param ping_interval: seconds between two pings; None for none.
    :param ping_timeout: seconds that the server may take to show a sign of life after a ping; None:
        as `ping_interval`. Then the connection is given up.
    :raises ValueError: for an URL, a proxy, a header, a name or a number of seconds that cannot be.
    :raises HandshakeError: if the server, or the proxy, answers anything but yes.
    :raises TimeoutError: when `timeout` is over.
    :raises OSError: if there is no connection, or TLS fails.
    """
    target = _Target(url)
    check_pings(ping_interval, ping_timeout)
    names = [subprotocols] if isinstance(subprotocols, str) else list(subprotocols)
    key = _core.websocket_key()
    request = _request(target, key, names, headers, origin, compression)
    via = None if sock is not None else _choose_proxy(target, proxy)
    limit = TimeoutError(f"no WebSocket to {target.host} within {timeout} seconds")
    with Timeout(timeout, limit):
        if sock is None:
            sock = _connect_to(target, via, source_address)
        try:
            if target.is_tls:
                sock = _wrap(sock, ssl, target.host)
            sock.sendall(request)
            status, answers, received = _read_answer(sock)
            extensions, protocol = _check(status, answers, received, key, names, compression)
            ws = RFC6455WebSocket(
                sock,
                {},
                client=True,
                protocol=protocol,
                extensions=extensions,
                max_frame_length=max_frame_length,
                max_message_length=max_message_length,
            )
            ws.path = target.path
            ws.origin = origin
            if received:
                ws._feed(received)
            if ping_interval is not None:
                ws.keep_alive(ping_interval, ping_timeout)
        except BaseException:
            sock.close()
            raise
    return ws


class _Target:
    """What an URL says."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"ws", "wss"}:
            raise ValueError(f"the scheme of a WebSocket's URL is ws or wss: {url!r}")
        if not parts.hostname:
            raise ValueError(f"an URL without a host: {url!r}")
        if parts.fragment:
            raise ValueError(f"the URL of a WebSocket has no fragment: {url!r}")
        self.is_tls = parts.scheme == "wss"
        self.host = _ascii_host(parts.hostname)
        default = 443 if self.is_tls else 80
        self.port = default if parts.port is None else parts.port
        self.authorization = _credentials(parts)
        self.path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not self.path.isascii() or not self.path.isprintable() or " " in self.path:
            raise ValueError(f"an URL with characters that need escapes: {url!r}")
        name = f"[{self.host}]" if ":" in self.host else self.host
        self.address = f"{name}:{self.port}"
        self.authority = name if self.port == default else self.address


def _ascii_host(host: str) -> str:
    return host if host.isascii() else host.encode("idna").decode()


def _credentials(parts: SplitResult) -> str | None:
    """Return what `Authorization` says of the user and the password in an URL."""
    if parts.username is None:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _request(
    target: _Target,
    key: str,
    names: list[str],
    headers: Headers | None,
    origin: str | None,
    compression: bool,
) -> bytes:
    fields = [
        ("Host", target.authority),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Version", "13"),
    ]
    for name in names:
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"no name of a sub-protocol: {name!r}")
    if names:
        fields.append(("Sec-WebSocket-Protocol", ", ".join(names)))
    if compression:
        fields.append(("Sec-WebSocket-Extensions", _OFFER))
    if origin is not None:
        fields.append(("Origin", origin))
    if target.authorization is not None:
        fields.append(("Authorization", target.authorization))
    if headers is not None:
        fields += headers.items() if isinstance(headers, Mapping) else headers
    return _encode(f"GET {target.path} HTTP/1.1", fields)


def _encode(first_line: str, fields: Iterable[tuple[str, str]]) -> bytes:
    lines = [first_line]
    for name, value in fields:
        if not _TOKEN.fullmatch(name) or any(character in "\r\n\0" for character in value):
            raise ValueError(f"no header: {name!r}: {value!r}")
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _choose_proxy(target: _Target, proxy: bool | str | None) -> SplitResult | None:
    """Return the URL of the proxy to go through."""
    if proxy is True:
        from urllib.request import getproxies, proxy_bypass

        proxies = getproxies()
        proxy = proxies.get("https" if target.is_tls else "http") or proxies.get("all")
        if not proxy or proxy_bypass(target.address):
            return None
    if not proxy:
        return None
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"not the URL of an HTTP proxy: {proxy!r}")
    return parts


def _connect_to(
    target: _Target, via: SplitResult | None, source_address: tuple[str, int] | None
) -> Any:
    if via is None:
        address = (target.host, target.port)
        return _without_delay(socket.create_connection(address, None, source_address))
    address = (_ascii_host(via.hostname or ""), 80 if via.port is None else via.port)
    sock = _without_delay(socket.create_connection(address, None, source_address))
    try:
        fields = [("Host", target.address)]
        authorization = _credentials(via)
        if authorization is not None:
            fields.append(("Proxy-Authorization", authorization))
        sock.sendall(_encode(f"CONNECT {target.address} HTTP/1.1", fields))
        status, headers, received = _read_answer(sock)
        if not 200 <= status <= 299:
            raise HandshakeError(
                f"the proxy {address[0]}:{address[1]} answers {status}", status, headers, received
            )
        if received:
            raise HandshakeError("the proxy sends more than its answer", status, headers)
    except BaseException:
        sock.close()
        raise
    return sock


def _without_delay(sock: Any) -> Any:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _wrap(sock: Any, context: Any, host: str) -> Any:
    from eventlet.green import ssl

    if context is None:
        context = ssl.create_default_context()
    # Whatever class its sockets have otherwise, this one is green.
    return ssl.GreenSSLSocket._create(
        sock, server_side=False, server_hostname=host, context=context
    )


def _read_answer(sock: Any) -> tuple[int, dict[str, str], bytes]:
    """Return the status code and the headers of an answer, and what has come after them."""
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0:
        if len(received) > _MAX_HEAD:
            raise HandshakeError(f"an answer with a head of more than {_MAX_HEAD} bytes")
        more = sock.recv(8192)
        if not more:
            raise HandshakeError("the connection was closed before an answer", body=received)
        received += more
    first, *lines = received[:end].decode("latin-1").split("\r\n")
    found = re.fullmatch(r"HTTP/1\.[01] ([0-9]{3})(?: .*)?", first)
    if found is None:
        raise HandshakeError(f"no answer of an HTTP server: {first[:80]!r}", body=received)
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name):
            raise HandshakeError(f"an answer with an invalid header: {line[:80]!r}")
        name = name.lower()
        value = value.strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return int(found[1]), headers, received[end + 4 :]


def _check(
    status: int,
    headers: dict[str, str],
    received: bytes,
    key: str,
    names: list[str],
    compression: bool,
) -> tuple[dict[str, Any], str | None]:
    """Return the extensions and the sub-protocol of the server's answer (RFC 6455 section 4.1)."""

    def refuse(reason: str) -> HandshakeError:
        return HandshakeError(reason, status, headers, received)

    if status != 101:
        where = f" (to {headers['location']})" if "location" in headers else ""
        raise refuse(f"the server answers {status}{where} instead of opening a WebSocket")
    if headers.get("upgrade", "").lower() != "websocket":
        raise refuse("the server's answer lacks 'Upgrade: websocket'")
    connection = headers.get("connection", "").lower().split(",")
    if "upgrade" not in (option.strip() for option in connection):
        raise refuse("the server's answer lacks 'Connection: Upgrade'")
    if headers.get("sec-websocket-accept") != _core.websocket_accept(key):
        raise refuse("the server's answer has a Sec-WebSocket-Accept for another key")
    protocol = headers.get("sec-websocket-protocol")
    if protocol is not None and protocol not in names:
        raise refuse(f"the server has chosen a sub-protocol that was not offered: {protocol!r}")
    try:
        extensions = _core.websocket_agree(
            _OFFER if compression else "", headers.get("sec-websocket-extensions", "")
        )
    except ValueError as error:
        raise refuse(str(error)) from None
    return extensions, protocol
