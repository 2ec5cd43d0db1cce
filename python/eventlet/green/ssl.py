"""The module ``ssl`` with sockets that let other green threads run while they wait.

The classes derive from the standard ones, and everything that TLS is about is the standard
library's doing. What is ours is what happens when an operation would have to wait.

Monkey patching leaves the names ``ssl.SSLContext`` and ``ssl.SSLSocket`` as they are, and changes
the classes: the sockets that contexts make are green, whenever and by whatever name the context was
made. So ``isinstance`` holds for what was made before and after, and the standard setters, which
look up their own class by name, find it.
"""

from __future__ import annotations

import _socket
import _ssl
import functools
import ssl as _original
from typing import Any

from eventlet._core import TlsMethods, retry_ssl
from eventlet.greenio.base import GreenSocket, _adopt
from eventlet.greenio.early import waiting

# Everything that the running Python has, whichever version it is; what is green comes afterwards.
globals().update(
    {name: value for name, value in vars(_original).items() if not name.startswith("__")}
)

#: What monkey patching puts into the standard module.
__patched__ = ["wrap_socket"]

timeout_exc = TimeoutError

_OriginalSocket = _original.SSLSocket
_OriginalContext = _original.SSLContext
_original_create: Any = _OriginalSocket.__dict__["_create"].__func__
_original_unwrap: Any = _OriginalSocket.unwrap


class _Made(GreenSocket):
    """Takes the call that the standard library makes while it creates an ``SSLSocket``.

    It calls ``super(SSLSocket, self).__init__``, and a program may have put `GreenSSLSocket` in the
    place of that name.
    """

    __slots__ = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        GreenSocket.__init__(self, *args, **kwargs)


class GreenSSLSocket(TlsMethods, _Made, _OriginalSocket, GreenSocket):
    """An ``ssl.SSLSocket`` whose operations let other green threads run while they wait.

    It is made by ``GreenSSLContext.wrap_socket``, by `wrap_socket`, or by calling the class with
    the arguments of `wrap_socket`.

    What `accept` returns does its handshake when it is first used, not in `accept`: so a client
    that is slow or fails there holds up nobody but the green thread that serves it.
    """

    _handshake_due = False
    #: Whether the last read has left nothing decrypted behind: native code looks at it and sets it.
    _drained = False

    # What the standard library keeps in these sockets.
    _check_connected: Any
    _connected: bool
    _sslobj: Any
    do_handshake_on_connect: bool
    suppress_ragged_eofs: bool

    def __new__(cls, sock: Any = None, *args: Any, **kwargs: Any) -> GreenSSLSocket:
        """Wrap a socket; without one, make what the standard library fills in."""
        if sock is None:
            made: GreenSSLSocket = _socket.socket.__new__(cls)
            return made
        context = kwargs.pop("_context", None)
        if context is None:
            return wrap_socket(sock, *args, **kwargs)
        created: GreenSSLSocket = cls._create(sock, *args, context=context, **kwargs)
        return created

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    @classmethod
    def _create(
        cls, sock: Any, *args: Any, do_handshake_on_connect: bool = True, **kwargs: Any
    ) -> Any:
        # The handshake is done here, so that one that is interrupted, by a `Timeout` or a kill,
        # leaves no descriptor behind.
        made: GreenSSLSocket = _original_create(
            cls, sock, *args, do_handshake_on_connect=False, **kwargs
        )
        made.do_handshake_on_connect = do_handshake_on_connect
        if made._connected and do_handshake_on_connect:
            try:
                if made.gettimeout() == 0:
                    raise ValueError(
                        "do_handshake_on_connect should not be specified for non-blocking sockets"
                    )
                made.do_handshake()
            except BaseException:
                made.close()
                raise
        return made

    def accept(self) -> tuple[GreenSSLSocket, Any]:
        """Wait for a connection; return it, as a server-side TLS socket, and the peer's address."""
        while True:
            sock, address = GreenSocket.accept(self)
            try:
                conn: GreenSSLSocket = type(self)._create(
                    sock,
                    server_side=True,
                    do_handshake_on_connect=False,
                    suppress_ragged_eofs=self.suppress_ragged_eofs,
                    context=self.context,
                )
            except OSError:
                # The client is gone already; that is no reason for the next one not to be served.
                sock.close()
                continue
            if not conn._connected:
                conn.close()
                continue
            conn.do_handshake_on_connect = self.do_handshake_on_connect
            conn._handshake_due = self.do_handshake_on_connect
            return conn, address

    def _accepted(self, family: int, type_: int, proto: int, fileno: int) -> GreenSocket:
        return _adopt(GreenSocket, family, type_, proto, fileno)

    def do_handshake(self, block: bool = False) -> None:
        """Do the TLS handshake. The socket's timeout is for the whole of it."""
        self._check_connected()
        self._handshake_due = False
        retry_ssl(self, self._sslobj.do_handshake)

    def _shake_hands(self) -> None:
        if self._handshake_due and self._sslobj is not None:
            self.do_handshake()

    def unwrap(self) -> Any:
        """Say goodbye and wait for the peer's answer; return the socket, which is plain then."""
        self._shake_hands()
        return retry_ssl(self, _original_unwrap, self)

    def dup(self) -> Any:
        """Not possible: the state of TLS cannot be duplicated."""
        raise NotImplementedError("Can't dup an ssl object")


def _after_handshake(name: str) -> Any:
    """Return a method that does the handshake first, if it is still due."""
    original = getattr(_OriginalSocket, name)

    @functools.wraps(original)
    def method(self: GreenSSLSocket, *args: Any, **kwargs: Any) -> Any:
        self._shake_hands()
        return original(self, *args, **kwargs)

    return method


for _name in (
    "cipher",
    "compression",
    "get_channel_binding",
    "get_unverified_chain",
    "get_verified_chain",
    "getpeercert",
    "selected_alpn_protocol",
    "shared_ciphers",
    "verify_client_post_handshake",
    "version",
):
    if hasattr(_OriginalSocket, _name):
        setattr(GreenSSLSocket, _name, _after_handshake(_name))

SSLSocket = GreenSSLSocket


def _green_handshake(self: Any, block: bool = False) -> None:
    """Do the TLS handshake."""
    if block and self.gettimeout() == 0:
        _original_handshake(self, block)
    else:
        _waiting_handshake(self)


_original_handshake: Any = _OriginalSocket.do_handshake
_waiting_handshake = waiting(_original_handshake, write=False)


def __also_patched__() -> list[tuple[Any, str, Any]]:
    """Return what monkey patching replaces in classes: triples of class, name and value."""
    return [
        (_OriginalContext, "sslsocket_class", GreenSSLSocket),
        (_OriginalSocket, "do_handshake", _green_handshake),
        (_OriginalSocket, "read", waiting(_OriginalSocket.read, write=False)),
        (_OriginalSocket, "send", waiting(_OriginalSocket.send, write=True)),
        (_OriginalSocket, "unwrap", waiting(_OriginalSocket.unwrap, write=False)),
        (_OriginalSocket, "write", waiting(_OriginalSocket.write, write=True)),
    ]


def _settable(name: str) -> Any:
    """Return a property of the context that is set past ``ssl.SSLContext``.

    The standard setters look their own class up by name. If a program has put ours in the place of
    that name, they would call themselves.
    """
    native = getattr(_ssl._SSLContext, name)

    def put(self: Any, value: Any) -> None:
        if name == "minimum_version" and value == _original.TLSVersion.SSLv3:
            self.options &= ~_original.OP_NO_SSLv3
        native.__set__(self, value)

    return getattr(_OriginalContext, name).setter(put)


class GreenSSLContext(_OriginalContext):
    """An ``ssl.SSLContext`` that makes green sockets."""

    __slots__ = ()

    sslsocket_class = GreenSSLSocket

    for _name in ("options", "verify_flags", "verify_mode", "minimum_version", "maximum_version"):
        if isinstance(getattr(_OriginalContext, _name, None), property):
            locals()[_name] = _settable(_name)
    del _name


SSLContext = GreenSSLContext


def wrap_socket(
    sock: Any,
    keyfile: Any = None,
    certfile: Any = None,
    server_side: bool = False,
    cert_reqs: int = _original.CERT_NONE,
    ssl_version: int | None = None,
    ca_certs: Any = None,
    do_handshake_on_connect: bool = True,
    suppress_ragged_eofs: bool = True,
    ciphers: str | None = None,
) -> GreenSSLSocket:
    """Put TLS over a socket, which is given up for the result. Works with every version of Python.

    :param keyfile: the private key (PEM), if it is not in `certfile`.
    :param certfile: our certificate (PEM); a server needs one.
    :param cert_reqs: CERT_NONE, CERT_OPTIONAL or CERT_REQUIRED: whether the peer has to have a
        certificate that `ca_certs` vouches for. Host names are not compared: use a context for
        that.
    :param ssl_version: a protocol constant; by default the best that both sides have.
    :param ca_certs: a file with certificates to trust (PEM).
    :param ciphers: an OpenSSL cipher list.
    """
    if certfile is None:
        if server_side:
            raise ValueError("certfile must be specified for server-side operations")
        if keyfile is not None:
            raise ValueError("certfile must be specified")
    if ssl_version is None or ssl_version == _original.PROTOCOL_TLS:
        ssl_version = (
            _original.PROTOCOL_TLS_SERVER if server_side else _original.PROTOCOL_TLS_CLIENT
        )
    context = GreenSSLContext(ssl_version)
    context.check_hostname = False
    context.verify_mode = _original.VerifyMode(cert_reqs)
    if ca_certs is not None:
        context.load_verify_locations(ca_certs)
    if certfile is not None:
        context.load_cert_chain(certfile, keyfile)
    if ciphers is not None:
        context.set_ciphers(ciphers)
    made = context.wrap_socket(
        sock,
        server_side=server_side,
        do_handshake_on_connect=do_handshake_on_connect,
        suppress_ragged_eofs=suppress_ragged_eofs,
    )
    assert isinstance(made, GreenSSLSocket)
    return made


_original_create_default_context = _original.create_default_context


def create_default_context(*args: Any, **kwargs: Any) -> GreenSSLContext:
    """As ``ssl.create_default_context``, for green sockets."""
    context = _original_create_default_context(*args, **kwargs)
    context.__class__ = GreenSSLContext
    assert isinstance(context, GreenSSLContext)
    return context


_create_default_https_context = create_default_context

_original_create_unverified: Any = _original._create_unverified_context


def _create_unverified_context(*args: Any, **kwargs: Any) -> GreenSSLContext:
    context = _original_create_unverified(*args, **kwargs)
    context.__class__ = GreenSSLContext
    assert isinstance(context, GreenSSLContext)
    return context


_create_stdlib_context = _create_unverified_context


def get_server_certificate(
    addr: tuple[str, int],
    ssl_version: int = _original.PROTOCOL_TLS_CLIENT,
    ca_certs: str | None = None,
    timeout: Any = None,
) -> str:
    """Return the certificate (PEM) of the TLS server at `addr`.

    It is checked if `ca_certs` names a file with certificates to trust. `timeout` is in seconds.
    """
    from eventlet.green.socket import create_connection

    required = _original.CERT_NONE if ca_certs is None else _original.CERT_REQUIRED
    sock = create_connection(addr, timeout)
    try:
        conn = wrap_socket(sock, cert_reqs=required, ssl_version=ssl_version, ca_certs=ca_certs)
    except BaseException:
        sock.close()
        raise
    with conn:
        return _original.DER_cert_to_PEM_cert(conn.getpeercert(True) or b"")
