"""connect, listen and serve."""

import errno
import os
import socket as stdlib
import struct
import sys

import pytest

import eventlet
from eventlet import convenience
from eventlet.green import socket
from eventlet.greenio import GreenSocket

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("limit"),
]


@pytest.fixture
def serving(listener):
    """A function that serves the listener in a green thread, which is killed at the end."""
    servers = []

    def start(handle, *args):
        servers.append(eventlet.spawn(eventlet.serve, listener, handle, *args))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


def echo(conn, address):
    while data := conn.recv(100):
        conn.sendall(data)


def test_connect_and_listen(listener):
    assert type(listener) is GreenSocket
    assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert not listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
    with eventlet.connect(listener.getsockname(), bind=("127.0.0.1", 0)) as client:
        conn, address = listener.accept()
        assert address == client.getsockname()
        conn.close()


def test_connect_to_nobody_closes_its_socket(listener, monkeypatch):
    made = []
    monkeypatch.setattr(
        convenience.socket, "socket", lambda *args: made.append(GreenSocket(*args)) or made[-1]
    )
    address = listener.getsockname()
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        eventlet.connect(address)
    assert [sock.fileno() for sock in made] == [-1]


def test_listen_on_a_path(tmp_path):
    path = str(tmp_path / "listener")
    with eventlet.listen(path, socket.AF_UNIX) as listener:
        assert listener.getsockname() == path
        with eventlet.connect(path, socket.AF_UNIX) as client:
            assert client.getpeername() == path


def test_reuse_port(listener):
    address = listener.getsockname()
    listener.close()
    with eventlet.listen(address) as one, eventlet.listen(address) as two:
        assert one.getsockname() == two.getsockname()
    with eventlet.listen(address, reuse_port=False) as one:
        with pytest.raises(OSError) as caught:
            eventlet.listen(address, reuse_port=False)
        assert caught.value.errno == errno.EADDRINUSE
        assert one.fileno() != -1


def test_reuse_of_a_random_port_warns():
    with pytest.warns(convenience.ReuseRandomPortWarning) as caught:
        eventlet.listen(("127.0.0.1", 0), reuse_port=True).close()
    assert caught[0].filename == __file__


def test_missing_reuse_port_warns(monkeypatch):
    class Old(GreenSocket):
        def setsockopt(self, level, option, value):
            if option == socket.SO_REUSEPORT:
                raise OSError(errno.ENOPROTOOPT, "not here")
            super().setsockopt(level, option, value)

    monkeypatch.setattr(convenience.socket, "socket", Old)
    with pytest.warns(
        (convenience.ReusePortUnavailableWarning, convenience.ReuseRandomPortWarning)
    ) as caught:
        eventlet.listen(("127.0.0.1", 0), reuse_port=True).close()
    assert convenience.ReusePortUnavailableWarning in [warning.category for warning in caught]


def test_clients_are_served_at_the_same_time(listener, serving):
    serving(echo)
    clients = [eventlet.connect(listener.getsockname()) for _ in range(20)]
    for number, client in enumerate(clients):
        client.sendall(b"%d" % number)
    for number, client in reversed(list(enumerate(clients))):
        assert client.recv(10) == b"%d" % number
        client.close()


def test_the_connection_is_closed_when_the_handler_returns(listener, serving):
    serving(lambda conn, address: None)
    with eventlet.connect(listener.getsockname()) as client:
        assert client.recv(1) == b""


def test_an_exception_ends_the_server(listener, serving):
    def crash(conn, address):
        conn.recv(1)
        raise ZeroDivisionError

    server = serving(crash)
    with eventlet.connect(listener.getsockname()) as client:
        client.sendall(b"x")
        with pytest.raises(ZeroDivisionError):
            server.wait()
        assert client.recv(1) == b""


def test_a_killed_handler_does_not_end_the_server(listener, serving):
    threads = []

    def handle(conn, address):
        threads.append(eventlet.getcurrent())
        conn.recv(1)

    server = serving(handle)
    with eventlet.connect(listener.getsockname()) as client:
        while not threads:
            eventlet.sleep(0)
        eventlet.kill(threads[0])
        assert client.recv(1) == b""
    assert not server.dead


def test_stop_serve(listener, serving, capfd):
    def handle(conn, address):
        raise eventlet.StopServe

    server = serving(handle)
    with eventlet.connect(listener.getsockname()):
        assert server.wait() is None
    assert capfd.readouterr().err == ""


def test_concurrency_is_limited(listener, serving):
    running, most, release = [], [], eventlet.Event()

    def handle(conn, address):
        running.append(conn)
        most.append(len(running))
        conn.sendall(b"x")
        release.wait()
        running.remove(conn)

    serving(handle, 3)
    clients = [eventlet.connect(listener.getsockname()) for _ in range(8)]
    for client in clients[:3]:
        assert client.recv(1) == b"x"
    clients[3].settimeout(0.02)
    with pytest.raises(TimeoutError):
        clients[3].recv(1)
    release.send()
    for client in clients[3:]:
        client.settimeout(None)
        assert client.recv(1) == b"x"
    assert max(most) == 3


class Flaky:
    """A listener whose accept fails with these errors first."""

    def __init__(self, listener, *errors):
        self.listener = listener
        self.errors = list(errors)

    def accept(self):
        if self.errors:
            raise OSError(self.errors.pop(0), "simulated")
        return self.listener.accept()


def test_failed_connections_do_not_end_the_server(listener, capfd):
    flaky = Flaky(listener, errno.ECONNABORTED, errno.EPROTO, errno.ENETUNREACH)
    server = eventlet.spawn(eventlet.serve, flaky, echo)
    with eventlet.connect(listener.getsockname()) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    server.kill()
    assert capfd.readouterr().err == ""


def test_running_out_of_descriptors_does_not_end_the_server(listener, capfd):
    flaky = Flaky(listener, errno.EMFILE, errno.EMFILE, errno.ENFILE)
    server = eventlet.spawn(eventlet.serve, flaky, echo)
    with eventlet.connect(listener.getsockname()) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    server.kill()
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "cannot accept connections" in lines[0]


def test_other_errors_end_the_server(listener):
    with pytest.raises(OSError) as caught:
        eventlet.serve(Flaky(listener, errno.EINVAL), echo)
    assert caught.value.errno == errno.EINVAL


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_really_running_out_of_descriptors(run_python):
    result = run_python(
        """
import os, resource
import eventlet
from eventlet.green import socket

listener = eventlet.listen(("127.0.0.1", 0))
done = eventlet.Event()
served = []

def handle(conn, address):
    served.append(address)
    done.wait()

server = eventlet.spawn(eventlet.serve, listener, handle)
eventlet.sleep(0)
clients = [socket.socket() for _ in range(5)]
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
used = max(map(int, os.listdir("/proc/self/fd"))) + 1
resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, hard))
with eventlet.Timeout(10):
    for client in clients:
        client.connect(listener.getsockname())
    eventlet.sleep(0.1)
    assert len(served) < 5, served
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    while len(served) < 5:
        eventlet.sleep(0.01)
assert not server.dead
print("fine")
"""
    )
    assert result.stdout.strip() == "fine"
    assert result.stderr.count("cannot accept connections") == 1


def test_a_client_that_resets_at_once(listener, serving):
    server = serving(echo)
    for _ in range(20):
        rude = stdlib.create_connection(listener.getsockname())
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        rude.close()
    with eventlet.connect(listener.getsockname()) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    assert not server.dead


def test_import_stays_cheap(run_python):
    result = run_python(
        "import sys; before = set(sys.modules); import eventlet; "
        "new = set(sys.modules) - before; print(len(new), 'ssl' in new, 'socket' in new)"
    )
    count, ssl_loaded, socket_loaded = result.stdout.split()
    assert int(count) < 100
    assert (ssl_loaded, socket_loaded) == ("False", "False")


def test_names_are_found_without_an_import(run_python):
    run_python(
        """
import eventlet
assert eventlet.convenience.listen is eventlet.listen
assert eventlet.greenio.GreenSocket is not None
assert eventlet.green is not None
assert eventlet.wrap_ssl is eventlet.convenience.wrap_ssl
assert issubclass(eventlet.StopServe, Exception)
"""
    )
    assert os.path.exists(convenience.__file__)
