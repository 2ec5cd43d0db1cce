"""`eventlet.green.SocketServer`, `asyncore` and `asynchat`, in one OS thread with their clients."""

from __future__ import annotations

import importlib
import importlib.util
import os
import socketserver as original
import warnings

import pytest

import eventlet
from eventlet.green import SocketServer

pytestmark = pytest.mark.usefixtures("limit")

LONG = 20


class Upper(SocketServer.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())


def serve(server):
    """Accept without end."""
    while True:
        server.process_request(*server.get_request())


def ask(address, line, family=eventlet.green.socket.AF_INET):
    sock = eventlet.connect(address, family)
    with sock, sock.makefile("rwb", 0) as stream:
        stream.write(line)
        return stream.readline()


def test_connections_are_served_at_the_same_time():
    with SocketServer.ThreadingTCPServer(("127.0.0.1", 0), Upper) as server:
        server.daemon_threads = True
        thread = eventlet.spawn(serve, server)
        idle = eventlet.connect(server.server_address)
        assert ask(server.server_address, b"abc\n") == b"ABC\n"
        idle.close()
        thread.kill()


def test_serve_until_it_is_shut_down():
    with SocketServer.ThreadingTCPServer(("127.0.0.1", 0), Upper) as server:
        server.daemon_threads = True
        thread = eventlet.spawn(server.serve_forever, LONG)
        assert ask(server.server_address, b"abc\n") == b"ABC\n"
        stopped = eventlet.spawn(server.shutdown)
        # It looks whether it is to stop when somebody connects, or after `LONG` seconds.
        eventlet.sleep(0)
        eventlet.connect(server.server_address).close()
        stopped.wait()
        thread.wait()


def test_unix_socket(tmp_path):
    path = str(tmp_path / "socket")
    with SocketServer.ThreadingUnixStreamServer(path, Upper) as server:
        server.daemon_threads = True
        thread = eventlet.spawn(serve, server)
        assert ask(path, b"abc\n", eventlet.green.socket.AF_UNIX) == b"ABC\n"
        thread.kill()


def test_datagrams():
    class Echo(SocketServer.DatagramRequestHandler):
        def handle(self):
            self.wfile.write(self.rfile.read()[::-1])

    with SocketServer.UDPServer(("127.0.0.1", 0), Echo) as server:
        thread = eventlet.spawn(serve, server)
        socket = eventlet.green.socket
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"abc", server.server_address)
            assert sock.recv(10) == b"cba"
        thread.kill()


def test_all_names_are_there_and_the_original_is_left_alone():
    assert not {*dir(original)} - {*dir(SocketServer)}
    assert original.TCPServer is not SocketServer.TCPServer
    assert original.socket is not SocketServer.socket
    assert original.os is os


@pytest.mark.parametrize(("name", "blocking"), [("asyncore", "socket"), ("asynchat", "asyncore")])
def test_asyncore_where_there_is_one(name, blocking):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        green = importlib.import_module(f"eventlet.green.{name}")
        if importlib.util.find_spec(name) is None:
            assert not [each for each in dir(green) if each.startswith("async_")]
            return
        there = importlib.import_module(name)
    assert not {each for each in {*dir(there)} - {*dir(green)} if not each.startswith("__")}
    assert getattr(green, blocking) is not getattr(there, blocking)
