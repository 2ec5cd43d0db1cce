"""The rest of eventlet.greenio: pipes and helpers."""

import errno
import io
import os
import pty
import socket as stdlib

import pytest

import eventlet
from eventlet import greenio, hubs
from eventlet.green import socket
from support.sockets import parked

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("limit"),
]


@pytest.fixture
def pipe():
    """The two ends of a pipe, green and unbuffered."""
    reader, writer = os.pipe()
    with greenio.GreenPipe(reader, "rb", 0) as one, greenio.GreenPipe(writer, "wb", 0) as two:
        yield one, two


def test_reading_lets_others_run(pipe):
    one, two = pipe
    reader = parked(one.read, 100)
    two.write(b"data")
    assert reader.wait() == b"data"
    buffer = bytearray(2)
    reader = parked(one.readinto, buffer)
    two.write(b"xyz")
    assert reader.wait() == 2
    assert buffer == b"xy"
    assert one.read(10) == b"z"


def test_writing_lets_others_run(pipe):
    one, two = pipe
    data = os.urandom(1 << 20)
    writer = parked(two.write, data)
    received = b""
    while len(received) < len(data):
        received += one.read(65536)
    assert writer.wait() == len(data)
    assert received == data


def test_reading_to_the_end(pipe):
    one, two = pipe
    reader = parked(one.read)
    two.write(b"some")
    eventlet.sleep(0)
    two.write(b"thing")
    two.close()
    assert reader.wait() == b"something"
    assert one.read(1) == b""


def test_closing_wakes_who_waits(pipe, clean_hub):
    one, _ = pipe
    reader = parked(one.read, 1)
    one.close()
    with pytest.raises(hubs.IOClosed):
        reader.wait()
    with pytest.raises(ValueError):
        one.read(1)


def test_a_file_object_gives_its_descriptor_up():
    reader, writer = os.pipe()
    original = os.fdopen(reader, "rb")
    with greenio.GreenPipe(original, "rb") as one, greenio.GreenPipe(writer, "wb") as two:
        assert original.closed
        # Whoever shares the pipe sees no difference.
        assert os.get_blocking(one.fileno())
        two.write(b"line\n")
        two.flush()
        assert one.readline() == b"line\n"


def test_a_descriptor_that_is_non_blocking_already(pipe):
    for file in pipe:
        os.set_blocking(file.fileno(), False)
    one, two = pipe
    reader = parked(one.read, 100)
    two.write(b"data")
    assert reader.wait() == b"data"
    data = os.urandom(1 << 20)
    writer = parked(two.write, data)
    received = b""
    while len(received) < len(data):
        received += one.read(1 << 16)
    assert writer.wait() == len(data)
    assert received == data


def test_the_wrong_direction(pipe):
    one, two = pipe
    with pytest.raises(io.UnsupportedOperation):
        one.write(b"x")
    for read in (lambda: two.read(1), lambda: two.readinto(bytearray(1)), two.readall):
        with pytest.raises(io.UnsupportedOperation):
            read()


def test_text_and_lines():
    reader, writer = os.pipe()
    with greenio.GreenPipe(reader, "r", encoding="utf-8") as one:
        with greenio.GreenPipe(writer, "w", 1, encoding="utf-8") as two:
            waiting = parked(one.readline)
            two.write("zwölf\n")
            assert waiting.wait() == "zwölf\n"
            two.write("elf\r\n")
        assert one.read() == "elf\n"
        assert one.mode == "r"


def test_both_directions():
    one, two = stdlib.socketpair()
    with two, greenio.GreenPipe(one.detach(), "rb+") as file:
        file.write(b"out")
        file.flush()
        assert two.recv(10) == b"out"
        reader = parked(file.readline)
        two.send(b"in\n")
        assert reader.wait() == b"in\n"


def test_terminals():
    master, slave = pty.openpty()
    with greenio.GreenPipe(master, "rb+", 0) as one, greenio.GreenPipe(slave, "r") as two:
        assert two.isatty()
        reader = parked(two.readline)
        one.write(b"typed\n")
        assert reader.wait() == "typed\n"


def test_files(tmp_path):
    path = str(tmp_path / "file")
    with greenio.GreenPipe(path, "w+b") as file:
        file.write(b"0123456789")
        file.seek(3)
        assert file.read(2) == b"34"
        file.truncate(7)
        assert file.tell() == 7
        assert file.name == path
    assert os.path.getsize(path) == 7


@pytest.mark.parametrize(
    ("mode", "kwargs"),
    [
        ("rw", {}),
        ("rbt", {}),
        ("q", {}),
        ("", {}),
        ("rr", {}),
        ("rb", {"encoding": "utf-8"}),
        ("r", {"buffering": 0}),
    ],
)
def test_wrong_modes(tmp_path, mode, kwargs):
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(ValueError):
        greenio.GreenPipe(str(path), mode, **kwargs)


def test_the_hub_hears_of_new_descriptors(hub, monkeypatch):
    heard = []
    hub.mark_as_reopened = heard.append
    try:
        reader, writer = os.pipe()
        with greenio.GreenPipe(reader, "rb"), socket.socket() as sock:
            assert heard == [reader, sock.fileno()]
        os.close(writer)
    finally:
        del hub.mark_as_reopened


def test_shutdown_safe():
    one, two = socket.socketpair()
    with two:
        greenio.shutdown_safe(one)
        assert two.recv(1) == b""
        one.close()
        greenio.shutdown_safe(one)
    with socket.socket() as sock:
        greenio.shutdown_safe(sock)

    class WithoutArguments:
        called = False

        def shutdown(self):
            self.called = True

    other = WithoutArguments()
    greenio.shutdown_safe(other)
    assert other.called


def test_set_nonblocking():
    with stdlib.socket() as sock:
        greenio.set_nonblocking(sock)
        assert sock.gettimeout() == 0.0
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as file:
        greenio.set_nonblocking(file)
        assert not os.get_blocking(reader)
    os.close(writer)


def test_helpers_for_plain_sockets(listener):
    address = listener.getsockname()
    with stdlib.socket() as plain:
        plain.setblocking(False)
        connected = greenio.socket_connect(plain, address)
        assert connected in (None, plain)
        hubs.trampoline(plain, write=True)
        assert greenio.socket_checkerr(plain) is None
        assert greenio.socket_connect(plain, address) is plain
        hubs.trampoline(listener, read=True)
        listener.setblocking(False)
        conn, _ = greenio.socket_accept(listener)
        assert greenio.socket_accept(listener) is None
        conn.close()
    listener.close()
    with stdlib.socket() as plain, pytest.raises(ConnectionRefusedError):
        greenio.socket_connect(plain, address)


def test_names():
    assert errno.EAGAIN in greenio.SOCKET_BLOCKING
    assert errno.ECONNRESET in greenio.SOCKET_CLOSED
    assert errno.EINPROGRESS in greenio.CONNECT_ERR
    assert 0 in greenio.CONNECT_SUCCESS
    assert greenio.socket_timeout is stdlib.timeout
    assert greenio._fileobject is stdlib.SocketIO
    for name in ("WantReadError", "WantWriteError", "ZeroReturnError", "SysCallError"):
        assert issubclass(getattr(greenio.SSL, name), Exception)
