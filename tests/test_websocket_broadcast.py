"""eventlet.websocket.broadcast: one message for many connections, and those that cannot take it."""

import contextlib
import ssl as _ssl
import zlib
from random import Random

import pytest

import eventlet
from eventlet import websocket
from eventlet.event import Event
from eventlet.green import socket, ssl
from eventlet.semaphore import Semaphore
from eventlet.websocket import WebSocketWSGI, broadcast
from support import certificates
from support.websocket_wire import BINARY, TEXT, Wire, request, serving

COMPRESSED = ["Sec-WebSocket-Extensions: permessage-deflate"]
PENDING = 64 << 10


@pytest.fixture(autouse=True)
def limit():
    with eventlet.Timeout(20), contextlib.ExitStack() as Wire.open:
        yield


class Hall:
    """A server whose connections stay open until the end of a test, in the order they came in."""

    def __init__(self, **options):
        self.connections = []
        self.came = Semaphore(0)
        self.over = Event()
        self.app = WebSocketWSGI(self.handle, **options)

    def handle(self, ws):
        self.connections.append(ws)
        self.came.release()
        self.over.wait()


@contextlib.contextmanager
def gathered(*headers, **options):
    """Clients with these headers each, and the server's ends of their connections."""
    hall = Hall(**options)
    with serving(hall.app) as address:
        wires = []
        for each in headers:
            wires.append(Wire(address, request(headers=each)))
            assert wires[-1].head()[0] == "HTTP/1.1 101 Switching Protocols"
            hall.came.acquire()
        yield hall.connections, wires
        hall.over.send()


def fill(ws):
    """Send until the client takes no more and a green thread waits for it; returns its messages."""

    def send():
        with contextlib.suppress(OSError):
            while True:
                sent.append(b"%7d" % len(sent) + b"x" * 100_000)
                ws.send(sent[-1])

    sent = []
    sender = eventlet.spawn(send)
    before = -1
    while before < len(sent):
        before = len(sent)
        eventlet.sleep(0.02)
    return sender, sent


def inflated(wire):
    """A function that returns the next message of a connection, whether it is compressed or not."""

    def received():
        first, length = wire.take(2)
        if length > 125:
            length = int.from_bytes(wire.take({126: 2, 127: 8}[length]), "big")
        payload = wire.take(length)
        return inflate.decompress(payload + b"\0\0\xff\xff") if first & 0x40 else payload

    # Each message may refer to those before.
    inflate = zlib.decompressobj(-15)
    return received


# ------------------------------------------------------------------------------------------------
# Those who get it


@pytest.mark.parametrize(
    "message", ["news", "ü" * 200, b"\xff" * 70_000, bytearray(b"array"), memoryview(b"view"), ""]
)
def test_everybody_gets_the_message(message):
    with gathered([], [], []) as (connections, wires):
        assert broadcast(connections, message) == []
        text = isinstance(message, str)
        expected = (TEXT, message.encode()) if text else (BINARY, bytes(message))
        assert [wire.frame() for wire in wires] == [expected] * 3


def test_the_connections_may_be_anything_that_is_iterable():
    with gathered([], []) as (connections, wires):
        assert broadcast(set(connections), "a") == []
        assert broadcast((ws for ws in connections), "b") == []
        assert broadcast([], "c") == []
        for wire in wires:
            assert [wire.frame()[1], wire.frame()[1]] == [b"a", b"b"]


def test_in_order_with_what_is_sent_otherwise():
    with gathered([], COMPRESSED) as (connections, wires):
        for number in range(50):
            broadcast(connections, f"all {number}")
            for ws in connections:
                ws.send(f"one {number}")
        expected = [f"{who} {n}".encode() for n in range(50) for who in ("all", "one")]
        for received in map(inflated, wires):
            assert [received() for _ in expected] == expected


def test_compressed_messages_leave_in_the_order_in_which_they_were_made():
    first, second, third = (Random(seed).randbytes(1_000_000) for seed in range(3))
    with gathered(COMPRESSED) as ([ws], [wire]):
        ws.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        received = inflated(wire)
        assert broadcast([ws], first) == []
        eventlet.sleep(0)  # somebody writes it
        # It is in the third, too, so it refers to that one if it is made later.
        eventlet.spawn(ws.send, third[-500:])
        eventlet.sleep(0)  # which waits for that
        assert broadcast([ws], second) == []
        assert received() == first
        # The sender has its turn, and writes the second before its own message.
        while ws._memory()[0] > len(second):
            eventlet.sleep(0)
        assert broadcast([ws], third) == []
        assert received() == second
        assert {received(), received()} == {third, third[-500:]}


def test_to_clients_and_from_clients():
    hall = Hall()
    with serving(hall.app) as (host, port):
        clients = [websocket.connect(f"ws://{host}:{port}/", compression=c) for c in (True, False)]
        for _ in clients:
            hall.came.acquire()
        assert broadcast(hall.connections, "down") == []
        assert broadcast(clients, "up") == []
        assert [ws.wait() for ws in clients] == ["down"] * 2
        assert [ws.wait() for ws in hall.connections] == ["up"] * 2
        hall.over.send()
        for client in clients:
            client.close()


def test_over_tls(tmp_path):
    cert, key = certificates.make(tmp_path)
    context = ssl.create_default_context(_ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    listener = context.wrap_socket(eventlet.listen(("127.0.0.1", 0)), server_side=True)
    trust = ssl.create_default_context(cafile=cert)
    hall = Hall()
    with serving(hall.app, listener) as (_, port):
        with websocket.connect(f"wss://localhost:{port}/", ssl=trust) as client:
            hall.came.acquire()
            for number in range(20):
                assert broadcast(hall.connections, str(number)) == []
            hall.connections[0].send("the end")
            assert [client.wait() for _ in range(21)] == [*map(str, range(20)), "the end"]
        hall.over.send()


# ------------------------------------------------------------------------------------------------
# Those who do not


def test_connections_that_are_closed_do_not_get_it():
    with gathered([], [], []) as (connections, wires):
        connections[1].close((1000, ""))
        assert broadcast(connections, "news") == [connections[1]]
        assert wires[0].frame() == wires[2].frame() == (TEXT, b"news")


@pytest.mark.parametrize("headers", [[], COMPRESSED])
def test_a_client_that_takes_nothing_holds_nobody_up(headers):
    def noise(number):
        # It does not shrink when it is compressed.
        return Random(number).randbytes(20_000)

    with gathered(headers, []) as (connections, wires):
        missed = []
        for number in range(10_000):
            message = noise(number)
            missed += [(ws, number) for ws in broadcast(connections, message, max_pending=PENDING)]
            assert wires[1].frame() == (BINARY, message)
            if missed:
                break
        assert [ws for ws, _ in missed] == connections[:1]
        # No more is kept for it than was allowed.
        memory, _ = connections[0]._memory()
        assert memory < 3 * PENDING
        # It gets all the others in order once it reads, and then new ones.
        received = inflated(wires[0])
        for expected in range(number):
            assert received() == noise(expected)
        assert broadcast(connections, b"news") == []
        assert received() == b"news"


def test_behind_a_message_that_waits_to_leave():
    with gathered([]) as ([ws], [wire]):
        sender, sent = fill(ws)
        assert broadcast([ws], "after it") == []
        assert broadcast([ws], "and this") == []
        assert broadcast([ws], "x" * PENDING, max_pending=PENDING) == [ws]
        got = []
        while len(got) < 2:
            kind, payload = wire.frame()
            if kind == TEXT:
                got.append((len(sent), payload))
            else:
                assert len(payload) == 100_007
        assert [payload for _, payload in got] == [b"after it", b"and this"]
        sender.kill()


def test_behind_a_message_whose_sender_is_interrupted():
    with gathered([]) as ([ws], [wire]):
        sender, sent = fill(ws)
        assert broadcast([ws], "after it") == []
        sender.kill()
        assert broadcast([ws], "and this") == []
        numbers = []
        while (received := wire.frame())[0] == BINARY:
            assert len(received[1]) == 100_007
            numbers.append(int(received[1][:7]))
        assert numbers in (list(range(len(sent) - 1)), list(range(len(sent))))
        assert received == (TEXT, b"after it")
        assert wire.frame() == (TEXT, b"and this")


def test_nothing_comes_between_fragments():
    with gathered([]) as ([ws], [wire]):
        ws.send("be", final=False)
        assert broadcast([ws], "news") == [ws]
        ws.send("gin", continuation=True)
        assert broadcast([ws], "news") == []
        assert [wire.frame() for _ in range(3)] == [(TEXT, b"be"), (0, b"gin"), (TEXT, b"news")]


def test_a_client_that_has_gone_harms_nobody():
    with gathered([], []) as (connections, wires):
        wires[0].sock.close()
        seen = []
        while not seen:
            seen = broadcast(connections, "news")
            assert wires[1].frame() == (TEXT, b"news")
        assert seen == connections[:1]


@pytest.mark.parametrize("message", [None, 1, ["a"]])
def test_what_cannot_be_sent(message):
    with gathered([]) as (connections, _), pytest.raises(TypeError, match="str or bytes-like"):
        broadcast(connections, message)


@pytest.mark.parametrize("other", [None, "ws", object()])
def test_nobody_gets_it_if_one_is_no_websocket(other):
    with gathered([]) as (connections, [wire]):
        with pytest.raises(TypeError, match="RFC6455WebSocket"):
            broadcast([*connections, other], "lost")
        broadcast(connections, "news")
        assert wire.frame() == (TEXT, b"news")


def test_it_does_not_switch():
    with gathered([], COMPRESSED) as (connections, wires):
        ran = []
        eventlet.spawn(ran.append, True)
        broadcast(connections, "news")
        assert ran == []
        eventlet.sleep(0)
        assert ran == [True]
        assert wires[0].frame() == (TEXT, b"news")
