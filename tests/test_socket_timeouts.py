"""Green sockets: how long they wait, who runs meanwhile, and what does not wait at all."""

import errno
import time

import pytest

import eventlet
from eventlet.green import socket
from eventlet.greenio import GreenSocket
from support.sockets import READS, WRITES, drain, fill, parked

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("limit"),
]


def test_timeout_settings():
    with socket.socket() as sock:
        assert sock.gettimeout() is None
        assert sock.getblocking()
        sock.settimeout(3)
        assert sock.timeout == 3.0
        sock.settimeout(0)
        assert not sock.getblocking()
        assert sock.act_non_blocking
        sock.setblocking(True)
        assert sock.gettimeout() is None
        sock.act_non_blocking = True
        assert sock.gettimeout() == 0.0
        sock.act_non_blocking = False
        assert sock.gettimeout() is None
        with pytest.raises(TypeError):
            sock.settimeout("1")
        for wrong in (-1, float("nan")):
            with pytest.raises(ValueError):
                sock.settimeout(wrong)


@pytest.mark.parametrize("name", READS)
def test_reads_time_out(pair, name, clean_hub):
    one, _ = pair
    one.settimeout(0.01)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"^timed out$"):
        READS[name](one)
    assert time.monotonic() - began >= 0.01


@pytest.mark.parametrize("name", WRITES)
def test_writes_time_out(pair, name, clean_hub):
    one, _ = pair
    fill(one)
    one.settimeout(0.01)
    with pytest.raises(TimeoutError):
        WRITES[name](one)


@pytest.mark.parametrize("name", READS)
def test_reads_let_others_run(pair, name):
    one, two = pair
    reader = parked(READS[name], one)
    two.sendall(b"data")
    result = reader.wait()
    first = result[0] if isinstance(result, tuple) else result
    assert first in (b"data", 4)


@pytest.mark.parametrize("name", WRITES)
def test_writes_let_others_run(pair, name):
    one, two = pair
    size = fill(one)
    writer = parked(WRITES[name], one)
    drain(two, size)
    assert writer.wait() in (None, 1)
    assert two.recv(10) == b"x"


@pytest.mark.parametrize("name", [*READS, "accept"])
def test_non_blocking_reads(pair, name):
    one, _ = pair
    with eventlet.listen(("127.0.0.1", 0)) as listener:
        sock, function = (listener, GreenSocket.accept) if name == "accept" else (one, READS[name])
        sock.setblocking(False)
        with pytest.raises(BlockingIOError) as caught:
            function(sock)
    assert caught.value.errno == errno.EAGAIN


@pytest.mark.parametrize(
    "operation",
    [
        lambda sock, flags: sock.recv(10, flags),
        lambda sock, flags: sock.recv_into(bytearray(10), 0, flags),
        lambda sock, flags: sock.recvfrom(10, flags),
        lambda sock, flags: sock.recvfrom_into(bytearray(10), 0, flags),
        lambda sock, flags: sock.recvmsg(10, 0, flags),
        lambda sock, flags: sock.recvmsg_into([bytearray(10)], 0, flags),
        lambda sock, flags: sock.send(b"x", flags),
        lambda sock, flags: sock.sendmsg([b"x"], [], flags),
    ],
)
def test_a_flag_says_not_to_wait(pair, operation):
    one, _ = pair
    fill(one)
    assert one.gettimeout() is None
    with pytest.raises(BlockingIOError) as caught:
        operation(one, socket.MSG_DONTWAIT)
    assert caught.value.errno == errno.EAGAIN


def test_the_timeout_of_sendall_is_for_the_whole_of_it(pair):
    one, two = pair
    one.settimeout(0.2)
    stop = []

    def sip():
        # Takes a little again and again, so that no single wait is as long as the timeout.
        while not stop:
            two.recv(65536)
            eventlet.sleep(0.02)

    sipper = eventlet.spawn(sip)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        one.sendall(bytes(64 << 20))
    assert 0.2 <= time.monotonic() - began < 5
    stop.append(1)
    sipper.kill()


def test_eventlet_timeout_interrupts_a_read(pair, clean_hub):
    one, two = pair
    with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.01):
        one.recv(1)
    two.sendall(b"x")
    assert one.recv(1) == b"x"
