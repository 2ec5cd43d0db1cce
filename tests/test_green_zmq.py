"""eventlet.green.zmq: ZeroMQ sockets in green threads."""

import gc
import time
import warnings
import weakref

import pytest

import eventlet
from eventlet.green import socket

plain_zmq = pytest.importorskip("zmq", reason="pyzmq is not installed")
zmq = pytest.importorskip("eventlet.green.zmq")


@pytest.fixture
def context(clean_hub):
    """A green context, destroyed afterwards with all its sockets."""
    opened = []

    class Context(zmq.Context):
        def socket(self, *args, **kwargs):
            opened.append(super().socket(*args, **kwargs))
            return opened[-1]

    made = Context()
    yield made
    # Closes what is still open.
    made.destroy(linger=0)
    opened.clear()


@pytest.fixture
def pair(context):
    """A function that returns two connected sockets of these types."""

    def make(one, two):
        first = context.socket(one)
        second = context.socket(two)
        port = first.bind_to_random_port("tcp://127.0.0.1")
        second.connect(f"tcp://127.0.0.1:{port}")
        return first, second

    return make


@pytest.fixture(autouse=True)
def time_limit():
    with eventlet.Timeout(20):
        yield


def test_names():
    assert set(plain_zmq.__all__) <= set(zmq.__all__)
    for name in zmq.__all__:
        assert hasattr(zmq, name), name
    assert issubclass(zmq.Socket, plain_zmq.Socket)
    assert isinstance(zmq.Context.instance(), zmq.Context)
    assert not isinstance(plain_zmq.Context.instance(), zmq.Context)
    zmq.Context.instance().term()
    plain_zmq.Context.instance().term()


def test_nothing_blocks(pair):
    requester, replier = pair(zmq.REQ, zmq.REP)

    def serve():
        for _ in range(100):
            replier.send(replier.recv()[::-1])

    serving = eventlet.spawn(serve)
    for i in range(100):
        requester.send(b"%d" % i)
        assert requester.recv() == (b"%d" % i)[::-1]
    serving.wait()


def test_sending_waits_for_room(context):
    sender = context.socket(zmq.PUSH)
    receiver = context.socket(zmq.PULL)
    sender.sndhwm = receiver.rcvhwm = 2
    address = "inproc://room"
    sender.bind(address)
    receiver.connect(address)
    sent = []

    def send():
        for i in range(100):
            sender.send(b"%d" % i)
            sent.append(i)

    sending = eventlet.spawn(send)
    for _ in range(3):
        eventlet.sleep(0)
    assert 0 < len(sent) < 100
    assert [int(receiver.recv()) for _ in range(100)] == list(range(100))
    sending.wait()


def test_no_peer_yet(context):
    """Room to send, and something to receive, come with the peer; meanwhile nobody is busy."""
    sock = context.socket(zmq.DEALER)
    port = sock.bind_to_random_port("tcp://127.0.0.1")
    sending = eventlet.spawn(sock.send, b"question")
    receiving = eventlet.spawn(sock.recv)
    eventlet.sleep(0)
    before = time.process_time()
    eventlet.sleep(0.2)
    assert time.process_time() - before < 0.1
    peer = context.socket(zmq.DEALER)
    peer.connect(f"tcp://127.0.0.1:{port}")
    assert peer.recv() == b"question"
    peer.send(b"answer")
    assert receiving.wait() == b"answer"
    sending.wait()


def test_many_receivers_take_turns(pair):
    sender, receiver = pair(zmq.PUSH, zmq.PULL)
    got = []

    def receive(i):
        got.append((i, receiver.recv()))

    receiving = [eventlet.spawn(receive, i) for i in range(10)]
    eventlet.sleep(0)
    for i in range(10):
        sender.send(b"%d" % i)
    for each in receiving:
        each.wait()
    assert got == [(i, b"%d" % i) for i in range(10)]


def test_parts_of_messages_stay_together(pair):
    one, two = pair(zmq.DEALER, zmq.DEALER)
    one.sndhwm = 1
    messages = [[b"%d" % i, b"%d" % (i + 1), b"%d" % (i + 2)] for i in range(50)]
    sending = [eventlet.spawn(one.send_multipart, message) for message in messages]
    received = [two.recv_multipart() for _ in messages]
    for each in sending:
        each.wait()
    assert received == messages


def test_killed_waiter_leaves_no_trace(pair):
    sender, receiver = pair(zmq.PUSH, zmq.PULL)
    waiting = [eventlet.spawn(receiver.recv) for _ in range(3)]
    eventlet.sleep(0)
    waiting[0].kill()
    waiting[2].kill()
    sender.send(b"one")
    sender.send(b"two")
    assert waiting[1].wait() == b"one"
    assert receiver.recv() == b"two"


def test_timeout_leaves_the_socket_usable(pair):
    sender, receiver = pair(zmq.PUSH, zmq.PULL)
    with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.02):
        receiver.recv()
    sender.send(b"late")
    assert receiver.recv() == b"late"


def test_timeouts_of_the_socket(context):
    sock = context.socket(zmq.DEALER)
    sock.bind_to_random_port("tcp://127.0.0.1")
    sock.rcvtimeo = sock.sndtimeo = 20
    for function in (sock.recv, lambda: sock.send(b"")):
        started = time.monotonic()
        with pytest.raises(zmq.Again) as caught:
            function()
        assert time.monotonic() - started >= 0.015
        assert eventlet.is_timeout(caught.value)
    sock.rcvtimeo = 0
    with pytest.raises(zmq.Again):
        sock.recv()


def test_not_to_wait(context):
    sock = context.socket(zmq.PULL)
    sock.bind_to_random_port("tcp://127.0.0.1")
    with pytest.raises(zmq.Again) as caught:
        sock.recv(zmq.DONTWAIT)
    assert not eventlet.is_timeout(caught.value)
    with pytest.raises(zmq.Again):
        sock.recv_multipart(zmq.NOBLOCK)


def test_close_wakes_those_who_wait(context):
    sock = context.socket(zmq.DEALER)
    sock.bind_to_random_port("tcp://127.0.0.1")
    waiting = [eventlet.spawn(sock.recv), eventlet.spawn(sock.recv), eventlet.spawn(sock.send, b"")]
    polling = eventlet.spawn(sock.poll)
    eventlet.sleep(0)
    sock.close()
    for each in [*waiting, polling]:
        with pytest.raises(zmq.ZMQError) as caught:
            each.wait()
        assert caught.value.errno in (zmq.ENOTSUP, zmq.ENOTSOCK)


def test_terminating_the_context_wakes_those_who_wait(clean_hub):
    context = zmq.Context()
    sock = context.socket(zmq.PULL)
    sock.bind_to_random_port("tcp://127.0.0.1")

    def receive():
        try:
            with pytest.raises(zmq.ContextTerminated):
                sock.recv()
        finally:
            sock.close()

    receiving = eventlet.spawn(receive)
    eventlet.sleep(0)
    # Returns when the socket has been closed, by a green thread of the same OS thread.
    context.term()
    receiving.wait()
    assert context.closed


@pytest.mark.parametrize("name", ["string", "json", "pyobj", "multipart", "serialized"])
def test_kinds_of_messages(pair, name):
    sender, receiver = pair(zmq.PUSH, zmq.PULL)
    message = {
        "string": "a",
        "json": {"a": [1]},
        "pyobj": {1, 2},
        "multipart": [b"a", b"b"],
        "serialized": "a",
    }[name]
    more = {"serialized": [lambda text: [text.encode()]]}.get(name, [])
    back = {"serialized": [lambda parts: parts[0].decode()]}.get(name, [])
    receiving = eventlet.spawn(getattr(receiver, f"recv_{name}"), *back)
    eventlet.sleep(0)
    getattr(sender, f"send_{name}")(message, *more)
    assert receiving.wait() == message


@pytest.mark.skipif(not hasattr(plain_zmq.Socket, "recv_into"), reason="needs pyzmq 27")
def test_recv_into(pair):
    sender, receiver = pair(zmq.PUSH, zmq.PULL)
    buffer = bytearray(4)
    receiving = eventlet.spawn(receiver.recv_into, buffer)
    eventlet.sleep(0)
    sender.send(b"abc")
    assert receiving.wait() == 3
    assert buffer == b"abc\0"


def test_asking_for_events_wakes_the_receiver(pair):
    sender, receiver = pair(zmq.PUSH, zmq.PULL)
    receiving = eventlet.spawn(receiver.recv)
    eventlet.sleep(0)
    sender.send(b"message")
    # This reads the announcement that the hub would have seen.
    while not receiver.getsockopt(zmq.EVENTS) & zmq.POLLIN:
        pass
    assert receiving.wait() == b"message"


@pytest.mark.parametrize("wait", ["recv", "poll"])
def test_other_green_threads_swallow_announcements(pair, wait):
    """A message arrives just before another green thread uses the socket."""
    one, two = pair(zmq.DEALER, zmq.DEALER)
    plain = plain_zmq.Socket.shadow(one.underlying)
    waiting = eventlet.spawn(getattr(one, wait))
    eventlet.sleep(0)
    two.send(b"message")
    while not plain.get(zmq.EVENTS) & zmq.POLLIN:
        pass
    one.send(b"something else")
    assert waiting.wait() == {"recv": b"message", "poll": zmq.POLLIN}[wait]


def test_a_poller_swallows_an_announcement(pair):
    sender, receiver = pair(zmq.PUSH, zmq.PULL)
    receiving = eventlet.spawn(receiver.recv)
    eventlet.sleep(0)
    sender.send(b"message")
    poller = zmq.Poller()
    poller.register(receiver, zmq.POLLIN)
    while not poller.poll(0):
        pass
    assert receiving.wait() == b"message"


# ------------------------------------------------------------------------------------------------
# Pollers


def test_poll_of_a_socket(pair):
    sender, receiver = pair(zmq.PUSH, zmq.PULL)
    assert receiver.poll(10) == 0
    polling = eventlet.spawn(receiver.poll)
    eventlet.sleep(0)
    sender.send(b"")
    assert polling.wait() == zmq.POLLIN
    assert receiver.poll(0) == zmq.POLLIN


def test_poller_of_many_things(pair, context):
    sender, receiver = pair(zmq.PUSH, zmq.PULL)
    left, right = socket.socketpair()
    plain = plain_zmq.Socket(plain_zmq.Context.shadow(context), zmq.PULL)
    port = plain.bind_to_random_port("tcp://127.0.0.1")
    to_plain = context.socket(zmq.PUSH)
    to_plain.connect(f"tcp://127.0.0.1:{port}")
    poller = zmq.Poller()
    for each in (receiver, left, plain):
        poller.register(each, zmq.POLLIN)
    with left, right, plain:
        for act, ready in [
            (lambda: sender.send(b""), receiver),
            (lambda: right.send(b"a"), left.fileno()),
            (lambda: to_plain.send(b""), plain),
        ]:
            polling = eventlet.spawn(poller.poll)
            eventlet.sleep(0)
            act()
            assert dict(polling.wait()) == {ready: zmq.POLLIN}
            if ready is receiver:
                receiver.recv()
            elif ready is plain:
                plain.recv()
            else:
                left.recv(1)
        assert poller.poll(10) == []


def test_poll_for_room_in_a_pipe(context):
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        while True:
            try:
                left.send(bytes(65536))
            except BlockingIOError:
                break
        poller = zmq.Poller()
        poller.register(left.fileno(), zmq.POLLOUT)
        assert poller.poll(10) == []
        polling = eventlet.spawn(poller.poll)
        eventlet.sleep(0)
        right.setblocking(False)
        while True:
            try:
                right.recv(65536)
            except BlockingIOError:
                break
        assert polling.wait() == [(left.fileno(), zmq.POLLOUT)]


def test_two_pollers_of_a_socket(pair):
    sender, receiver = pair(zmq.PUSH, zmq.PULL)
    polling = [eventlet.spawn(receiver.poll) for _ in range(2)]
    eventlet.sleep(0)
    before = time.process_time()
    eventlet.sleep(0.1)
    assert time.process_time() - before < 0.08
    sender.send(b"")
    assert [each.wait() for each in polling] == [zmq.POLLIN] * 2


def test_select(pair):
    sender, receiver = pair(zmq.PUSH, zmq.PULL)
    assert zmq.select([receiver], [], [], 0.01) == ([], [], [])
    assert zmq.select([receiver], [sender], [], 10) == ([], [sender], [])
    selecting = eventlet.spawn(zmq.select, [receiver], [], [receiver])
    eventlet.sleep(0)
    sender.send(b"")
    assert selecting.wait() == ([receiver], [], [])


def test_proxy(context):
    frontend, backend, capture = (context.socket(kind) for kind in (zmq.PULL, zmq.PUSH, zmq.PUSH))
    sender, receiver, captured = (context.socket(kind) for kind in (zmq.PUSH, zmq.PULL, zmq.PULL))
    for bound, connected in ((frontend, sender), (backend, receiver), (capture, captured)):
        port = bound.bind_to_random_port("tcp://127.0.0.1")
        connected.connect(f"tcp://127.0.0.1:{port}")
    passing = eventlet.spawn(zmq.proxy, frontend, backend, capture)
    sender.send_multipart([b"a", b"b"])
    assert receiver.recv_multipart() == [b"a", b"b"]
    assert captured.recv_multipart() == [b"a", b"b"]
    frontend.close()
    with pytest.raises(zmq.ZMQError):
        passing.wait()


# ------------------------------------------------------------------------------------------------
# Resources


def test_idle_sockets_are_not_watched(pair, hub):
    before = len(hub.get_readers())
    sender, receiver = pair(zmq.PUSH, zmq.PULL)
    sender.send(b"")
    receiver.recv()
    assert len(hub.get_readers()) == before


def test_sockets_that_nobody_holds_go_away(clean_hub):
    context = zmq.Context()
    sock = context.socket(zmq.PULL)
    sock.bind_to_random_port("tcp://127.0.0.1")
    with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.01):
        sock.recv()
    gone = weakref.ref(sock)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del sock
        eventlet.sleep(0)  # the hub lets go of the Timeout
        gc.collect()
    assert gone() is None
    context.term()


# ------------------------------------------------------------------------------------------------
# Locks


def test_queue_lock():
    lock = zmq._QueueLock()
    got = []

    def take(i):
        with lock:
            got.append(i)
            eventlet.sleep(0)

    with lock:
        with lock:
            waiting = [eventlet.spawn(take, i) for i in range(3)]
            eventlet.sleep(0)
        assert lock
        eventlet.sleep(0)
        assert got == []
        waiting[1].kill()
    waiting[0].wait()
    waiting[2].wait()
    assert got == [0, 2]
    assert not lock
    with pytest.raises(zmq.LockReleaseError):
        lock.release()


def test_blocked_thread():
    place = zmq._BlockedThread()
    assert not place
    assert not place.wake()
    waiting = eventlet.spawn(place.block)
    eventlet.sleep(0)
    assert place
    with pytest.raises(RuntimeError):
        place.block()
    assert place.wake()
    assert not place.wake()
    waiting.wait()
    assert not place
    place.block(deadline=eventlet.hubs.get_hub().clock() + 0.01)
    place.block(deadline=0)
