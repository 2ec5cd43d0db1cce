"""Green sockets that stand for another socket, a plain or a green one."""

import errno
import gc
import socket as stdlib

import pytest

import eventlet
from eventlet import hubs
from eventlet.greenio import GreenSocket
from support.sockets import parked, plain_pair_at

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("limit"),
]


def test_standing_for_a_plain_socket():
    plain, peer = stdlib.socketpair()
    plain.settimeout(7)
    with peer:
        green = GreenSocket(plain)
        assert isinstance(green, GreenSocket)
        assert green.fd is plain
        assert green.fileno() == plain.fileno()
        assert (green.family, green.type, green.proto) == (plain.family, plain.type, plain.proto)
        assert green.gettimeout() == 7.0
        assert green.getsockname() == plain.getsockname()
        reader = parked(green.recv, 10)
        peer.send(b"x")
        assert reader.wait() == b"x"
        green.sendall(b"y")
        assert peer.recv(10) == b"y"
        green.sendmsg([b"z"])
        assert peer.recv(10) == b"z"
        green.close()
        assert plain.fileno() == green.fileno() == -1
        with pytest.raises(OSError) as caught:
            green.recv(1)
        assert caught.value.errno == errno.EBADF


def test_a_stand_in_never_closes_what_is_not_its_own():
    plain, peer = stdlib.socketpair()
    with plain, peer:
        green = GreenSocket(plain)
        del green
        gc.collect()
        plain.setblocking(True)
        peer.send(b"x")
        assert plain.recv(1) == b"x"
        green = GreenSocket(plain)
        fileno = plain.fileno()
        plain.close()
        other, other_peer = plain_pair_at(fileno)
        with other, other_peer:
            other_peer.send(b"not for you")
            with pytest.raises(OSError):
                green.recv(1)
            green.close()
            del green
            gc.collect()
            assert other.recv(100) == b"not for you"


def test_closing_a_stand_in_wakes_who_waits():
    plain, peer = stdlib.socketpair()
    with plain, peer:
        green = GreenSocket(plain)
        reader = parked(green.recv, 10)
        green.close()
        with pytest.raises(hubs.IOClosed):
            reader.wait()


def test_standing_for_a_listener():
    with stdlib.socket() as plain:
        plain.bind(("127.0.0.1", 0))
        plain.listen()
        plain.setblocking(False)
        green = GreenSocket(plain)
        acceptor = parked(green.accept)
        with eventlet.connect(green.getsockname()) as client:
            conn, address = acceptor.wait()
            assert type(conn) is GreenSocket
            assert address == client.getsockname()
            conn.close()


def test_standing_for_a_green_socket(pair):
    one, two = pair
    one.settimeout(5)
    stand_in = GreenSocket(one)
    assert stand_in.gettimeout() == 5.0
    reader = parked(stand_in.recv, 10)
    two.sendall(b"x")
    assert reader.wait() == b"x"
    with stand_in.makefile("rb") as file:
        stand_in.close()
        two.sendall(b"line\n")
        assert file.readline() == b"line\n"
    assert one.fileno() == -1


def test_a_subclass_can_stand_for_a_socket():
    class Mine(GreenSocket):
        def greet(self):
            self.sendall(b"hello")

    plain, peer = stdlib.socketpair()
    with plain, peer:
        mine = Mine(plain)
        assert isinstance(mine, Mine)
        mine.greet()
        assert peer.recv(10) == b"hello"
        with mine.dup() as copy:
            assert type(copy) is Mine
            assert copy.fileno() != mine.fileno()
