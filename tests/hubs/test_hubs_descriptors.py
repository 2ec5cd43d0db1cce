"""Hubs and descriptors: trampoline, listeners, what is closed while somebody waits for it."""

import contextlib
import errno
import itertools
import os
import socket
import threading

import pytest

import eventlet
from eventlet import hubs
from eventlet.event import Event
from eventlet.hubs import IOClosed, trampoline
from eventlet.hubs.hub import FdListener
from support.hubs import Failure, drain, fill, no_tb, take_over

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
