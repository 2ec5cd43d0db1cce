"""Hubs: choosing one, descriptors, timers, rounds, other OS threads, signals, fork."""

import contextlib
import errno
import gc
import itertools
import os
import signal
import socket
import threading
import time
import types
import weakref

import greenlet
import pytest

import eventlet
from eventlet import _core, greenthread, hubs
from eventlet.event import Event
from eventlet.hubs import IOClosed, trampoline
from eventlet.hubs.hub import BaseHub, FdListener, Timer

BACKENDS = {"epolls": "epoll", "kqueue": "kqueue", "poll": "poll", "selects": "select"}
LONG = 20
AVAILABLE = [name for name, backend in BACKENDS.items() if backend in _core.backends()]


class Failure(Exception):
    """What the tests raise on purpose."""


@pytest.fixture(params=AVAILABLE)
def hub(request):
    """A new hub of each kind, with a time limit."""
    hubs.use_hub(request.param)
    hub = hubs.get_hub()
    with eventlet.Timeout(20):
        yield hub
    hubs.use_hub()


@pytest.fixture
def quiet(hub):
    """Exceptions that nobody catches are not printed."""
    hub.debug_exceptions = False


@pytest.fixture
def pair():
    """Two connected sockets that do not block."""
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    yield left, right
    left.close()
    right.close()


def fill(sock):
    """Write until the socket takes no more."""
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(b"x" * 65536)


def drain(sock):
    """Read until there is nothing left."""
    with contextlib.suppress(BlockingIOError):
        while sock.recv(65536):
            pass


def take_over(fileno):
    """Return two connected sockets, the first of which has that number, which is free."""
    left, right = socket.socketpair()
    if right.fileno() == fileno:
        left, right = right, left
    elif left.fileno() != fileno:
        os.dup2(left.fileno(), fileno)
        left.close()
        left = socket.socket(fileno=fileno)
    return left, right


def no_tb(error):
    raise AssertionError("unexpected") from error


# ------------------------------------------------------------------------------------------------
# Choosing a hub


@pytest.fixture
def own_hub():
    """Puts a default hub back."""
    yield
    hubs.use_hub()


@pytest.mark.parametrize("name", AVAILABLE)
def test_use_hub_forms(own_hub, name):
    module = __import__(f"eventlet.hubs.{name}").hubs
    module = getattr(module, name)
    for form in (
        name,
        f" {name} ",
        module,
        module.Hub,
        module.__name__,
        f"eventlet.hubs.{name}:Hub",
    ):
        before = hubs.get_hub()
        hubs.use_hub(form)
        hub = hubs.get_hub()
        assert type(hub) is module.Hub
        assert hub is not before
        assert hub is hubs.get_hub()
        assert hub.backend == BACKENDS[name]
        assert f"eventlet.hubs.{name}.Hub" in repr(hub)
        assert eventlet.spawn(int, "1").wait() == 1


def test_use_hub_by_default(own_hub, monkeypatch):
    default = hubs.get_default_hub()
    assert isinstance(default, types.ModuleType)
    monkeypatch.delenv("EVENTLET_HUB", raising=False)
    hubs.use_hub()
    assert type(hubs.get_hub()) is default.Hub
    monkeypatch.setenv("EVENTLET_HUB", "selects")
    hubs.use_hub()
    assert hubs.get_hub().backend == "select"
    monkeypatch.setenv("EVENTLET_HUB", "")
    hubs.use_hub()
    assert type(hubs.get_hub()) is default.Hub


def test_use_hub_with_a_class_of_the_program(own_hub):
    class Mine(hubs.get_default_hub().Hub):
        reported = ()

        def squelch_generic_exception(self, exc_info):
            self.reported += (exc_info,)

    def fail():
        raise Failure

    hubs.use_hub(Mine)
    hub = hubs.get_hub()
    assert type(hub) is Mine
    assert isinstance(hub, BaseHub)
    with pytest.raises(Failure):
        eventlet.spawn(fail).wait()
    ((kind, value, traceback),) = hub.reported
    assert (kind, type(value)) == (Failure, Failure)
    assert traceback is not None


@pytest.mark.parametrize("wrong", ["", "  ", "nonsense", "no.such:Hub", 5, types.ModuleType("m")])
def test_use_hub_with_nonsense(own_hub, wrong):
    before = hubs.get_hub()
    with pytest.raises((RuntimeError, AttributeError)):
        hubs.use_hub(wrong)
    assert hubs.get_hub() is before


def test_use_hub_that_is_not_available(own_hub):
    for name in set(BACKENDS) - set(AVAILABLE):
        with pytest.raises(RuntimeError):
            hubs.use_hub(name)
        with pytest.raises(ValueError, match="this platform has no"):
            _core.Hub(BACKENDS[name])


@pytest.mark.parametrize("name", AVAILABLE)
def test_environment_variable(run_python, name):
    code = """
from eventlet import hubs
import eventlet
print(type(hubs.get_hub()).__module__, eventlet.spawn(int, "5").wait())
"""
    done = run_python(code, env={"EVENTLET_HUB": name})
    assert done.stdout.split() == [f"eventlet.hubs.{name}", "5"]


def test_environment_variable_with_nonsense(run_python):
    code = """
import eventlet
try:
    eventlet.sleep(0)
except RuntimeError as error:
    print(error)
"""
    done = run_python(code, env={"EVENTLET_HUB": "nonsense"})
    assert "'nonsense'" in done.stdout


def test_names():
    for name in hubs.builtin_hub_names:
        assert name in BACKENDS
    assert issubclass(IOClosed, OSError)
    assert BaseHub.READ == "read"
    assert BaseHub.WRITE == "write"


def test_attributes_may_be_replaced(hub, monkeypatch):
    calls = []
    monkeypatch.setattr(hub, "mark_as_reopened", calls.append)
    hubs.notify_opened(7)
    assert calls == [7]
    assert weakref.ref(hub)() is hub


def test_green_threads_of_a_hub_that_was_replaced(own_hub):
    # Timers are lost, as documented. Who waits for another green thread finds the new hub.
    event = Event()
    log = []

    def waiter():
        log.append(event.wait())
        eventlet.sleep(0.001)
        log.append(eventlet.getcurrent().parent is hubs.get_hub().greenlet)
        return "over"

    old = eventlet.spawn(waiter)
    sleeper = eventlet.spawn(eventlet.sleep, 0.001)
    eventlet.sleep(0)
    hubs.use_hub()
    new = eventlet.spawn(event.wait)
    eventlet.sleep(0)
    event.send(5)
    assert new.wait() == 5
    assert old.wait() == "over"
    assert log == [5, True]
    eventlet.sleep(0.005)
    assert not sleeper.dead
    sleeper.kill()
    assert sleeper.dead


def test_replacing_the_hub_from_a_green_thread(own_hub):
    log = []

    def replace():
        hubs.use_hub()
        eventlet.sleep(0.001)
        log.append(eventlet.getcurrent().parent is hubs.get_hub().greenlet)
        main.switch()

    main = eventlet.getcurrent()
    eventlet.spawn(replace)
    eventlet.sleep(60)
    assert log == [True]


def test_replaced_hubs_are_freed(own_hub):
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        hubs.use_hub()
        eventlet.spawn(int).wait()
        hubs.get_hub().schedule_call_global(60, print)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 2


# ------------------------------------------------------------------------------------------------
# trampoline


def test_wait_to_read(hub, pair):
    left, right = pair
    eventlet.spawn_after(0.005, right.send, b"hello")
    assert trampoline(left, read=True) == left.fileno()
    assert left.recv(10) == b"hello"
    right.send(b"again")
    assert trampoline(left.fileno(), read=True, timeout=5) == left.fileno()
    assert hub.get_readers() == []


def test_wait_to_write(hub, pair):
    left, right = pair
    assert trampoline(left, write=True, timeout=5) == left.fileno()
    fill(left)
    eventlet.spawn_after(0.005, drain, right)
    assert trampoline(left, write=True, timeout=5) == left.fileno()
    assert left.send(b"x") == 1


def test_wait_for_what_is_ready_lets_others_run(hub, pair):
    left, right = pair
    right.send(b"x")
    log = []
    eventlet.spawn(log.append, 1)
    trampoline(left, read=True)
    assert log == [1]


def test_wait_for_the_end(hub, pair):
    left, right = pair
    eventlet.spawn_after(0.002, right.close)
    trampoline(left, read=True, timeout=5)
    assert left.recv(1) == b""


def test_wait_on_a_pipe(hub):
    reader, writer = os.pipe()
    eventlet.spawn_after(0.002, os.write, writer, b"x")
    trampoline(reader, read=True, timeout=5)
    assert os.read(reader, 5) == b"x"
    os.close(writer)
    trampoline(reader, read=True, timeout=5)
    assert os.read(reader, 5) == b""
    os.close(reader)


def test_wait_in_vain(hub, pair):
    left, _ = pair
    begun = hub.clock()
    with pytest.raises(eventlet.Timeout):
        trampoline(left, read=True, timeout=0.01)
    assert 0.01 <= hub.clock() - begun < 1
    failure = Failure()
    with pytest.raises(Failure) as caught:
        trampoline(left, read=True, timeout=0.001, timeout_exc=failure)
    assert caught.value is failure
    with pytest.raises(Failure):
        trampoline(left, read=True, timeout=0, timeout_exc=Failure)
    assert hub.get_readers() == []
    assert hub.stats()["parked"] == 0


def test_ready_and_out_of_time(hub, pair):
    left, right = pair
    right.send(b"x")
    # What is there is found even if there is no time to wait for it, or none left.
    for _ in range(3):
        with contextlib.suppress(eventlet.Timeout):
            trampoline(left, read=True, timeout=0)
    assert trampoline(left, read=True, timeout=1) == left.fileno()


@pytest.mark.parametrize("directions", [{}, {"read": True, "write": True}, {"read": False}])
def test_directions(hub, pair, directions):
    with pytest.raises(RuntimeError):
        trampoline(pair[0], **directions)


def test_wait_in_the_hub(hub, pair):
    answer = Event()

    def in_hub():
        try:
            trampoline(pair[0], read=True)
        except RuntimeError as error:
            answer.send(str(error))

    hub.schedule_call_global(0, in_hub)
    assert answer.wait() == "do not call blocking functions from the mainloop"


@pytest.mark.parametrize("fileno", [-1, 987, 10**6, 2**30, 2**31 - 1])
def test_wait_on_what_is_not_open(hub, fileno):
    for direction in ("read", "write"):
        with pytest.raises(OSError) as caught:
            trampoline(fileno, **{direction: True}, timeout=1)
        # select() has no room for large numbers.
        assert caught.value.errno in (errno.EBADF, errno.EINVAL)
    hub.notify_close(fileno)
    hub.mark_as_reopened(fileno)
    hub.remove_descriptor(fileno)
    assert hub.stats()["parked"] == 0
    assert hub.get_readers() == []


def test_wait_on_a_regular_file(hub, tmp_path):
    with open(tmp_path / "file", "wb") as file:
        if hub.backend == "epoll":
            with pytest.raises(PermissionError) as caught:
                trampoline(file, write=True)
            assert caught.value.errno == errno.EPERM
        else:
            assert trampoline(file, write=True, timeout=1) == file.fileno()


def test_killed_while_waiting(hub, pair):
    left, right = pair
    green_thread = eventlet.spawn(trampoline, left, read=True)
    eventlet.sleep(0)
    assert [listener.greenlet for listener in hub.get_readers()] == [green_thread]
    green_thread.kill()
    assert hub.get_readers() == []
    right.send(b"x")
    assert trampoline(left, read=True, timeout=1)


def test_killed_after_it_was_woken(hub, pair):
    # The killer is woken first and kills the reader, whose own wake-up is in the same round.
    left, right = socket.socketpair()
    log = []

    def reader():
        try:
            trampoline(left, read=True)
        except Failure:
            log.append("killed")
        eventlet.sleep(0.01)
        log.append("slept")

    killer = eventlet.spawn(lambda: (trampoline(pair[0], read=True), first.kill(Failure)))
    first = eventlet.spawn(reader)
    eventlet.sleep(0)
    pair[1].send(b"x")
    right.send(b"x")
    begun = hub.clock()
    killer.wait()
    first.wait()
    assert log == ["killed", "slept"]
    assert hub.clock() - begun >= 0.01
    left.close()
    right.close()


def test_one_reader_and_one_writer(hub, pair):
    left, right = pair
    fill(left)
    log = []
    reader = eventlet.spawn(lambda: log.append(("read", trampoline(left, read=True))))
    writer = eventlet.spawn(lambda: log.append(("write", trampoline(left, write=True))))
    eventlet.sleep(0)
    assert len(hub.get_readers()) == len(hub.get_writers()) == 1
    right.send(b"x")
    reader.wait()
    assert log == [("read", left.fileno())]
    drain(right)
    writer.wait()
    assert log == [("read", left.fileno()), ("write", left.fileno())]


def test_second_reader_is_refused(hub, pair):
    left, right = pair
    first = eventlet.spawn(trampoline, left, read=True)
    eventlet.sleep(0)
    with pytest.raises(RuntimeError, match="Second simultaneous read on fileno"):
        trampoline(left, read=True)
    with pytest.raises(RuntimeError, match="Second simultaneous read on fileno"):
        hub.add(hub.READ, left.fileno(), print, print)
    right.send(b"x")
    assert first.wait() == left.fileno()
    assert hub.stats()["parked"] == 0


def test_second_reader_where_that_is_allowed(hub, pair):
    left, right = pair
    hub.prevent_multiple_readers = False
    log = []

    def reader(name):
        trampoline(left, read=True)
        log.append((name, left.recv(1)))

    readers = [eventlet.spawn(reader, name) for name in "abcd"]
    eventlet.sleep(0)
    assert len(hub.get_readers()) == 4
    right.send(b"1234")
    for each in readers:
        each.wait()
    assert log == [("a", b"1"), ("b", b"2"), ("c", b"3"), ("d", b"4")]
    assert hub.get_readers() == []


def test_second_reader_takes_over_from_a_killed_one(hub, pair):
    left, right = pair
    hub.prevent_multiple_readers = False
    readers = [eventlet.spawn(trampoline, left, read=True) for _ in range(3)]
    eventlet.sleep(0)
    readers[0].kill()
    right.send(b"x")
    assert readers[1].wait() == readers[2].wait() == left.fileno()


def test_many_descriptors(hub):
    pairs = [socket.socketpair() for _ in range(200)]
    try:
        readers = [eventlet.spawn(trampoline, left, read=True) for left, _ in pairs]
        eventlet.sleep(0)
        for _, right in reversed(pairs):
            right.send(b"x")
        assert [each.wait() for each in readers] == [left.fileno() for left, _ in pairs]
    finally:
        for sock in itertools.chain(*pairs):
            sock.close()


def test_ping_pong(hub, pair):
    def player(sock):
        ball = 0
        while ball < 200:
            trampoline(sock, read=True)
            ball = sock.recv(1)[0]
            sock.send(bytes([ball + 1]))
        return ball

    _, right = pair
    players = [eventlet.spawn(player, sock) for sock in pair]
    right.send(b"\0")
    assert sorted(each.wait() for each in players) == [200, 201]


# ------------------------------------------------------------------------------------------------
# Listeners


def test_listener(hub, pair):
    left, right = pair
    calls = []
    listener = hub.add(hub.READ, left.fileno(), calls.append, no_tb)
    assert isinstance(listener, FdListener)
    assert (listener.evtype, listener.fileno, listener.spent) == ("read", left.fileno(), False)
    assert listener.cb == calls.append
    assert listener.greenlet is eventlet.getcurrent()
    assert hub.get_readers() == [listener]
    assert hub.listeners == {"read": {left.fileno(): listener}, "write": {}}
    eventlet.sleep(0)
    assert calls == []
    right.send(b"x")
    eventlet.sleep(0)
    eventlet.sleep(0)
    # As long as nobody reads.
    assert len(calls) >= 1
    assert set(calls) == {left.fileno()}
    hub.remove(listener)
    assert listener.spent
    count = len(calls)
    eventlet.sleep(0)
    assert len(calls) == count
    hub.remove(listener)
    assert hub.get_readers() == []


def test_listener_to_write(hub, pair):
    left, right = pair
    fill(left)
    calls = []

    def writable(fileno):
        calls.append(fileno)
        hub.remove(listener)
        woken.send()

    woken = Event()
    listener = hub.add(hub.WRITE, left.fileno(), writable, no_tb)
    assert hub.get_writers() == [listener]
    eventlet.sleep(0.002)
    assert calls == []
    drain(right)
    woken.wait()
    assert calls == [left.fileno()]


def test_listener_with_wrong_arguments(hub, pair):
    with pytest.raises(ValueError, match=r"hub\.READ"):
        hub.add("sideways", pair[0].fileno(), print, print)
    with pytest.raises(OSError, match="Bad file"):
        hub.add(hub.READ, -1, print, print)
    assert hub.get_readers() == []


def test_listener_removed_in_the_same_round(hub):
    pairs = [socket.socketpair() for _ in range(2)]
    calls = []

    def ready(fileno):
        calls.append(fileno)
        for listener in listeners:
            hub.remove(listener)

    listeners = [hub.add(hub.READ, left.fileno(), ready, no_tb) for left, _ in pairs]
    for _, right in pairs:
        right.send(b"x")
    eventlet.sleep(0)
    eventlet.sleep(0)
    assert len(calls) == 1
    for sock in itertools.chain(*pairs):
        sock.close()


def test_listener_that_raises_is_forgotten(hub, pair, capsys):
    left, right = pair
    calls, closed = [], []

    def fail(fileno):
        calls.append(fileno)
        raise Failure("in a listener")

    hub.add(hub.READ, left.fileno(), fail, closed.append)
    right.send(b"x")
    eventlet.sleep(0.005)
    assert calls == [left.fileno()]
    assert hub.get_readers() == []
    assert capsys.readouterr().err.count("Failure: in a listener") == 1


def test_reports_of_listeners_and_timers_have_methods_of_their_own(hub, pair):
    reports = []
    hub.squelch_exception = lambda *args: (reports.append(args), hub.remove(listener))
    hub.squelch_timer_exception = lambda *args: reports.append(args)

    def fail(*args):
        raise Failure

    left, right = pair
    listener = hub.add(hub.READ, left.fileno(), fail, no_tb)
    right.send(b"x")
    eventlet.sleep(0)
    eventlet.sleep(0)
    timer = hub.schedule_call_global(0, fail)
    eventlet.sleep(0)
    (fileno, info), (reported, timer_info) = reports
    assert fileno == left.fileno()
    assert reported is timer
    for kind, value, traceback in (info, timer_info):
        assert kind is Failure
        assert type(value) is Failure
        assert traceback.tb_frame is not None


def test_defang(hub, pair):
    left, right = pair
    listener = hub.add(hub.READ, left.fileno(), no_tb, no_tb)
    listener.defang()
    assert listener.spent
    right.send(b"x")
    eventlet.sleep(0.002)
    hub.remove_descriptor(left.fileno())


# ------------------------------------------------------------------------------------------------
# Descriptors that are closed


def test_close_wakes_the_waiters(hub, pair):
    left, _ = pair
    fill(left)
    marked = []
    green_threads = [
        eventlet.spawn(trampoline, left, read=True, mark_as_closed=lambda: marked.append(1)),
        eventlet.spawn(trampoline, left, write=True),
    ]
    hub.debug_exceptions = False
    eventlet.sleep(0)
    hubs.notify_close(left.fileno())
    left.close()
    for green_thread in green_threads:
        with pytest.raises(IOClosed) as caught:
            green_thread.wait()
        assert caught.value.errno is not None
    assert marked == [1]
    assert hub.get_readers() == hub.get_writers() == []


def test_close_tells_listeners(hub, pair):
    left, _ = pair
    told, marked = [], []
    listener = hub.add(hub.READ, left.fileno(), no_tb, told.append, lambda: marked.append(1))
    hub.notify_close(left.fileno())
    left.close()
    assert hub.get_readers() == []
    eventlet.sleep(0)
    assert [type(error) for error in told] == [IOClosed]
    assert marked == [1]
    assert listener.spent
    hub.remove(listener)


def test_closed_between_readiness_and_callback(hub):
    # Both are ready in one round. The first closes the other, which must not hear of it any more.
    pairs = [socket.socketpair() for _ in range(2)]
    calls, told = [], []

    def ready(fileno):
        calls.append(fileno)
        for left, _ in pairs:
            if left.fileno() != -1:
                hub.notify_close(left.fileno())
                left.close()

    for left, right in pairs:
        hub.add(hub.READ, left.fileno(), ready, told.append)
        right.send(b"x")
    eventlet.sleep(0)
    eventlet.sleep(0)
    eventlet.sleep(0)
    assert len(calls) == 1
    assert len(told) == 2
    for _, right in pairs:
        right.close()


def test_removed_between_closing_and_being_told(hub, pair):
    left, _ = pair
    told = []
    listener = hub.add(hub.READ, left.fileno(), no_tb, told.append)
    hub.notify_close(left.fileno())
    hub.remove(listener)
    eventlet.sleep(0)
    assert told == []


@pytest.mark.parametrize("notice", ["notify_close", "mark_as_reopened", "remove_descriptor"])
def test_number_that_is_used_again(hub, quiet, notice):
    # The first owner is told; what happens to the second one wakes the second one only.
    log = []

    def reader(name, sock):
        try:
            trampoline(sock, read=True)
            log.append((name, "ready"))
        except IOClosed:
            log.append((name, "closed"))

    left, right = socket.socketpair()
    fileno = left.fileno()
    first = eventlet.spawn(reader, "first", left)
    eventlet.sleep(0)
    if notice != "mark_as_reopened":
        getattr(hub, notice)(fileno)
    left.close()
    other_left, other_right = take_over(fileno)
    if notice == "mark_as_reopened":
        hub.mark_as_reopened(fileno)
    second = eventlet.spawn(reader, "second", other_left)
    eventlet.sleep(0.002)
    assert log == [("first", "closed")]
    assert len(hub.get_readers()) == 1
    other_right.send(b"x")
    second.wait()
    first.wait()
    assert log == [("first", "closed"), ("second", "ready")]
    for sock in (right, other_left, other_right):
        sock.close()


def test_stale_event_never_reaches_the_next_owner(hub, quiet):
    # The number changes hands after the kernel has reported it, in the same round.
    log = []
    trigger, trigger_end = socket.socketpair()
    left, right = socket.socketpair()
    later = []

    def swap():
        trampoline(trigger, read=True)
        fileno = left.fileno()
        hub.notify_close(fileno)
        left.close()
        later.extend(take_over(fileno))
        eventlet.spawn(owner, fileno)

    def owner(fileno):
        try:
            trampoline(fileno, read=True, timeout=0.01)
            log.append("woken")
        except eventlet.Timeout:
            log.append("nothing to read")

    def victim():
        try:
            trampoline(left, read=True)
        except IOClosed:
            pass

    swapper = eventlet.spawn(swap)
    eventlet.spawn(victim)
    eventlet.sleep(0)
    trigger_end.send(b"x")
    right.send(b"x")
    swapper.wait()
    eventlet.sleep(0.03)
    assert log == ["nothing to read"]
    for sock in (trigger, trigger_end, right, *later):
        sock.close()


def test_closed_without_notice(hub):
    # The kernel, or the hub, forgets it; a new owner of the number is not confused.
    left, right = socket.socketpair()
    fileno = left.fileno()
    right.send(b"x")
    trampoline(left, read=True)
    left.close()
    other_left, other_right = take_over(fileno)
    with pytest.raises(eventlet.Timeout):
        trampoline(fileno, read=True, timeout=0.005)
    other_right.send(b"y")
    assert trampoline(fileno, read=True, timeout=5) == fileno
    for sock in (right, other_left, other_right):
        sock.close()


def test_number_that_changed_hands_in_another_os_thread(hub, quiet):
    # Another thread's hub takes a number over: those who waited for the old owner here are told
    # when somebody waits for the new one.
    left, right = socket.socketpair()
    fileno = left.fileno()
    old = eventlet.spawn(trampoline, left, read=True)
    eventlet.sleep(0)
    thread = threading.Thread(target=lambda: hubs.notify_close(fileno))
    thread.start()
    thread.join()
    left.close()
    other_left, other_right = take_over(fileno)
    try:
        new = eventlet.spawn(trampoline, fileno, read=True)
        eventlet.sleep(0)
        other_right.send(b"x")
        assert new.wait() == fileno
        with pytest.raises(IOClosed):
            old.wait()
        assert hub.get_readers() == []
    finally:
        for sock in (right, other_left, other_right):
            sock.close()


# ------------------------------------------------------------------------------------------------
# Timers


def test_timer(hub):
    done = Event()
    timer = hub.schedule_call_global(0.01, done.send, 5)
    assert isinstance(timer, Timer)
    assert timer.pending
    assert not timer.called
    assert timer.seconds == 0.01
    assert timer.tpl == (done.send, (5,), {})
    assert 0 < timer.scheduled_time - hub.clock() <= 0.01
    before = hub.get_timers_count()
    assert done.wait() == 5
    assert hub.get_timers_count() == before - 1
    assert timer.called
    assert not timer.pending
    assert timer.tpl is None
    timer.cancel()
    timer()


def test_timers_fire_in_order_of_deadline_and_submission(hub):
    log = []
    for number in range(10):
        hub.schedule_call_global(0, log.append, number)
    hub.schedule_call_global(-1, log.append, 10)
    eventlet.sleep(0)
    assert log == list(range(11))
    log.clear()
    for number in (5, 3, 4, 1, 2):
        hub.schedule_call_global(number / 500, log.append, number)
    eventlet.sleep(0.015)
    assert log == [1, 2, 3, 4, 5]


def test_timer_of_nothing_runs_in_the_next_turn(hub):
    log = []

    def first():
        log.append("first")
        hub.schedule_call_global(0, log.append, "child")

    hub.schedule_call_global(0, first)
    eventlet.sleep(0)
    assert log == ["first"]
    eventlet.sleep(0)
    assert log == ["first", "child"]


def test_cancel(hub):
    log = []
    timers = [hub.schedule_call_global(seconds, log.append, seconds) for seconds in (0, 0.001)]
    count = hub.stats()["timers"]
    for timer in timers:
        timer.cancel()
        assert timer.called
        assert not timer.pending
    assert hub.stats()["timers"] == count - 1
    eventlet.sleep(0.005)
    assert log == []
    timers[0].cancel()


def test_cancel_from_another_timer_of_the_round(hub):
    log = []

    def first():
        log.append("first")
        second.cancel()

    hub.schedule_call_global(0, first)
    second = hub.schedule_call_global(0, log.append, "second")
    eventlet.sleep(0)
    assert log == ["first"]


def test_copy_and_schedule(hub):
    log = []
    timer = Timer(0.001, log.append, 1)
    eventlet.sleep(0.003)
    assert log == []
    assert timer.pending
    copy = timer.copy()
    assert copy is not timer
    assert copy.tpl == timer.tpl
    assert copy.seconds == timer.seconds
    assert timer.schedule() is not None
    assert hub.add_timer(copy) is not None
    eventlet.sleep(0.005)
    assert log == [1, 1]
    with pytest.raises((ValueError, AttributeError)):
        timer.copy()


def test_timer_called_by_hand(hub):
    log = []
    timer = hub.schedule_call_global(0.001, log.append, 1)
    timer()
    assert log == [1]
    assert timer.called
    eventlet.sleep(0.003)
    assert log == [1]


def test_timer_scheduled_twice_fires_once(hub):
    log = []
    timer = Timer(0.001, log.append, 1)
    timer.schedule()
    timer.schedule()
    eventlet.sleep(0.005)
    assert log == [1]
    timer = Timer(10, log.append, 2)
    before = hub.stats()["timers"]
    timer.schedule()
    timer.schedule()
    timer.cancel()
    assert hub.stats()["timers"] == before


def test_timer_of_the_program(hub):
    class Mine:
        seconds = 0.001
        called = False

        def __call__(self):
            done.send("mine")

    done = Event()
    hub.add_timer(Mine())
    assert done.wait() == "mine"
    with pytest.raises(TypeError):
        hub.add_timer(object())
    with pytest.raises(AttributeError):
        hub.add_timer(print)


def test_timers_compare(hub):
    timers = [Timer(1, print), Timer(1, print)]
    assert timers[0] < timers[1] or timers[1] < timers[0]
    assert repr(timers[0]).startswith("Timer(1, (<built-in function print>")


def test_local_timer(hub):
    log = []
    hold = Event()

    def owner(hold):
        hub.schedule_call_local(0.002, log.append, "local")
        hub.schedule_call_global(0.002, log.append, "global")
        if hold is not None:
            hold.wait()

    eventlet.spawn(owner, None).wait()
    eventlet.sleep(0.01)
    assert log == ["global"]
    log.clear()
    eventlet.spawn(owner, hold)
    eventlet.sleep(0.01)
    assert log == ["local", "global"]
    hold.send()


def test_timer_that_raises(hub, capsys):
    def fail():
        raise Failure("in a timer")

    log = []
    hub.schedule_call_global(0, fail)
    hub.schedule_call_global(0, log.append, 1)
    eventlet.sleep(0)
    assert log == [1]
    assert "Failure: in a timer" in capsys.readouterr().err
    hub.debug_exceptions = False
    hub.schedule_call_global(0, fail)
    eventlet.sleep(0)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_timer_that_ends_the_program(hub, kind):
    def leave():
        raise kind

    hub.schedule_call_global(0, leave)
    with pytest.raises(kind):
        eventlet.sleep(10)
    eventlet.sleep(0)


def test_timer_for_a_dead_greenlet(hub, capsys):
    green_thread = eventlet.spawn(int)
    green_thread.wait()
    hub.schedule_call_global(0, green_thread.switch)
    eventlet.sleep(0.001)
    assert capsys.readouterr().err == ""


def test_blocking_in_a_timer_is_refused(hub, capsys):
    log = []

    def block():
        eventlet.sleep(0)
        log.append("sleep(0) does nothing")
        eventlet.sleep(0.1)
        log.append("not reached")

    hub.schedule_call_global(0, block)
    eventlet.sleep(0)
    assert log == ["sleep(0) does nothing"]
    assert "do not call blocking functions from the mainloop" in capsys.readouterr().err


def test_ten_thousand_timers(hub):
    log = []
    timers = [hub.schedule_call_global(n % 97 / 10_000, log.append, n) for n in range(10_000)]
    for timer in timers[::2]:
        timer.cancel()
    eventlet.sleep(0.05)
    assert sorted(log) == list(range(1, 10_000, 2))
    assert [number for number in log if number % 97 == 50] == sorted(
        number for number in log if number % 97 == 50
    )


@pytest.mark.parametrize("seconds", [0.0005, 0.001, 0.0123, 0.05])
def test_sleep_is_never_early_and_hardly_late(hub, seconds):
    # The best of several: the machine may have other things to do.
    for _ in range(100):
        begun = time.monotonic()
        eventlet.sleep(seconds)
        late = time.monotonic() - begun - seconds
        assert late >= 0
        if late < 0.005:
            break
    assert late < 0.005


@pytest.mark.parametrize("seconds", [1e10, 1e300, float("inf")])
def test_sleep_for_ever(hub, seconds):
    with pytest.raises(Failure), eventlet.Timeout(0.005, Failure):
        eventlet.sleep(seconds)
    assert hub.stats()["timers"] == 1


@pytest.mark.parametrize("seconds", [-1, 0, 0.0, float("-inf"), float("nan"), True])
def test_sleep_that_is_short(hub, seconds):
    log = []
    eventlet.spawn(log.append, 1)
    if seconds is True:
        seconds = False
    eventlet.sleep(seconds)
    assert log == [1]


def test_sleep_of_nonsense(hub):
    for wrong in ("1", None, object()):
        with pytest.raises(TypeError):
            eventlet.sleep(wrong)


# ------------------------------------------------------------------------------------------------
# Rounds


def test_busy_green_threads_starve_nobody(hub, pair):
    left, right = pair
    stop, seen = [], []

    def busy():
        while not stop:
            eventlet.sleep(0)

    def reader():
        for _ in range(20):
            trampoline(left, read=True)
            seen.append(left.recv(1))

    for _ in range(5):
        eventlet.spawn(busy)
    read = eventlet.spawn(reader)
    turns = hub.stats()["turns"]
    for number in range(20):
        right.send(bytes([number]))
        eventlet.sleep(0)
        eventlet.sleep(0)
    read.wait()
    assert hub.stats()["turns"] - turns < 200
    begun = hub.clock()
    eventlet.sleep(0.01)
    assert hub.clock() - begun < 1
    stop.append(True)
    assert seen == [bytes([number]) for number in range(20)]


def test_busy_descriptors_starve_nobody(hub, pair):
    left, right = pair
    right.send(b"x")
    # Always ready, as nobody reads.
    calls = []
    listener = hub.add(hub.READ, left.fileno(), calls.append, no_tb)
    begun = hub.clock()
    eventlet.sleep(0.005)
    assert hub.clock() - begun < 1
    for _ in range(10):
        eventlet.sleep(0)
    fired = Event()
    hub.schedule_call_global(0, fired.send)
    fired.wait()
    assert eventlet.spawn(int).wait() == 0
    hub.remove(listener)
    assert len(calls) > 5


def test_busy_timers_starve_nobody(hub, pair):
    left, right = pair
    stop = []

    def again():
        if not stop:
            hub.schedule_call_global(0, again)

    again()
    eventlet.spawn_after(0.002, right.send, b"x")
    assert trampoline(left, read=True, timeout=5)
    for _ in range(10):
        eventlet.sleep(0)
    stop.append(True)


def test_sleepers_take_turns(hub):
    log = []

    def worker(name):
        for _ in range(3):
            log.append(name)
            eventlet.sleep(0)

    workers = [eventlet.spawn(worker, name) for name in "abc"]
    for each in workers:
        each.wait()
    assert "".join(log) == "abcabcabc"


def test_stats_balance(hub):
    def work():
        eventlet.sleep(0)
        eventlet.sleep(0.001)

    start = hub.stats()
    green_threads = [eventlet.spawn(work) for _ in range(100)]
    for _ in range(100):
        eventlet.spawn_n(work)
    eventlet.sleep(0)
    middle = hub.stats()
    assert middle["spawned"] - start["spawned"] == 200
    assert middle["green_threads"] - start["green_threads"] == 200
    assert middle["parked"] == 200
    for green_thread in green_threads:
        green_thread.wait()
    green_threads = [eventlet.spawn(work) for _ in range(10)]
    for green_thread in green_threads[:5]:
        green_thread.kill()
    for green_thread in green_threads[5:]:
        green_thread.wait()
    eventlet.sleep(0.005)
    end = hub.stats()
    assert end["spawned"] - start["spawned"] == 210
    for key in ("green_threads", "parked", "timers", "queued"):
        assert end[key] == start[key], key
    for key in ("turns", "polls", "switches"):
        assert end[key] > middle[key] > start[key]


def test_clock(hub):
    before = time.monotonic()
    assert before <= hub.clock() <= time.monotonic()


# ------------------------------------------------------------------------------------------------
# The hub's greenlet


def test_switch_returns_what_is_passed(hub):
    me = eventlet.getcurrent()
    hub.schedule_call_global(0, me.switch, 5)
    assert hub.switch() == 5
    hub.schedule_call_global(0, me.throw, Failure)
    with pytest.raises(Failure):
        hub.switch()


def test_switch_in_the_hub_is_refused(hub, capsys):
    hub.schedule_call_global(0, hub.switch)
    eventlet.sleep(0)
    assert "Cannot switch to MAINLOOP from MAINLOOP" in capsys.readouterr().err


def test_switch_out_hook(hub):
    class Noticing(greenlet.greenlet):
        def switch_out(self):
            log.append(self)

    def body():
        hub.schedule_call_global(0, raw.switch)
        hub.switch()

    log = []
    raw = Noticing(body)
    hub.schedule_call_global(0, raw.switch)
    eventlet.sleep(0)
    eventlet.sleep(0)
    assert log == [raw]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("started", [True, False])
def test_hub_killed_from_the_main_greenlet(hub, started, error):
    if started:
        eventlet.sleep(0)
    waiting = eventlet.spawn_after(0.002, int, "5")
    old = hub.greenlet
    with pytest.raises(error):
        old.throw(error())
    assert old.dead
    hub.ensure_greenlet()
    assert hub.greenlet is not old
    assert not hub.running
    assert waiting.wait() == 5
    assert hub.running


def test_other_exceptions_do_not_kill_the_hub(hub, capsys):
    eventlet.sleep(0)
    old = hub.greenlet
    hub.schedule_call_global(0.001, eventlet.getcurrent().switch, "back")
    assert old.throw(Failure("thrown into the hub")) == "back"
    assert hub.greenlet is old
    assert not old.dead
    assert "Failure: thrown into the hub" in capsys.readouterr().err


def test_children_of_a_dead_hub_return_to_the_new_one(hub):
    go = Event()
    green_threads = [eventlet.spawn(go.wait) for _ in range(3)]
    eventlet.sleep(0)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            hub.greenlet.throw(KeyboardInterrupt())
        eventlet.sleep(0)
    go.send(1)
    # If one of them returned to the main greenlet when it ends, this sleep would be cut short.
    begun = hub.clock()
    eventlet.sleep(0.01)
    assert hub.clock() - begun >= 0.01
    for green_thread in green_threads:
        assert green_thread.dead
        assert green_thread.wait() == 1
    ran = []
    eventlet.spawn(ran.append, 1)
    eventlet.sleep(0)
    assert ran == [1]


def test_abort_and_restart(hub):
    eventlet.sleep(0)
    assert hub.running
    old = hub.greenlet
    for _ in range(3):
        hub.abort(wait=True)
        assert old.dead
        assert not hub.running
        assert not hub.stopping
        eventlet.sleep(0)
        assert hub.running
        assert hub.greenlet is not old
        old = hub.greenlet


def test_abort_without_waiting(hub):
    eventlet.sleep(0)
    hub.abort()
    assert hub.stopping
    assert hub.running
    log = []
    eventlet.spawn(log.append, 1)
    # The loop ends and with it this sleep.
    eventlet.sleep(10)
    assert not hub.running
    eventlet.sleep(0)
    assert log == [1]


def test_abort_of_one_that_does_not_run(hub):
    hub.abort()
    hub.abort(wait=True)
    assert eventlet.spawn(int).wait() == 0


def test_abort_in_the_hub(hub, capsys):
    hub.schedule_call_global(0, hub.abort, True)
    eventlet.sleep(0)
    assert "AssertionError" in capsys.readouterr().err
    hub.schedule_call_global(0.001, hub.abort)
    eventlet.sleep(10)
    assert not hub.running


def test_run_twice_is_refused(hub, capsys):
    hub.schedule_call_global(0, hub.run)
    eventlet.sleep(0)
    assert "RuntimeError: Already running!" in capsys.readouterr().err


def test_hub_dies_while_killing(hub):
    # The killer is queued in front; it goes on when the new hub runs.
    log = []

    def victim():
        try:
            Event().wait()
        finally:
            raise KeyboardInterrupt

    def killer():
        green_thread.kill()
        log.append("killer")

    green_thread = eventlet.spawn(victim)
    eventlet.sleep(0)
    eventlet.spawn(killer)
    with pytest.raises(KeyboardInterrupt):
        eventlet.sleep(10)
    assert green_thread.dead
    eventlet.sleep(0)
    assert log == ["killer"]


def test_destructors_may_use_the_hub(hub):
    # They run wherever a reference is dropped, so also in the middle of the hub's own work.
    log = []

    class Busy:
        def __init__(self, name):
            self.name = name

        def __call__(self, *args):
            pass

        def __del__(self):
            log.append(self.name)
            hub.schedule_call_global(0, log.append, self.name)
            eventlet.spawn(log.append, self.name).link(log.append)
            Timer(1, print, self).schedule().cancel()
            hub.get_readers()
            hub.stats()
            with contextlib.suppress(RuntimeError):
                eventlet.sleep(0)

    hub.schedule_call_global(0, Busy("timer"))
    hub.schedule_call_global(10, Busy("cancelled")).cancel()
    hub.call_soon_threadsafe(Busy("call"))
    eventlet.spawn(Busy("green thread"))
    eventlet.spawn_n(Busy("plain"))
    eventlet.spawn_after(10, Busy("killed")).kill()
    event = Event()
    event.send(Busy("event"))
    event.reset()
    left, right = socket.socketpair()
    listener = hub.add(hub.READ, left.fileno(), Busy("listener"), no_tb)
    hub.remove(listener)
    del listener
    hub.add(hub.READ, left.fileno(), no_tb, Busy("closed"))
    hub.notify_close(left.fileno())
    green_thread = eventlet.spawn(int)
    green_thread.link(Busy("link"))
    green_thread.unlink(None)
    green_thread.wait()
    del green_thread
    for _ in range(5):
        eventlet.sleep(0)
    names = {name for name in log if isinstance(name, str)}
    assert names == {
        "timer", "cancelled", "call", "green thread", "plain", "killed", "event", "listener",
        "closed", "link",
    }  # fmt: skip
    left.close()
    right.close()


def test_weakref_callbacks_may_use_the_hub(hub):
    woken = Event()

    def gone(_):
        eventlet.spawn(woken.send)

    green_thread = eventlet.spawn(int)
    reference = weakref.ref(green_thread, gone)
    del green_thread
    woken.wait()
    assert reference() is None


# ------------------------------------------------------------------------------------------------
# Other OS threads


def run_thread(function, *args):
    """Run a function in an OS thread of its own, without blocking the hub; return its result."""
    done = Event()

    def thread():
        try:
            done.send(function(*args))
        except BaseException as error:
            done.send(exc=error)

    os_thread = threading.Thread(target=thread, daemon=True)
    os_thread.start()
    try:
        return done.wait()
    finally:
        os_thread.join(10)


def test_call_soon_wakes_the_hub_at_once(hub):
    done = Event()
    times = []

    def thread():
        time.sleep(0.01)
        times.append(time.monotonic())
        hub.call_soon_threadsafe(done.send, "soon")

    os_thread = threading.Thread(target=thread)
    os_thread.start()
    assert done.wait() == "soon"
    assert time.monotonic() - times[0] < LONG / 2
    os_thread.join()


def test_hub_sleeps_again_after_a_call(hub):
    run_thread(hub.call_soon_threadsafe, int)
    polls = hub.stats()["polls"]
    eventlet.sleep(0.02)
    assert hub.stats()["polls"] - polls < 10


def test_call_soon_loses_nothing(hub):
    threads, calls = 8, 2000
    got = [[] for _ in range(threads)]
    done = Event()
    finished = []

    def finish():
        finished.append(1)
        if len(finished) == threads:
            done.send()

    def thread(number):
        for call in range(calls):
            hub.call_soon_threadsafe(got[number].append, call)
        hub.call_soon_threadsafe(finish)

    os_threads = [threading.Thread(target=thread, args=(n,)) for n in range(threads)]
    for os_thread in os_threads:
        os_thread.start()
    done.wait()
    for os_thread in os_threads:
        os_thread.join()
    assert got == [list(range(calls))] * threads


def test_call_soon_that_raises(hub, capsys):
    def fail():
        raise Failure("soon")

    hub.call_soon_threadsafe(fail)
    eventlet.sleep(0)
    eventlet.sleep(0)
    assert "Failure: soon" in capsys.readouterr().err
    with pytest.raises(TypeError):
        hub.call_soon_threadsafe()


def test_each_thread_has_its_hub(hub):
    other = run_thread(hubs.get_hub)
    assert other is not hub
    assert hubs.get_hub() is hub


def test_send_from_a_thread_without_a_hub(hub):
    event = Event()

    def thread():
        event.send("from afar")
        return _core.has_hub()

    waiter = eventlet.spawn(event.wait)
    eventlet.sleep(0)
    assert run_thread(thread) is False
    assert waiter.wait() == "from afar"


def test_two_hubs_play_ping_pong(hub):
    rounds = 300
    there, back = [Event() for _ in range(rounds)], [Event() for _ in range(rounds)]

    def thread():
        for number in range(rounds):
            assert there[number].wait() == number
            back[number].send(-number)
        return "over"

    player = eventlet.spawn(run_thread, thread)
    for number in range(rounds):
        there[number].send(number)
        assert back[number].wait() == -number
    assert player.wait() == "over"


def test_wait_for_a_green_thread_of_another_hub(hub):
    mine = eventlet.spawn_after(0.005, int, "5")
    assert run_thread(mine.wait) == 5

    def thread():
        green_thread = eventlet.spawn_after(0.005, int, "6")
        handed_over.send(green_thread)
        return green_thread.wait()

    handed_over = Event()
    runner = eventlet.spawn(run_thread, thread)
    assert handed_over.wait().wait() == 6
    assert runner.wait() == 6


def test_kill_a_green_thread_of_another_hub(hub):
    def thread():
        green_thread = eventlet.spawn(Event().wait)
        hubs.get_hub().debug_exceptions = False
        handed_over.send(green_thread)
        try:
            green_thread.wait()
        except Failure:
            return "killed"

    handed_over = Event()
    runner = eventlet.spawn(run_thread, thread)
    victim = handed_over.wait()
    greenthread.kill(victim, Failure)
    assert runner.wait() == "killed"


def test_cancel_a_timer_of_another_hub(hub):
    log = []
    timer = hub.schedule_call_global(0.01, log.append, 1)
    run_thread(timer.cancel)
    eventlet.sleep(0.02)
    assert log == []


def test_timer_for_a_sleeping_hub_from_another_thread(hub):
    woken = Event()
    os_thread = threading.Timer(0.01, lambda: hub.schedule_call_global(0.001, woken.send, 1))
    os_thread.start()
    begun = time.monotonic()
    assert woken.wait(LONG) == 1
    assert time.monotonic() - begun < LONG / 2
    os_thread.join()


def test_abort_from_another_thread(hub):
    eventlet.sleep(0)
    os_thread = threading.Timer(0.01, hub.abort)
    os_thread.start()
    begun = time.monotonic()
    eventlet.sleep(LONG)
    assert time.monotonic() - begun < LONG / 2
    assert not hub.running
    os_thread.join()


def test_close_from_another_thread(hub, quiet, pair):
    left, _ = pair
    waiter = eventlet.spawn(trampoline, left, read=True, timeout=5)
    os_thread = threading.Timer(0.01, hub.notify_close, (left.fileno(),))
    os_thread.start()
    with pytest.raises(IOClosed):
        waiter.wait()
    os_thread.join()


def test_greenlet_of_the_hub_belongs_to_its_thread(hub):
    # Asking for it elsewhere must not make it there, where the hub could never use it.
    with contextlib.suppress(RuntimeError):
        run_thread(lambda: hub.greenlet)
    assert eventlet.spawn(int, "3").wait() == 3


def test_hubs_of_ended_threads_are_freed(hub):
    def thread():
        eventlet.spawn(eventlet.sleep, 60)
        eventlet.sleep(0)
        references.append(weakref.ref(hubs.get_hub()))

    references = []
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        os_thread = threading.Thread(target=thread)
        os_thread.start()
        os_thread.join()
    gc.collect()
    eventlet.sleep(0)
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 2
    assert [reference() for reference in references] == [None] * 20


def test_parked_green_threads_of_a_thread_that_ends(hub, quiet, monkeypatch):
    log = []

    def parked(name):
        try:
            Event().wait()
        finally:
            log.append(name)
            # There is no hub left to wait on.
            with pytest.raises(RuntimeError, match="closed"):
                eventlet.sleep(0.001)
            log.append(f"{name} ends")

    def thread():
        for name in "ab":
            eventlet.spawn(parked, name)
        eventlet.spawn_n(parked, "c")
        eventlet.sleep(0)
        eventlet.spawn(parked, "never started")
        hubs.get_hub().schedule_call_global(0, log.append, "never called")

    os_thread = threading.Thread(target=thread)
    os_thread.start()
    os_thread.join()
    assert log == ["a", "a ends", "b", "b ends", "c", "c ends"]


def test_green_threads_of_an_ended_thread(hub, capsys):
    # Nobody can run them any more, and using them does no harm.
    def thread():
        event = Event()
        green_thread = eventlet.spawn(event.wait)
        eventlet.sleep(0)
        return event, green_thread

    event, green_thread = run_thread(thread)
    event.send(1)
    green_thread.kill()
    eventlet.sleep(0)
    assert eventlet.spawn(int).wait() == 0


# ------------------------------------------------------------------------------------------------
# Signals


@pytest.fixture
def alarm():
    """A function that has SIGALRM handled, soon."""
    previous = signal.getsignal(signal.SIGALRM)

    def arm(handler, seconds=0.02):
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    yield arm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)


def test_signal_while_the_hub_sleeps(hub, alarm):
    woken = Event()
    times = []

    def handler(signum, frame):
        times.append(time.monotonic())
        woken.send(signum)

    alarm(handler)
    assert woken.wait(2 * LONG) == signal.SIGALRM
    assert time.monotonic() - times[0] < LONG


def test_signal_handler_that_spawns(hub, alarm):
    woken = Event()
    alarm(lambda *_: eventlet.spawn(woken.send, "spawned"))
    assert woken.wait(5) == "spawned"


def test_signal_handler_that_calls_soon(hub, alarm):
    woken = Event()
    alarm(lambda *_: hub.call_soon_threadsafe(woken.send, "called"))
    assert woken.wait(5) == "called"


def test_signal_does_not_cut_a_sleep_short(hub, alarm):
    calls = []
    alarm(lambda *_: calls.append(1), 0.005)
    begun = time.monotonic()
    eventlet.sleep(0.03)
    assert time.monotonic() - begun >= 0.03
    assert calls == [1]


@pytest.mark.parametrize("kind", [Failure, KeyboardInterrupt, SystemExit])
def test_signal_handler_that_raises_while_the_hub_sleeps(hub, alarm, kind):
    def handler(signum, frame):
        raise kind("from the handler")

    sleeper = eventlet.spawn(eventlet.sleep, 0.05)
    alarm(handler)
    with pytest.raises(kind, match="from the handler"):
        eventlet.sleep(5)
    assert not hub.running
    # Nothing is lost.
    sleeper.wait()


def test_keyboard_interrupt_while_the_hub_sleeps(hub):
    os_thread = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT))

    def sleep():
        os_thread.start()
        eventlet.sleep(LONG)

    with pytest.raises(KeyboardInterrupt):
        sleep()
    os_thread.join()


def test_signals_while_busy(hub, alarm):
    # Without a pause in which the hub could sleep.
    calls = []
    alarm(lambda *_: calls.append(1), 0.005)
    while not calls:
        eventlet.sleep(0)


# ------------------------------------------------------------------------------------------------
# fork


FORK = """
import os, socket, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import eventlet
from eventlet import hubs
from eventlet.event import Event
from eventlet.hubs import trampoline

hub = hubs.get_hub()
left, right = socket.socketpair()
left.setblocking(False)
to_main = Event()
log = []

def fork():
    pid = os.fork()
    if pid == 0:
        hub.after_fork_in_child()
    return pid

def reader():
    # Parked here in both processes; each gets what the other writes.
    trampoline(left, read=True)
    return left.recv(100)

def ticker():
    while True:
        eventlet.sleep(0.001)
        log.append(1)

limit = eventlet.Timeout(20)
"""


@pytest.mark.parametrize("name", AVAILABLE)
@pytest.mark.parametrize("where", ["in the main greenlet", "in a green thread"])
def test_fork(run_python, name, where):
    call = "fork()" if where == "in the main greenlet" else "eventlet.spawn(fork).wait()"
    code = f"""{FORK}
eventlet.spawn_n(ticker)
reading = eventlet.spawn(reader)
sleeping = eventlet.spawn_after(0.01, int, "5")
eventlet.sleep(0.002)
pid = {call}
if pid == 0:
    log.clear()
    other = threading = None
    import threading
    woken = Event()
    threading.Timer(0.005, lambda: hub.call_soon_threadsafe(woken.send, "woken")).start()
    assert woken.wait() == "woken"
    assert sleeping.wait() == 5
    assert eventlet.spawn(int, "6").wait() == 6
    assert log
    right.send(b"child")
    os._exit(3)
log.clear()
assert reading.wait() == b"child"
assert sleeping.wait() == 5
assert log
_, status = os.waitpid(pid, 0)
print(os.WEXITSTATUS(status))
"""
    done = run_python(code, env={"EVENTLET_HUB": name})
    assert done.stdout == "3\n"


@pytest.mark.parametrize("name", AVAILABLE)
def test_fork_gives_the_child_a_poller_of_its_own(run_python, name):
    # What the child does with its descriptors must not disturb the parent, nor the other way.
    code = f"""{FORK}
pairs = [socket.socketpair() for _ in range(20)]
readers = [eventlet.spawn(trampoline, ours, read=True) for ours, _ in pairs]
eventlet.sleep(0)
go_left, go_right = socket.socketpair()
pid = fork()
if pid == 0:
    for number, (ours, _) in enumerate(pairs):
        if number % 2:
            hub.notify_close(ours.fileno())
            ours.close()
    eventlet.sleep(0.001)
    hub.debug_exceptions = False
    for _, theirs in pairs:
        theirs.send(b"x")
    for number, each in enumerate(readers):
        if number % 2 == 0:
            each.wait()
    go_right.send(b"x")
    os._exit(4)
trampoline(go_left, read=True)
for each in readers:
    each.wait()
_, status = os.waitpid(pid, 0)
print(os.WEXITSTATUS(status))
"""
    done = run_python(code, env={"EVENTLET_HUB": name})
    assert done.stdout == "4\n"


# ------------------------------------------------------------------------------------------------
# The garbage collector


def test_collector_that_runs_while_objects_are_made(hub):
    # With a threshold of 1 nearly every allocation starts a collection, also those that happen
    # while one of ours is half made.
    threshold = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(50):
            kept = [
                Event(),
                Timer(1, print, []),
                FdListener("read", 0, print, print, None),
                eventlet.GreenThread(),
                eventlet.spawn(list),
                _core.Hub(),
                type(hub)(),
            ]
            kept[0].send([kept])
            eventlet.sleep(0)
    finally:
        gc.set_threshold(*threshold)


@pytest.mark.parametrize(
    "make",
    [Event, eventlet.GreenThread, hubs.get_default_hub().Hub],
    ids=["Event", "GreenThread", "Hub"],
)
def test_cycles_through_attributes_are_collected(make):
    made = make()
    made.itself = made
    reference = weakref.ref(made)
    del made
    gc.collect()
    assert reference() is None
