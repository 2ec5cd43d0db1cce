"""eventlet.green.select: select, poll and epoll."""

import contextlib
import errno
import glob
import os
import select as stdlib
import socket
import tempfile

import pytest

import eventlet
from eventlet import hubs
from eventlet.green import select
from eventlet.green import socket as green

pytestmark = pytest.mark.usefixtures("limit")


@pytest.fixture(params=["default", "poll", "select", "python"])
def any_hub(request):
    """Runs the test on hubs of several kinds."""
    if request.param == "python":
        from eventlet.hubs.hub import BaseHub

        class Hub(BaseHub):
            def wait(self, seconds=None):
                readers = self.listeners[self.READ]
                for fd in stdlib.select([*readers], [], [], seconds)[0]:
                    if fd in readers:
                        readers[fd].cb(fd)

        hubs.use_hub(Hub)
    elif request.param != "default":
        hubs.use_hub({"poll": "poll", "select": "selects"}[request.param])
    yield
    hubs.use_hub()


@pytest.fixture
def pair():
    one, two = socket.socketpair()
    with one, two:
        yield one, two


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for fd in ends:
        try:
            os.close(fd)
        except OSError:
            pass


def parked(function, *args):
    """Start `function` in a green thread and return it once it waits for a descriptor."""
    hub = hubs.get_hub()
    before = len(hub.get_readers())
    thread = eventlet.spawn(function, *args)
    while len(hub.get_readers()) <= before:
        assert not thread.dead, "it did not wait"
        eventlet.sleep(0)
    return thread


def by_select(fd, timeout=None):
    return bool(select.select([fd], [], [], timeout)[0])


def by_poll(fd, timeout=None):
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(None if timeout is None else timeout * 1000))


def by_epoll(fd, timeout=None):
    with select.epoll() as epoll:
        epoll.register(fd, select.EPOLLIN)
        return bool(epoll.poll(timeout))


WAYS = [by_select, by_poll]
if hasattr(stdlib, "epoll"):
    WAYS.append(by_epoll)
every_way = pytest.mark.parametrize("way", WAYS)


# ------------------------------------------------------------------------------------------------
# What all of them do


@every_way
def test_waiting_lets_others_run(any_hub, pair, way):
    one, two = pair
    waiting = parked(way, one)
    two.send(b"x")
    assert waiting.wait()
    assert way(one)


@every_way
def test_a_timeout(clean_hub, pair, way):
    turns = []
    other = eventlet.spawn_after(0.01, turns.append, True)
    assert not way(pair[0], 0.02)
    assert turns
    other.wait()


@every_way
def test_a_timeout_of_nothing_lets_others_run_once(pair, way):
    one, two = pair
    for ready in (False, True):
        turns = []
        eventlet.spawn_n(turns.append, True)
        # Whoever polls in a loop does not starve the others: the second time, if not the first.
        assert way(one, 0) is ready
        two.send(b"x")
        if way is not by_epoll:
            assert turns
        eventlet.sleep(0)


def descriptors():
    """The open descriptors of this process and what they are of, where that can be seen."""
    found = set()
    for path in glob.glob("/proc/self/fd/*"):
        with contextlib.suppress(OSError):
            found.add((path, os.readlink(path)))
    return found


@every_way
def test_a_wait_can_be_interrupted(clean_hub, pair, way):
    before = descriptors()
    with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.01):
        way(pair[0])
    thread = parked(way, pair[0])
    thread.kill()
    assert thread.dead
    # Threads that earlier tests have left may close some meanwhile.
    assert descriptors() <= before


@every_way
def test_somebody_else_may_wait_for_the_same(pair, way):
    one, two = green.socketpair()
    with one, two:
        reader = parked(one.recv, 10)
        waiting = [parked(way, one) for _ in range(2)]
        two.send(b"data")
        assert reader.wait() == b"data"
        # In case the reader was quicker.
        two.send(b"more")
        assert all(waiter.wait() for waiter in waiting)


@every_way
def test_in_the_hub_it_blocks_alone(pair, way):
    one, two = pair
    two.send(b"x")
    done = eventlet.Event()
    hubs.get_hub().schedule_call_global(0, lambda: done.send(way(one, 1)))
    assert done.wait() is True
    one.recv(1)
    done.reset()
    hubs.get_hub().schedule_call_global(0, lambda: done.send(way(one, 0.01)))
    assert done.wait() is False


@every_way
def test_a_thread_without_a_hub_blocks_alone(pair, way):
    from eventlet import tpool

    one, two = pair
    waiting = eventlet.spawn(tpool.execute, way, one)
    eventlet.sleep(0.01)
    two.send(b"x")
    assert waiting.wait() is True


@pytest.mark.parametrize("way", ["select", "poll"])
def test_signals_do_not_end_the_wait(run_python, way):
    result = run_python(
        f"""
import eventlet, os, select, signal
eventlet.monkey_patch()
seen = []
signal.signal(signal.SIGALRM, lambda *_: seen.append(None))
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
reader, writer = os.pipe()
poll = select.poll()
poll.register(reader)
if {way!r} == "poll":
    print(poll.poll(100), len(seen) > 2)
else:
    print(select.select([reader], [], [], 0.1)[0], len(seen) > 2)
signal.setitimer(signal.ITIMER_REAL, 0)
"""
    )
    assert result.stdout == "[] True\n"


# ------------------------------------------------------------------------------------------------
# select


def test_select_returns_all_that_are_ready(pipe):
    pairs = [socket.socketpair() for _ in range(5)]
    for _, two in pairs[1:4]:
        two.send(b"x")
    ones = [one for one, _ in pairs]
    reader, writer = pipe
    found = select.select([*ones, reader], [ones[0], writer], [ones[0]])
    assert found == (ones[1:4], [ones[0], writer], [])
    for one, two in pairs:
        one.close()
        two.close()


def test_select_wakes_for_each_kind(pair):
    one, two = pair
    waiting = parked(select.select, [], [], [one])
    two.send(b"x")
    eventlet.sleep(0.01)
    assert not waiting.dead, "data is no exceptional condition"
    waiting.kill()
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    server, _ = listener.accept()
    with listener, client, server:
        waiting = parked(select.select, [], [], [server])
        client.send(b"!", socket.MSG_OOB)
        assert waiting.wait() == ([], [], [server])
        server.settimeout(0)
        try:
            while True:
                server.send(bytes(1 << 20))
        except BlockingIOError:
            pass
        waiting = parked(select.select, [], [server], [])
        for _ in range(100):
            client.recv(1 << 20)
            if waiting.dead:
                break
            eventlet.sleep(0.001)
        assert waiting.wait() == ([], [server], [])


def test_select_does_not_mind_a_hang_up_that_nobody_asked_for(pair):
    one, two = pair
    two.close()
    one.shutdown(socket.SHUT_WR)
    assert select.select([], [], [one], 0.02) == ([], [], [])
    assert select.select([one], [], [one], 0.02) == ([one], [], [])


def test_select_on_the_same_object_twice(pair):
    one, _ = pair
    assert select.select([one, one], [one], [], 0.01) == ([], [one], [])


def test_select_on_nothing():
    ran = []
    eventlet.spawn_n(ran.append, True)
    assert select.select([], [], [], 0.01) == ([], [], [])
    assert ran
    with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.01):
        select.select([], [], [])


def test_select_on_what_is_always_ready():
    with tempfile.TemporaryFile() as file:
        assert select.select([file], [file], [file]) == ([file], [file], [])
        assert select.select([], [], [file], 0.01) == ([], [], [])


def test_arguments_of_select(pair):
    one, _ = pair
    for arguments, error in (
        (([-1], [], []), ValueError),
        (([], [], [], -1), ValueError),
        (([], [], [], float("nan")), ValueError),
        ((["x"], [], []), TypeError),
        (([object()], [], []), TypeError),
        ((1, [], []), TypeError),
        (([], [], [], "x"), TypeError),
        (([one], []), TypeError),
    ):
        for module in (stdlib, select):
            with pytest.raises(error):
                module.select(*arguments)
    fd = os.dup(one.fileno())
    os.close(fd)
    for module in (stdlib, select):
        with pytest.raises(OSError) as caught:
            module.select([fd], [], [], 1)
        assert caught.value.errno == errno.EBADF
    assert select.select((one,), iter([one]), {}, 0)[1] == [one]
    assert select.select([one.fileno()], [], [], 0.0)[0] == []


def test_closing_ends_a_select():
    one, two = green.socketpair()
    waiting = parked(select.select, [one, two], [], [])
    two.close()
    with pytest.raises(hubs.IOClosed):
        waiting.wait()
    one.close()


def test_more_descriptors_than_the_system_s_select_takes(pair):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[0] < 1200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(1200, before[1]), before[1]))
    one, two = pair
    try:
        fd = os.dup2(one.fileno(), 1100)
        waiting = parked(select.select, [fd], [], [])
        two.send(b"x")
        assert waiting.wait()[0] == [fd]
        os.close(fd)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_as_an_attribute_of_a_class_it_is_no_method(pair):
    class Holder:
        select = select.select

    assert Holder().select([pair[0]], [], [], 0) == ([], [], [])


# ------------------------------------------------------------------------------------------------
# poll


def test_poll_returns_all_that_are_ready(pair, pipe):
    one, two = pair
    poll = select.poll()
    poll.register(one)
    poll.register(pipe[0], select.POLLIN)
    assert poll.poll() == [(one.fileno(), select.POLLOUT)]
    two.send(b"x")
    os.write(pipe[1], b"x")
    assert sorted(poll.poll()) == sorted(
        [(one.fileno(), select.POLLIN | select.POLLOUT), (pipe[0], select.POLLIN)]
    )
    poll.modify(one, 0)
    poll.unregister(pipe[0])
    assert poll.poll(0) == []
    two.close()
    assert poll.poll() == [(one.fileno(), select.POLLHUP)]


def test_errors_of_poll(pair, pipe):
    one, _ = pair
    for module in (stdlib, select):
        poll = module.poll()
        with pytest.raises(FileNotFoundError):
            poll.modify(one, 1)
        with pytest.raises(KeyError):
            poll.unregister(one)
        with pytest.raises(TypeError):
            poll.register(object())
        with pytest.raises(TypeError):
            poll.poll("x")
        with pytest.raises(OverflowError):
            poll.register(one, 1 << 16)
        os.close(fd := os.dup(one.fileno()))
        poll.register(fd)
        assert poll.poll() == [(fd, module.POLLNVAL)]


def test_closing_ends_a_poll():
    one, two = green.socketpair()
    poll = select.poll()
    poll.register(one, select.POLLIN)
    fd = two.fileno()
    poll.register(two, select.POLLIN)
    waiting = parked(poll.poll)
    two.close()
    assert waiting.wait() == [(fd, select.POLLNVAL)]
    one.close()


# ------------------------------------------------------------------------------------------------
# epoll

with_epoll = pytest.mark.skipif(not hasattr(stdlib, "epoll"), reason="there is no epoll")


@with_epoll
def test_epoll_returns_all_that_are_ready(pair, pipe):
    one, two = pair
    epoll = select.epoll()
    epoll.register(one)
    epoll.register(pipe[0], eventmask=select.EPOLLIN)
    assert epoll.poll() == [(one.fileno(), select.EPOLLOUT)]
    two.send(b"x")
    os.write(pipe[1], b"x")
    assert sorted(epoll.poll()) == sorted(
        [(one.fileno(), select.EPOLLIN | select.EPOLLOUT), (pipe[0], select.EPOLLIN)]
    )
    assert len(epoll.poll(maxevents=1)) == 1
    epoll.modify(one, 0)
    epoll.unregister(pipe[0])
    assert epoll.poll(0) == []
    assert epoll.poll(timeout=0.001) == []
    epoll.close()
    assert epoll.closed
    with pytest.raises(ValueError):
        epoll.poll()
    with pytest.raises(ValueError):
        epoll.fileno()
    epoll.close()


@with_epoll
def test_what_is_registered_while_somebody_polls(pair):
    one, two = pair
    with select.epoll() as epoll:
        waiting = parked(epoll.poll)
        epoll.register(one, select.EPOLLIN)
        two.send(b"x")
        assert waiting.wait() == [(one.fileno(), select.EPOLLIN)]
    assert epoll.closed


@with_epoll
def test_edges(pair):
    one, two = pair
    with select.epoll() as epoll:
        epoll.register(one, select.EPOLLIN | select.EPOLLET)
        two.send(b"x")
        assert epoll.poll(1)
        assert epoll.poll(0.01) == []
        two.send(b"x")
        assert epoll.poll(1)


@with_epoll
def test_two_who_poll_one_epoll(pair):
    one, two = pair
    with select.epoll() as epoll, select.epoll.fromfd(os.dup(epoll.fileno())) as other:
        epoll.register(one, select.EPOLLIN)
        waiting = [parked(poll) for poll in (epoll.poll, epoll.poll, other.poll)]
        two.send(b"x")
        found = [(one.fileno(), select.EPOLLIN)]
        assert [waiter.wait() for waiter in waiting] == [found] * 3


@with_epoll
def test_closing_ends_the_wait_for_an_epoll():
    epoll = select.epoll()
    waiting = parked(epoll.poll)
    epoll.close()
    with pytest.raises(hubs.IOClosed):
        waiting.wait()


@with_epoll
def test_one_who_always_finds_something_lets_others_run(pair):
    one, _ = pair
    with select.epoll() as epoll:
        epoll.register(one, select.EPOLLOUT)
        turns = []
        eventlet.spawn_n(turns.append, True)
        for _ in range(2):
            assert epoll.poll()
        assert turns


# ------------------------------------------------------------------------------------------------
# The module


def test_get_fileno(pair):
    one, _ = pair
    assert select.get_fileno(one) == one.fileno()
    assert select.get_fileno(7) == 7
    for bad, error in (("x", TypeError), (object(), TypeError), (-1, ValueError)):
        with pytest.raises(error):
            select.get_fileno(bad)


def test_the_module_has_all_that_the_standard_one_has():
    names = {name for name in vars(stdlib) if not name.startswith("_")}
    assert names <= set(vars(select))
    assert select.error is OSError


def test_patching(run_python):
    result = run_python(
        """
import select
from select import poll
real = select.epoll
import eventlet
eventlet.monkey_patch()
from eventlet import patcher
from eventlet.green import select as green
assert select.select is green.select and select.poll is green.poll
assert select.epoll is green.epoll and patcher.original("select").epoll is real
patcher.unpatch()
assert select.epoll is real and select.poll is poll
print("end")
""",
        env={"PYTHONWARNINGS": "ignore"},
    )
    assert result.stdout == "end\n"
