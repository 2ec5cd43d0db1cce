"""eventlet.websocket: the server's side, on the wire."""

import contextlib
import errno
import gc
import io
import ssl as _ssl
import struct
import sys
import weakref

import pytest

import eventlet
from eventlet import websocket, wsgi
from eventlet.event import Event
from eventlet.green import socket, ssl
from eventlet.websocket import RFC6455WebSocket, WebSocketWSGI
from support import certificates
from support.websocket_wire import (
    ACCEPT,
    BINARY,
    CLOSE,
    KEY,
    PING,
    PONG,
    TEXT,
    Wire,
    echo,
    frame,
    opened,
    request,
    serving,
)


@pytest.fixture(autouse=True)
def limit():
    with eventlet.Timeout(20), contextlib.ExitStack() as Wire.open:
        yield


# ------------------------------------------------------------------------------------------------
# The opening handshake


def answer(app, data):
    with serving(app) as address:
        return Wire(address, data).head()


def test_the_answer_to_a_handshake():
    assert answer(WebSocketWSGI(echo), request()) == [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {ACCEPT}",
    ]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (request().replace(b"keep-alive, Upgrade", b"keep-alive"), 400),
        (request().replace(b"GET", b"PUT"), 400),
        (request(version="12"), 426),
        (request(key="c2hvcnQ="), 400),
        (request(key=""), 400),
    ],
)
def test_what_is_no_handshake(data, status):
    head = answer(WebSocketWSGI(echo), data)
    assert head[0].startswith(f"HTTP/1.1 {status} ")
    assert "Connection: close" in head
    if status == 426:
        assert "Sec-Websocket-Version: 8, 13" in head


def test_sub_protocols_and_origins():
    def check(host, origin):
        seen.append((host, origin))
        return origin == "http://good"

    seen = []
    app = WebSocketWSGI.configured(echo, supported_protocols=["b", "c"], origin_checker=check)
    fields = ["Sec-WebSocket-Protocol: a, c, b", "Origin: http://good"]
    assert "Sec-WebSocket-Protocol: c" in answer(app, request(headers=fields))
    assert answer(app, request(headers=["Origin: http://bad"]))[0].startswith("HTTP/1.1 403 ")
    fields = ["Sec-WebSocket-Origin: http://good"]
    assert answer(app, request(version="8", headers=fields))[0].startswith("HTTP/1.1 101 ")
    assert seen == [("test", "http://good"), ("test", "http://bad"), ("test", "http://good")]


def test_configured_makes_a_decorator():
    @WebSocketWSGI.configured(max_frame_length=5, ping_interval=9)
    def app(ws):
        pass

    assert isinstance(app, WebSocketWSGI)
    assert (app.max_frame_length, app.ping_interval) == (5, 9)
    assert not app.support_legacy_versions
    assert WebSocketWSGI(echo).support_legacy_versions


def test_old_drafts_only_if_wanted():
    data = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
    data += b"Origin: http://a\r\n\r\n"
    assert answer(WebSocketWSGI(echo), data)[0].startswith("HTTP/1.1 101 ")
    assert answer(WebSocketWSGI.configured(echo), data)[0].startswith("HTTP/1.1 400 ")


def test_compression_is_agreed_to_if_wanted():
    fields = ["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"]
    head = answer(WebSocketWSGI(echo), request(headers=fields))
    agreed = "permessage-deflate; client_max_window_bits=15"
    assert head[-1] == f"Sec-WebSocket-Extensions: {agreed}"
    plain = answer(WebSocketWSGI(echo, compression=False), request(headers=fields))
    assert plain[-1] == f"Sec-WebSocket-Accept: {ACCEPT}"


def test_compression_without_a_context():
    fields = ["Sec-WebSocket-Extensions: permessage-deflate"]
    app = WebSocketWSGI(echo, context_takeover=False)
    with serving(app) as address:
        wire = Wire(address, request(headers=fields))
        agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        assert wire.head()[-1] == f"Sec-WebSocket-Extensions: {agreed}"
        for _ in range(2):
            wire.send(frame(TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00", rsv=4))
            assert wire.take(9) == b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"


def test_what_came_with_the_handshake_is_not_lost():
    with serving(WebSocketWSGI(echo)) as address:
        wire = Wire(address, request() + frame(TEXT, b"early") + frame(TEXT, b"bird"))
        assert wire.head()[0].startswith("HTTP/1.1 101 ")
        assert wire.frame() == (TEXT, b"early")
        assert wire.frame() == (TEXT, b"bird")


def test_attributes():
    def handler(ws):
        seen.append((ws.path, ws.origin, ws.protocol, ws.version, ws.websocket_closed, ws.client))
        assert ws.environ["PATH_INFO"] == "/chat"
        assert ws.log_context.startswith("server=test//chat client=127.0.0.1:")
        assert isinstance(ws, websocket.WebSocket)

    seen = []
    app = WebSocketWSGI.configured(handler, supported_protocols=["x"])
    with serving(app) as address:
        fields = ["Origin: http://o", "Sec-WebSocket-Protocol: x"]
        wire = Wire(address, request("/chat?q", headers=fields))
        wire.head()
        assert wire.closed_with() is None
    assert seen == [("/chat", "http://o", "x", 13, False, False)]


# ------------------------------------------------------------------------------------------------
# Messages


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 300_000])
def test_messages_of_all_sizes(size):
    with opened() as wire:
        payload = bytes(i % 251 for i in range(size))
        wire.send(frame(BINARY, payload))
        assert wire.frame() == (BINARY, payload)
        wire.send(frame(TEXT, b"x" * size))
        assert wire.frame() == (TEXT, b"x" * size)


def test_text_is_str_and_binary_is_bytes():
    def handler(ws):
        seen.extend(ws)

    seen = []
    with opened(WebSocketWSGI(handler)) as wire:
        wire.send(frame(TEXT, "κόσμε\0".encode()), frame(BINARY, b"\xff"), frame(TEXT))
        wire.send(frame(CLOSE, b"\x03\xe8"))
        assert wire.closed_with() == 1000
    assert seen == ["κόσμε\0", b"\xff", ""]


def test_a_message_is_an_object_like_any_other():
    texts = ["", "a", "\x7f", "ab", "x" * 5000, "ü", "x" * 5000 + "ü", "ü" + "x" * 5000]
    texts += ["x" * 1023 + "ß", "x" * 2000 + "\u20ac", "x" * 2000 + "\U0001f40d", "\0" * 70_000]
    messages = [*texts, *(text.encode() for text in texts)]

    def handler(ws):
        seen.extend(ws)

    seen = []
    with opened(WebSocketWSGI(handler)) as wire:
        for text in texts:
            wire.send(frame(TEXT, text.encode(), mask=b"\x9a\x00\xff\x41"))
        for text in texts:
            wire.send(frame(BINARY, text.encode(), mask=b"\x9a\x00\xff\x41"))
        wire.send(frame(CLOSE, b"\x03\xe8"))
        assert wire.closed_with() == 1000
    assert seen == messages
    for got, message in zip(seen, messages, strict=True):
        assert type(got) is type(message)
        assert hash(got) == hash(message)
        assert sys.getsizeof(got) == sys.getsizeof(message)


def test_byte_by_byte():
    with opened() as wire:
        for byte in frame(TEXT, b"slow", fin=False) + frame(PING, b"p") + frame(0, b"ly"):
            wire.send(bytes([byte]))
            eventlet.sleep(0)
        assert wire.frame() == (PONG, b"p")
        assert wire.frame() == (TEXT, b"slowly")


def test_many_messages_at_once():
    with opened() as wire:
        wire.send(*(frame(TEXT, b"%d" % i) for i in range(1000)))
        assert [wire.frame() for _ in range(1000)] == [(TEXT, b"%d" % i) for i in range(1000)]


@pytest.mark.parametrize(
    "message", ["text", "ü", b"bytes", bytearray(b"array"), memoryview(b"view"), ""]
)
def test_what_can_be_sent(message):
    def handler(ws):
        ws.send(message)

    with opened(WebSocketWSGI(handler)) as wire:
        text = isinstance(message, str)
        payload = message.encode() if text else bytes(message)
        assert wire.frame() == (TEXT if text else BINARY, payload)


@pytest.mark.parametrize("message", [None, 1, ["a"], object()])
def test_what_cannot_be_sent(message):
    ws = RFC6455WebSocket(None, {})
    with pytest.raises(TypeError, match="a message is a str or bytes-like, not"):
        ws.send(message)


def test_fragments_and_control_frames_can_be_sent():
    def handler(ws):
        ws.send("a", final=False)
        ws.ping(b"ping")
        ws.send("b", continuation=True, final=False)
        ws.send("c", continuation=True)
        ws.send(b"pong", control_code=10)
        with pytest.raises(websocket.ProtocolError):
            ws.send(b"", control_code=3)
        with pytest.raises(websocket.ProtocolError):
            ws.send(b"x" * 126, control_code=9)
        with pytest.raises(websocket.ProtocolError):
            ws.send(b"", final=False, control_code=9)

    with opened(WebSocketWSGI(handler)) as wire:
        assert wire.take(3) == b"\x01\x01a"
        assert wire.frame() == (PING, b"ping")
        assert wire.take(3) == b"\x00\x01b"
        assert wire.take(3) == b"\x80\x01c"
        assert wire.frame() == (PONG, b"pong")
        assert wire.closed_with() is None


# ------------------------------------------------------------------------------------------------
# Rules and limits


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(3), 1002),
        (frame(TEXT, rsv=4), 1002),
        (frame(TEXT, rsv=1), 1002),
        (b"\x81\x01a", 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(PING, fin=False), 1002),
        (frame(0, b"nothing before"), 1002),
        (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
        (frame(CLOSE, b"\x03"), 1002),
        (frame(CLOSE, b"\x03\xed"), 1002),
        (frame(CLOSE, b"\x03\xe8\xff"), 1007),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"\xe2\x82"), 1007),
        # At the first byte that cannot be right, though the frame is not complete.
        (frame(TEXT, b"\xf4\x90", length=100), 1007),
        (frame(BINARY, length=1001), 1009),
        (frame(BINARY, b"x" * 1000, fin=False) + frame(0, length=501), 1009),
    ],
)
def test_rules_of_the_protocol(data, code):
    def handler(ws):
        assert ws.wait() is None
        ended.send((ws.close_code, ws.websocket_closed, ws.wait()))

    ended = Event()
    app = WebSocketWSGI(handler, max_frame_length=1000, max_message_length=1500)
    with opened(app) as wire:
        wire.send(data)
        assert wire.closed_with() == code
        # For a code that may not be received, the answer says so.
        assert ended.wait() == (code, True, None)


def test_a_bomb_is_refused():
    import zlib

    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = deflate.compress(bytes(50_000_000)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    fields = ["Sec-WebSocket-Extensions: permessage-deflate"]
    with opened(WebSocketWSGI(echo, max_frame_length=100_000), headers=fields) as wire:
        wire.send(frame(BINARY, bomb[:-4], rsv=4))
        assert wire.closed_with() == 1009


def test_a_message_is_limited_as_a_frame_is_unless_told_otherwise():
    ws = RFC6455WebSocket(None, {}, max_frame_length=7)
    assert (ws.max_frame_length, ws.max_message_length) == (7, 7)
    ws = RFC6455WebSocket(None, {}, max_frame_length=7, max_message_length=70)
    ws.max_frame_length = 8
    assert (ws.max_frame_length, ws.max_message_length) == (8, 70)
    assert RFC6455WebSocket(None, {}).max_message_length == 8 << 20


# ------------------------------------------------------------------------------------------------
# The end


@pytest.mark.parametrize(("payload", "code"), [(b"", 1005), (b"\x0f\xa0why", 4000)])
def test_the_client_closes(payload, code):
    def handler(ws):
        assert list(ws) == ["last"]
        ended.send((ws.close_code, ws.close_reason, ws._remote_close_data, ws.websocket_closed))
        with pytest.raises(BrokenPipeError):
            ws.send("too late")

    ended = Event()
    with opened(WebSocketWSGI(handler)) as wire:
        wire.send(frame(TEXT, b"last"), frame(CLOSE, payload), frame(TEXT, b"not looked at"))
        assert wire.frame() == (CLOSE, payload[:2] or b"\x03\xe8")
        assert wire.is_at_end()
        reason = payload[2:].decode()
        assert ended.wait() == (code, reason, payload, True)


def test_the_client_goes_without_a_word():
    def handler(ws):
        ended.send((ws.wait(), ws.close_code, ws.websocket_closed))

    ended = Event()
    with opened(WebSocketWSGI(handler)) as wire:
        wire.sock.close()
        assert ended.wait() == (None, 1006, True)


def test_the_client_resets_the_connection():
    def handler(ws):
        ended.send((ws.wait(), ws.close_code))

    ended = Event()
    with opened(WebSocketWSGI(handler)) as wire:
        wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.sock.close()
        assert ended.wait() == (None, 1006)


def test_the_handler_closes():
    def handler(ws):
        ws.close(close_data=(4001, "so long ä" + "x" * 200))
        assert ws.websocket_closed
        assert ws.wait() is None
        ws.close()

    with opened(WebSocketWSGI(handler)) as wire:
        opcode, payload = wire.frame()
        assert (opcode, payload) == (CLOSE, b"\x0f\xa1" + ("so long ä" + "x" * 113).encode())
        assert wire.is_at_end()


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 70_000, -1, "1000"])
def test_codes_that_a_closing_frame_must_not_have(code):
    def handler(ws):
        with pytest.raises(ValueError, match="no code of a closing frame"):
            ws.close((code, ""))
        ws.send("still open")

    with opened(WebSocketWSGI(handler)) as wire:
        assert wire.frame() == (TEXT, b"still open")
        assert wire.closed_with() is None


def test_the_client_reads_the_closing_frame_though_it_was_still_sending():
    def handler(ws):
        ws.close(close_data=(4002, ""))

    with opened(WebSocketWSGI(handler)) as wire:
        # Closing at once with this unread would reset the connection.
        with contextlib.suppress(OSError):
            for _ in range(20):
                wire.send(frame(BINARY, bytes(10_000)))
                eventlet.sleep(0)
        assert wire.closed_with() == 4002


@pytest.mark.parametrize("error", [OSError(errno.ENOTSOCK, "odd"), ValueError("broken")])
def test_the_handler_fails(error):
    def handler(ws):
        raise error

    log = io.StringIO()
    with opened(WebSocketWSGI(handler), log=log) as wire:
        assert wire.closed_with() == 1011
    assert type(error).__name__ in log.getvalue()


def test_a_client_that_has_gone_is_no_failure_of_the_handler():
    def handler(ws):
        raise BrokenPipeError(errno.EPIPE, "gone")

    log = io.StringIO()
    with opened(WebSocketWSGI(handler), log=log) as wire:
        assert wire.closed_with() is None
    assert "Traceback" not in log.getvalue()


def test_a_server_that_stops_says_so(listener):
    def handler(ws):
        opened.send(True)
        ended.send(ws.wait())

    opened, ended = Event(), Event()
    server = eventlet.spawn(wsgi.server, listener, WebSocketWSGI(handler), log=io.StringIO())
    wire = Wire(listener.getsockname())
    wire.head()
    opened.wait()
    server.kill(KeyboardInterrupt)
    assert wire.closed_with() == 1001
    assert ended.wait() is None
    server.wait()


# ------------------------------------------------------------------------------------------------
# Other servers, sockets and applications


def tls(listener, folder):
    """A listener wrapped for TLS, and a context for clients of it."""
    cert, key = certificates.make(folder)
    context = ssl.create_default_context(_ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    return context.wrap_socket(listener, server_side=True), ssl.create_default_context(cafile=cert)


def test_over_tls(tmp_path):
    listener, trust = tls(eventlet.listen(("127.0.0.1", 0)), tmp_path)
    timed_out, ended = Event(), Event()

    def handler(ws):
        with pytest.raises(TimeoutError):
            ws.wait(timeout=0.01)
        timed_out.send()
        echo(ws)
        ended.send(ws.close_code)

    with serving(WebSocketWSGI(handler), listener) as address:
        sock = trust.wrap_socket(eventlet.connect(address), server_hostname="localhost")
        wire = Wire(None, sock=sock)
        wire.head()
        timed_out.wait()
        wire.send(frame(PING, b"p"), frame(BINARY, bytes(200_000)))
        assert wire.frame() == (PONG, b"p")
        assert wire.frame() == (BINARY, bytes(200_000))
        wire.send(frame(CLOSE, b"\x03\xe8"))
        assert wire.frame() == (CLOSE, b"\x03\xe8")
        assert ended.wait() == 1000


@pytest.mark.parametrize("kind", ["plain", "pool", "tls"])
def test_the_time_limits_of_requests_are_not_those_of_a_websocket(kind, tmp_path):
    options = dict.fromkeys(["head_timeout", "body_timeout", "send_timeout", "keepalive"], 0.5)
    listener = eventlet.listen(("127.0.0.1", 0))
    if kind == "pool":
        options["custom_pool"] = eventlet.GreenPool()
    elif kind == "tls":
        listener, trust = tls(listener, tmp_path)
    with serving(WebSocketWSGI(echo), listener, **options) as address:
        sock = eventlet.connect(address)
        if kind == "tls":
            sock = trust.wrap_socket(sock, server_hostname="localhost")
        wire = Wire(None, sock=sock)
        wire.head()
        eventlet.sleep(0.7)
        wire.send(frame(TEXT, b"still there"))
        assert wire.frame() == (TEXT, b"still there")


@pytest.mark.parametrize("pooled", [False, True])
def test_the_timeout_of_all_sockets_is_one_of_websockets_too(pooled):
    def handler(ws):
        with pytest.raises(TimeoutError):
            ws.wait()
        ws.send("late")

    pool = {"custom_pool": eventlet.GreenPool()} if pooled else {}
    with opened(WebSocketWSGI(handler), socket_timeout=0.05, **pool) as wire:
        assert wire.frame() == (TEXT, b"late")


def test_over_a_unix_socket(tmp_path):
    path = str(tmp_path / "ws")
    listener = eventlet.listen(path, family=socket.AF_UNIX)
    with serving(WebSocketWSGI(echo), listener):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        wire = Wire(None, sock=sock)
        wire.head()
        wire.send(frame(TEXT, b"local"))
        assert wire.frame() == (TEXT, b"local")


def test_behind_middleware():
    inner = WebSocketWSGI(echo)

    def middleware(environ, start_response):
        yield from inner(environ, start_response)

    with opened(middleware) as wire:
        wire.send(frame(TEXT, b"through"), frame(CLOSE))
        assert wire.frame() == (TEXT, b"through")
        assert wire.closed_with() == 1000


def test_with_what_gunicorn_gives():
    class Unreader:
        buf = io.BytesIO()

    class Reader:
        unreader = Unreader()

    class Body:
        reader = Reader()

    ours, theirs = socket.socketpair()
    Unreader.buf.write(frame(TEXT, b"early"))
    environ = {
        "REQUEST_METHOD": "GET",
        "HTTP_CONNECTION": "Upgrade",
        "HTTP_UPGRADE": "websocket",
        "HTTP_SEC_WEBSOCKET_VERSION": "13",
        "HTTP_SEC_WEBSOCKET_KEY": KEY,
        "gunicorn.socket": ours,
        "wsgi.input": Body(),
    }
    running = eventlet.spawn(WebSocketWSGI(echo), environ, None)
    wire = Wire(None, b"", sock=theirs)
    assert f"Sec-WebSocket-Accept: {ACCEPT}" in wire.head()
    assert wire.frame() == (TEXT, b"early")
    wire.send(frame(CLOSE))
    assert wire.closed_with() == 1000
    assert running.wait() == []


def test_without_a_way_to_the_socket():
    environ = {
        "HTTP_CONNECTION": "Upgrade",
        "HTTP_UPGRADE": "websocket",
        "HTTP_SEC_WEBSOCKET_VERSION": "13",
        "HTTP_SEC_WEBSOCKET_KEY": KEY,
    }
    with pytest.raises(RuntimeError, match="no way to the client's socket"):
        WebSocketWSGI(echo)(environ, None)


def test_the_socket_may_be_taken_before():
    """As python-engineio does it."""

    class Application(WebSocketWSGI):
        def __call__(self, environ, start_response):
            self._sock = environ["eventlet.input"].get_socket()
            return super().__call__(environ, start_response)

    app = Application(echo, max_frame_length=100)
    with opened(app) as wire:
        wire.send(frame(TEXT, b"hello"))
        assert wire.frame() == (TEXT, b"hello")


# ------------------------------------------------------------------------------------------------
# What it costs


def test_an_idle_connection_is_small_and_leaves_nothing_behind(clean_hub):
    def handler(ws):
        seen.append(weakref.ref(ws))
        for message in ws:
            ws.send(message[:5])
            memory.append(ws._memory())

    seen, memory = [], []
    offer = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"
    with opened(WebSocketWSGI(handler), headers=[f"Sec-WebSocket-Extensions: {offer}"]) as wire:
        for _ in range(3):
            wire.send(frame(BINARY, bytes(300_000)))
            assert wire.take(1) == b"\xc2"
            wire.take(wire.take(1)[0])
        wire.send(frame(CLOSE))
        assert wire.closed_with() == 1000
        eventlet.sleep(0)
        gc.collect()
        assert seen[0]() is None
    assert len(memory) == 3
    assert all(size < 1024 and not has_state for size, has_state in memory)


def test_objects_in_cycles_are_collected():
    ws = RFC6455WebSocket(None, {})
    ws.myself = ws
    gone = weakref.ref(ws)
    del ws
    gc.collect()
    assert gone() is None
