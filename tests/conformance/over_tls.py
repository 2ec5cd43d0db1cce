"""Puts the servers and clients of the tests on TLS, for ``run.py --tls``.

What `eventlet.listen` returns is then a TLS listener, every `wsgi.Server` gets one, and
`eventlet.connect` returns a TLS socket whose handshake is done. A test that makes TLS sockets
itself runs as it is.

As a program, it runs another one in that way: ``python conformance_tls.py PROGRAM``.
"""

import contextlib
import errno
import os
import pathlib
import runpy
import ssl
import sys
import types
from unittest import mock

import eventlet
import eventlet.wsgi
from eventlet.green.ssl import GreenSSLContext, GreenSSLSocket
from eventlet.greenio import GreenSocket

TESTS = pathlib.Path(__file__).resolve().parent / "tests"
# What a test calls that makes TLS sockets itself.
MAKERS = {"wrap_ssl", "wrap_socket"}

_listen, _connect, _init = eventlet.listen, eventlet.connect, eventlet.wsgi.Server.__init__


class Listener(GreenSSLSocket):
    """A listening TLS socket; it has no session yet, so it can be duplicated."""

    def dup(self):
        assert self._sslobj is None
        return secured(GreenSocket(fileno=os.dup(self.fileno())))


class Client(GreenSSLSocket):
    """A TLS socket that says that the peer has hung up as a plain socket does."""

    def send(self, *args):
        with as_plain():
            return super().send(*args)

    def sendall(self, *args):
        with as_plain():
            return super().sendall(*args)


@contextlib.contextmanager
def as_plain():
    try:
        yield
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
        raise BrokenPipeError(errno.EPIPE, str(error)) from error


class ServerContext(GreenSSLContext):
    sslsocket_class = Listener


class ClientContext(GreenSSLContext):
    sslsocket_class = Client


server_context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
server_context.load_cert_chain(TESTS / "test_server.crt", TESTS / "test_server.key")
client_context = ClientContext(ssl.PROTOCOL_TLS_CLIENT)
client_context.check_hostname = False
client_context.verify_mode = ssl.CERT_NONE


def secured(listener):
    """Return a listening socket as one that speaks TLS."""
    if isinstance(listener, ssl.SSLSocket):
        return listener
    return server_context.wrap_socket(listener, server_side=True)


def listen(*args, **kwargs):
    return secured(_listen(*args, **kwargs))


def connect(*args, **kwargs):
    return client_context.wrap_socket(_connect(*args, **kwargs))


def init(self, socket, *args, **kwargs):
    _init(self, secured(socket), *args, **kwargs)


def run_isolated(path):
    """Do what the function of this name in the tests does, on TLS, too."""
    from tests import run_python

    run_python(__file__, args=[TESTS / "isolated" / path], expect_pass=True)


@contextlib.contextmanager
def everything(test=None):
    """Put on TLS what is made within; not for a test that sees to it itself.

    A test that names the scheme of its server gets the one that this has: the log shows it.
    """
    with contextlib.ExitStack() as stack:
        if test is not None:
            code = test.__code__
            if not MAKERS.isdisjoint(names(code)):
                yield
                return
            constants = tuple("https:" if each == "http:" else each for each in code.co_consts)
            test.__code__ = code.replace(co_consts=constants)
            stack.callback(setattr, test, "__code__", code)
            stack.enter_context(mock.patch("tests.run_isolated", run_isolated))
        stack.enter_context(mock.patch.object(eventlet, "listen", listen))
        stack.enter_context(mock.patch.object(eventlet, "connect", connect))
        stack.enter_context(mock.patch.object(eventlet.wsgi.Server, "__init__", init))
        yield


def names(code):
    """Return the names that a function and those in it use."""
    found = set(code.co_names)
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            found |= names(each)
    return found


if __name__ == "__main__":
    del sys.argv[0]
    with everything():
        runpy.run_path(sys.argv[0], run_name="__main__")
