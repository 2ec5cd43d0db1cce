"""eventlet.green.os: pipes, terminals and other descriptors; the module, and patching."""

import errno
import os as stdlib
import pty
import socket
import tty

import pytest

import eventlet
from eventlet import greenio, hubs
from eventlet.green import os
from support.sockets import parked

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:.*use of fork:DeprecationWarning", "ignore:.*multi-threaded:DeprecationWarning"
    ),
    pytest.mark.usefixtures("limit"),
]


@pytest.fixture
def pipe():
    """The descriptors of a pipe, in blocking mode. The test may close them."""
    ends = stdlib.pipe()
    yield ends
    for fd in ends:
        try:
            stdlib.close(fd)
        except OSError:
            pass


# ------------------------------------------------------------------------------------------------
# read and write


def test_reading_waits_for_data_and_lets_others_run(pipe, clean_hub):
    one, two = pipe
    reader = parked(os.read, one, 100)
    assert os.write(two, b"data") == 4
    assert reader.wait() == b"data"
    stdlib.write(two, b"rest")
    stdlib.close(two)
    assert os.read(one, 2) == b"re"
    assert os.read(one, 1 << 20) == b"st"
    assert os.read(one, 100) == b""


def test_a_pipe_stays_in_blocking_mode(pipe):
    one, two = pipe
    reader = parked(os.read, one, 100)
    assert stdlib.get_blocking(one)
    os.write(two, b"data")
    reader.wait()
    assert stdlib.get_blocking(one)
    assert stdlib.get_blocking(two)


def test_all_is_written_while_others_read(pipe, clean_hub):
    one, two = pipe
    data = stdlib.urandom(1 << 20)
    writer = parked(os.write, two, data)
    received = b""
    while len(received) < len(data):
        received += os.read(one, 1 << 16)
    assert writer.wait() == len(data)
    assert received == data


@pytest.mark.parametrize("make", [bytearray, memoryview])
def test_what_can_be_written(pipe, make):
    one, two = pipe
    assert os.write(two, make(b"data")) == 4
    assert os.read(one, 100) == b"data"


def test_errors(pipe):
    one, two = pipe
    with pytest.raises(TypeError):
        os.write(two, "text")
    with pytest.raises(OSError) as caught:
        os.read(one, -1)
    assert caught.value.errno == errno.EINVAL
    writer = parked(os.write, two, bytes(1 << 20))
    stdlib.close(one)
    with pytest.raises(BrokenPipeError):
        writer.wait()
    for call in (lambda: os.read(one, 1), lambda: os.write(one, b"x")):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == errno.EBADF


def test_what_the_program_has_made_non_blocking_does_not_wait(pipe):
    one, two = pipe
    stdlib.set_blocking(one, False)
    stdlib.set_blocking(two, False)
    with pytest.raises(BlockingIOError):
        os.read(one, 1)
    # As much as there is room for.
    assert 0 < os.write(two, bytes(1 << 20)) < 1 << 20
    with pytest.raises(BlockingIOError):
        os.write(two, bytes(1 << 20))
    assert len(os.read(one, 100)) == 100


def test_what_eventlet_has_made_non_blocking_waits(pipe):
    one, two = pipe
    with stdlib.fdopen(one, "rb", 0) as file:
        greenio.set_nonblocking(file)
        reader = parked(os.read, one, 100)
        os.write(two, b"data")
        assert reader.wait() == b"data"
        stdlib.dup2(stdlib.open(stdlib.devnull, stdlib.O_RDONLY), two)


def test_a_green_socket_by_its_number():
    from eventlet.green import socket as green

    one, two = green.socketpair()
    with one, two:
        reader = parked(os.read, one.fileno(), 100)
        assert os.write(two.fileno(), b"data") == 4
        assert reader.wait() == b"data"
        data = bytes(1 << 22)
        writer = parked(two.sendall, data)
        received = 0
        while received < len(data):
            received += len(os.read(one.fileno(), 1 << 20))
        writer.wait()


def test_a_descriptor_that_a_green_socket_gives_away_is_in_blocking_mode():
    from eventlet.green import socket as green

    one, two = green.socketpair()
    two.settimeout(0)
    fds = one.detach(), two.detach()
    try:
        assert [stdlib.get_blocking(fd) for fd in fds] == [True, False]
    finally:
        for fd in fds:
            stdlib.close(fd)


def test_a_socket_that_a_green_one_was_made_of():
    from eventlet.green import socket as green

    one, two = socket.socketpair()
    with one, two, green.fromfd(one.fileno(), one.family, one.type) as made:
        assert made.fileno() != one.fileno()
        reader = parked(os.read, one.fileno(), 100)
        two.send(b"data")
        assert reader.wait() == b"data"


def test_a_blocking_socket_by_its_number():
    one, two = socket.socketpair()
    with one, two:
        data = bytes(1 << 22)
        writer = parked(os.write, two.fileno(), data)
        received = 0
        while received < len(data):
            received += len(os.read(one.fileno(), 1 << 20))
        assert writer.wait() == len(data)


def test_a_terminal():
    ours, theirs = pty.openpty()
    try:
        reader = parked(os.read, theirs, 100)
        assert os.write(ours, b"line\n") == 5
        assert reader.wait() == b"line\n"
        tty.setraw(theirs)
        data = b"0123456789abcde\n" * 20_000
        writer = parked(os.write, theirs, data)
        received = os.read(ours, 100).removeprefix(b"line\r\n")
        while len(received) < len(data):
            received += os.read(ours, 1 << 16)
        assert writer.wait() == len(data)
        assert received == data
    finally:
        stdlib.close(ours)
        stdlib.close(theirs)


def test_a_regular_file(tmp_path):
    path = tmp_path / "file"
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        data = bytes(100_000)
        assert os.write(fd, data) == len(data)
        os.lseek(fd, 0, os.SEEK_SET)
        assert os.read(fd, len(data)) == data
    finally:
        os.close(fd)


@pytest.mark.parametrize("write", [False, True])
def test_a_wait_can_be_interrupted(pipe, clean_hub, write):
    one, two = pipe
    call = (os.write, two, bytes(1 << 20)) if write else (os.read, one, 100)
    with pytest.raises(eventlet.Timeout):
        eventlet.with_timeout(0.01, *call)
    thread = parked(*call)
    thread.kill()
    assert thread.dead


def test_two_who_read_the_same(pipe):
    one, two = pipe
    reader = parked(os.read, one, 1)
    with pytest.raises(RuntimeError, match="Second simultaneous read"):
        os.read(one, 1)
    os.write(two, b"x")
    assert reader.wait() == b"x"


def test_closing_by_a_green_file_ends_the_wait(pipe):
    one, _ = pipe
    file = greenio.GreenPipe(one, "rb", 0)
    reader = parked(os.read, one, 1)
    file.close()
    with pytest.raises(hubs.IOClosed):
        reader.wait()


def test_in_the_hub_nothing_waits(pipe):
    one, two = pipe
    done = eventlet.Event()

    def callback():
        os.write(two, b"data")
        done.send(os.read(one, 100))

    hubs.get_hub().schedule_call_global(0, callback)
    assert done.wait() == b"data"


def test_signal_handlers_may_write(run_python):
    result = run_python(
        """
        import eventlet, os, signal
        eventlet.monkey_patch()
        reader, writer = os.pipe()
        signal.signal(signal.SIGALRM, lambda *_: os.write(writer, b"x" * 10_000))
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        # The hub sleeps when the signal comes.
        print(len(os.read(reader, 100_000)))
        """.replace("\n        ", "\n")
    )
    assert result.stdout == "10000\n"


def test_a_thread_without_a_hub_blocks_alone(pipe):
    one, two = pipe

    def read():
        had_hub = eventlet._core.has_hub()
        return os.read(one, 100), had_hub, eventlet._core.has_hub()

    from eventlet import tpool

    waiting = eventlet.spawn(tpool.execute, read)
    eventlet.sleep(0.01)
    os.write(two, b"data")
    assert waiting.wait() == (b"data", False, False)


# ------------------------------------------------------------------------------------------------
# fdopen, open


def test_fdopen(pipe):
    one, two = pipe
    with os.fdopen(one, "r", encoding="utf-8") as reader, os.fdopen(two, "wb") as writer:
        waiting = parked(reader.readline)
        writer.write("zwölf\n".encode())
        writer.flush()
        assert waiting.wait() == "zwölf\n"
    with pytest.raises(TypeError, match="invalid fd type"):
        os.fdopen("1")


def test_fdopen_leaves_regular_files_alone(tmp_path):
    fd = stdlib.open(tmp_path / "file", stdlib.O_RDWR | stdlib.O_CREAT)
    with os.fdopen(fd, "w+b") as file:
        file.write(b"content")
        file.seek(0)
        assert type(file.raw).__name__ == "FileIO"
        assert file.read() == b"content"


def test_opening_ends_waits_for_an_earlier_owner(pipe):
    one, _ = pipe
    waiting = parked(os.read, one, 1)
    # Behind the hub's back.
    stdlib.close(one)
    assert os.open(stdlib.devnull, os.O_RDONLY) == one
    with pytest.raises(hubs.IOClosed):
        waiting.wait()


# ------------------------------------------------------------------------------------------------
# The module, and monkey patching


def test_the_module_has_all_that_the_standard_one_has():
    missing = [name for name in stdlib.__all__ if not hasattr(os, name)]
    assert not missing
    for name in os.__patched__:
        assert getattr(os, name) is not getattr(stdlib, name)


PATCHED = """
import eventlet, os, sys
if {early}:
    import multiprocessing.connection, pty, subprocess
eventlet.monkey_patch()
from eventlet.green import os as green
for name in green.__patched__:
    assert getattr(os, name) is getattr(green, name), name
ticks = []
def tick():
    while True:
        ticks.append(None)
        eventlet.sleep(0.005)
eventlet.spawn(tick)
"""


@pytest.mark.parametrize("early", [False, True])
def test_what_is_built_on_it_is_green_too(run_python, early):
    result = run_python(
        PATCHED.format(early=early)
        + """
assert os.spawnlp(os.P_WAIT, "sleep", "sleep", "0.1") == 0
assert len(ticks) > 1, "spawn blocked"
ticks.clear()
assert os.popen("sleep 0.1; echo popen").read() == "popen\\n"
assert len(ticks) > 1, "popen blocked"
ticks.clear()
import pty
status = pty.spawn(["sh", "-c", "sleep 0.1; echo pty; exit 3"])
assert status == 3 << 8, status
assert len(ticks) > 1, "pty.spawn blocked"
from eventlet import patcher
patcher.unpatch()
assert os.read is not green.read
print("end")
"""
    )
    assert result.stdout.splitlines() == ["pty", "end"]


def test_a_second_import_is_not_needed(run_python):
    result = run_python(
        """
import sys
import eventlet
eventlet.monkey_patch()
from eventlet import patcher
import os
real = patcher.original("os")
reader, writer = os.pipe()
assert real.write(writer, b"x") == 1 and real.read is not os.read
print(os.read(reader, 10), "multiprocessing.connection" in sys.modules)
"""
    )
    assert result.stdout == "b'x' False\n"
