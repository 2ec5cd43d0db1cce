"""Green sockets: closing wakes who waits, and nothing reaches whoever gets the number next."""

import errno
import gc
import os
import weakref

import pytest

import eventlet
from eventlet import hubs
from eventlet.green import socket
from eventlet.greenio import GreenSocket
from support.sockets import READS, WRITES, drain, fill, pair_at, parked, plain_pair_at

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("limit"),
]


@pytest.mark.parametrize("how", ["close", "detach"])
@pytest.mark.parametrize("name", ["recv", "recvmsg", "sendall"])
def test_closing_wakes_who_waits(pair, how, name, clean_hub):
    one, _ = pair
    if name == "sendall":
        fill(one)
    waiter = parked(READS.get(name) or WRITES[name], one)
    fileno = one.fileno()
    getattr(one, how)()
    with pytest.raises(hubs.IOClosed) as caught:
        waiter.wait()
    assert caught.value.errno == errno.EBADF
    if how == "detach":
        os.close(fileno)


def test_closing_wakes_accept(listener, clean_hub):
    acceptor = parked(listener.accept)
    listener.close()
    with pytest.raises(hubs.IOClosed):
        acceptor.wait()


def test_closed_sockets_say_so(pair):
    one, _ = pair
    one.close()
    one.close()
    for function in (*READS.values(), *WRITES.values(), lambda s: s.accept()):
        with pytest.raises(OSError) as caught:
            function(one)
        assert caught.value.errno == errno.EBADF
    assert one.fileno() == -1


def test_shutdown_wakes_a_reader(pair):
    one, _ = pair
    reader = parked(one.recv, 10)
    one.shutdown(socket.SHUT_RDWR)
    assert reader.wait() == b""


def test_a_number_that_is_used_again_reaches_no_stranger(pair):
    one, two = pair
    reader = parked(one.recv, 10)
    fileno = one.fileno()
    one.close()
    # Somebody else gets the number while the reader has not run yet.
    fresh, peer = pair_at(fileno)
    with fresh, peer:
        peer.sendall(b"secret")
        fresh.sendall(b"secret")
        with pytest.raises(hubs.IOClosed):
            reader.wait()
        assert fresh.recv(10) == peer.recv(10) == b"secret"
    two.close()


def test_numbers_are_used_again_by_many():
    for _ in range(200):
        one, two = socket.socketpair()
        reader = parked(one.recv, 10)
        two.sendall(b"x")
        assert reader.wait() == b"x"
        one.close()
        two.close()


def test_a_number_left_by_a_socket_that_was_collected():
    one, two = socket.socketpair()
    parked(one.recv, 10).kill()
    fileno = one.fileno()
    del one
    gc.collect()
    plain, peer = plain_pair_at(fileno)
    with plain, peer, GreenSocket(plain) as green:
        reader = parked(green.recv, 10)
        peer.send(b"x")
        assert reader.wait() == b"x"
    two.close()


def test_two_readers_are_refused(pair):
    one, two = pair
    reader = parked(one.recv, 1)
    with pytest.raises(RuntimeError, match="Second simultaneous read"):
        one.recv(1)
    two.sendall(b"x")
    assert reader.wait() == b"x"


def test_two_readers_take_turns_if_that_is_wanted(pair):
    from eventlet import debug

    one, two = pair
    debug.hub_prevent_multiple_readers(False)
    try:
        readers = [parked(one.recv, 1) for _ in range(3)]
        two.sendall(b"abc")
        assert sorted(reader.wait() for reader in readers) == [b"a", b"b", b"c"]
    finally:
        debug.hub_prevent_multiple_readers(True)


def test_a_reader_and_a_writer_share_a_socket(pair):
    one, two = pair
    size = fill(one)
    writer = parked(one.sendall, b"end")
    reader = parked(one.recv, 10)
    two.sendall(b"in")
    assert reader.wait() == b"in"
    drain(two, size)
    writer.wait()
    assert two.recv(10) == b"end"


def test_memory_is_given_back():
    gc.collect()
    one, two = socket.socketpair()
    ref = weakref.ref(one.fd)
    reader = parked(one.recv, 1)
    two.sendall(b"x")
    reader.wait()
    one.close()
    del one, reader
    eventlet.sleep(0)
    gc.collect()
    assert ref() is None
    two.close()
