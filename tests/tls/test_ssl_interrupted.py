"""TLS over green sockets: interrupted in each phase."""

import os

import pytest

import eventlet
from eventlet import hubs
from eventlet.green import socket
from support.sockets import parked

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("limit"),
]


def fill(sock):
    """Send until it would have to wait, and then wait."""
    while True:
        sock.sendall(bytes(1 << 20))


PHASES = {
    "read": lambda client: client.recv(1),
    "read into": lambda client: client.recv_into(bytearray(1)),
    "unwrap": lambda client: client.unwrap(),
    "write": fill,
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("how", ["timeout", "kill", "close", "settimeout"])
def test_interrupted(pair, phase, how, clean_hub):
    client, _ = pair
    if how == "settimeout":
        client.settimeout(0.01)
        with pytest.raises(TimeoutError, match="timed out"):
            PHASES[phase](client)
        return
    if how == "timeout":
        with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.01):
            PHASES[phase](client)
        return
    thread = parked(PHASES[phase], client)
    if how == "kill":
        thread.kill()
        assert thread.dead
    else:
        client.close()
        with pytest.raises(hubs.IOClosed):
            thread.wait()


@pytest.mark.parametrize("how", ["timeout", "kill", "close", "settimeout"])
@pytest.mark.parametrize("server_side", [False, True])
def test_interrupted_handshake(client_context, server_context, how, server_side, clean_hub):
    """It closes the descriptor that it was given; nothing is left to a collector."""
    plain, peer = socket.socketpair()
    fileno = plain.fileno()
    context = server_context if server_side else client_context
    name = {} if server_side else {"server_hostname": "localhost"}

    def wrap():
        return context.wrap_socket(plain, server_side=server_side, **name)

    with peer:
        if how == "settimeout":
            plain.settimeout(0.01)
            with pytest.raises(TimeoutError, match="timed out"):
                wrap()
        elif how == "timeout":
            with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.01):
                wrap()
        elif how == "kill":
            thread = parked(wrap)
            thread.kill()
            assert thread.dead
        else:
            thread = parked(wrap)
            peer.close()
            with pytest.raises(OSError):
                thread.wait()
        with pytest.raises(OSError):
            os.fstat(fileno)


@pytest.mark.parametrize("read_before", [False, True])
@pytest.mark.parametrize("name", ["recv", "recv_into"])
def test_shutdown_ends_a_read(pair, read_before, name):
    client, server = pair
    if read_before:
        server.sendall(b"x")
        assert client.recv(10) == b"x"
    reader = parked(getattr(client, name), 10 if name == "recv" else bytearray(10))
    client.shutdown(socket.SHUT_RDWR)
    assert reader.wait() in (b"", 0)
    with pytest.raises(ValueError, match="closed or unwrapped"):
        client.read(1)


def test_a_reader_that_timed_out_reads_on(pair):
    client, server = pair
    for number in range(5):
        with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.001):
            client.recv(10)
        data = b"message %d" % number
        server.sendall(data)
        assert client.recv(100) == data
