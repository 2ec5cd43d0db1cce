"""Green sockets: what is sent arrives, all of it, as every method of theirs gives it."""

import array
import os
import struct

import pytest

import eventlet
from eventlet.green import socket
from support.sockets import parked

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("limit"),
]


def test_end_of_stream(pair):
    one, two = pair
    two.close()
    assert one.recv(10) == b""
    assert one.recv_into(bytearray(10)) == 0


def test_reset_counts_as_the_end():
    with eventlet.listen(("127.0.0.1", 0)) as listener:
        client = eventlet.connect(listener.getsockname())
        conn, _ = listener.accept()
        reader = parked(conn.recv, 10)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert reader.wait() == b""
        conn.close()


def test_recv_sizes(pair):
    one, two = pair
    data = os.urandom(200_000)
    sender = eventlet.spawn(two.sendall, data)
    received = b""
    while len(received) < len(data):
        received += one.recv(1 << 20)
    sender.wait()
    assert received == data
    with pytest.raises(ValueError, match="negative"):
        one.recv(-1)
    with pytest.raises((MemoryError, OverflowError)):
        one.recv(1 << 62)


def test_after_a_short_read_nothing_is_lost(pair):
    one, two = pair

    def read():
        """Empty the socket, so that the next read waits without trying."""
        two.sendall(b"first")
        assert one.recv(100) == b"first"

    read()
    two.sendall(b"second")
    eventlet.sleep(0)  # the hub hears of it while nobody waits
    assert one.recv(3) == b"sec"
    assert one.recv(3) == b"ond"

    # Data wakes a reader whose time is up in the same moment, and who leaves it to the next.
    read()
    reader = parked(one.recv, 100)
    two.sendall(b"third")
    reader.kill()
    assert one.recv(100) == b"third"

    read()
    one.setblocking(False)
    two.sendall(b"fourth")
    assert one.recv(100) == b"fourth"
    with pytest.raises(BlockingIOError):
        one.recv(100)
    one.setblocking(True)

    read()
    two.sendall(b"fifth")
    assert one.recv(1, socket.MSG_PEEK) == b"f"
    buffer = bytearray(2)
    assert one.recv_into(buffer) == 2
    assert one.recv(100) == b"fth"

    read()
    two.sendall(b"last")
    two.close()
    eventlet.sleep(0)
    assert one.recv(100) == b"last"
    assert one.recv(100) == b""
    assert one.recv(100) == b""


def test_data_and_the_end_of_the_stream_at_once(pair):
    one, two = pair
    reader = parked(one.recv, 100)
    two.sendall(b"last")
    two.close()  # one event tells of both
    assert reader.wait() == b"last"
    assert one.recv(100) == b""


def test_shutting_down_after_a_short_read(pair):
    one, two = pair
    for _ in range(2):
        two.sendall(b"data")
        assert one.recv(100) == b"data"
    one.shutdown(socket.SHUT_RD)
    assert one.recv(100) == b""


def test_urgent_data_stops_a_read_short():
    with eventlet.listen(("127.0.0.1", 0)) as listener:
        one = eventlet.connect(listener.getsockname())
        two, _ = listener.accept()
    with one, two:
        reader = parked(one.recv, 100)
        two.sendall(b"ab")
        assert reader.wait() == b"ab"
        two.sendall(b"cd")
        two.send(b"!", socket.MSG_OOB)
        two.sendall(b"ef")
        received = b""
        while len(received) < 4:
            received += one.recv(100)
        assert received == b"cdef"


def test_a_duplicate_is_read_by_another(pair):
    one, two = pair
    with one.dup() as other:
        for sock in (one, other, one, other, other, one):
            reader = parked(sock.recv, 100)
            two.sendall(b"data")
            assert reader.wait() == b"data"
            two.sendall(b"more")
            assert sock.recv(100) == b"more"


def test_recv_of_nothing_waits(pair):
    one, two = pair
    one.settimeout(0.01)
    with pytest.raises(TimeoutError):
        one.recv(0)
    two.sendall(b"x")
    assert one.recv(0) == b""
    assert one.recv(1) == b"x"


def test_recv_flags(pair):
    one, two = pair
    two.sendall(b"data")
    assert one.recv(2, socket.MSG_PEEK) == b"da"
    assert one.recv(10) == b"data"


def test_recv_into_buffers(pair):
    one, two = pair
    two.sendall(b"abcdefgh")
    buffer = bytearray(4)
    assert one.recv_into(buffer) == 4
    assert buffer == b"abcd"
    assert one.recv_into(memoryview(buffer)[2:], 1) == 1
    assert buffer == b"abed"
    numbers = array.array("H", [0, 0])
    assert one.recv_into(numbers, 2) == 2
    assert numbers.tobytes()[:2] == b"fg"
    with pytest.raises(ValueError, match="too small"):
        one.recv_into(buffer, 5)
    with pytest.raises(ValueError, match="negative"):
        one.recv_into(buffer, -1)
    with pytest.raises(TypeError, match="read-write"):
        one.recv_into(b"fixed")
    with pytest.raises(TypeError):
        one.recv_into(None)


def test_a_buffer_cannot_be_resized_while_it_is_waited_for(pair):
    one, two = pair
    buffer = bytearray(4)
    reader = parked(one.recv_into, buffer)
    with pytest.raises(BufferError):
        buffer.extend(b"more")
    two.sendall(b"data")
    assert reader.wait() == 4
    buffer.extend(b"more")


def test_send_takes_what_is_bytes_like(pair):
    one, two = pair
    for data in (
        b"abcd",
        bytearray(b"abcd"),
        memoryview(b"xabcdx")[1:5],
        array.array("B", b"abcd"),
    ):
        assert one.send(data) == 4
        assert two.recv(10) == b"abcd"
    for wrong in ("text", 1, None, [b"x"]):
        with pytest.raises(TypeError):
            one.send(wrong)
        with pytest.raises(TypeError):
            one.sendall(wrong)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_sendall_sends_all(pair, kind):
    one, two = pair
    data = os.urandom(8 << 20)
    sender = parked(one.sendall, kind(data))
    received = bytearray()
    while len(received) < len(data):
        received += two.recv(1 << 16)
    assert sender.wait() is None
    assert received == data


def test_sending_to_a_closed_peer_raises(pair):
    one, two = pair
    two.close()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        one.sendall(bytes(64 << 20))


def test_makefile(pair):
    one, two = pair
    with one.makefile("rwb") as file, two.makefile("rw", encoding="utf-8", newline="\n") as text:
        reader = parked(text.readline)
        file.write("zwölf\n".encode())
        file.flush()
        assert reader.wait() == "zwölf\n"
        one.close()
        assert one.fileno() != -1, "the file keeps the descriptor"
    assert one.fileno() == -1


def test_makefile_after_a_timeout(pair):
    one, two = pair
    one.settimeout(0.01)
    with one.makefile("rb") as file:
        with pytest.raises(TimeoutError):
            file.readline()
        two.sendall(b"line\n")
        with pytest.raises(OSError, match="cannot read from timed out object"):
            file.readline()


def test_sendfile(pair, tmp_path):
    one, two = pair
    data = os.urandom(3 << 20)
    path = tmp_path / "data"
    path.write_bytes(data)
    received = bytearray()

    def receive():
        while piece := two.recv(1 << 20):
            received.extend(piece)

    receiver = eventlet.spawn(receive)
    with path.open("rb") as file:
        assert one.sendfile(file, 5, 2 << 20) == 2 << 20
        assert file.tell() == (2 << 20) + 5
        assert one.sendfile(file, (2 << 20) + 5) == len(data) - (2 << 20) - 5
    one.close()
    receiver.wait()
    assert received == data[5:]


def test_sendfile_without_a_descriptor(pair):
    import io

    one, two = pair
    assert one.sendfile(io.BytesIO(b"from memory")) == 11
    assert two.recv(100) == b"from memory"
