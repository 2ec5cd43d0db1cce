"""eventlet.websocket.connect: the client's side."""

import base64
import contextlib
import io
import ssl as _ssl

import pytest

import eventlet
from eventlet import _core, websocket, wsgi
from eventlet.event import Event
from eventlet.green import socket, ssl
from eventlet.websocket import HandshakeError, WebSocketWSGI, connect
from support import certificates


@pytest.fixture(autouse=True)
def limit(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with eventlet.Timeout(20):
        yield


def echo(ws):
    for message in ws:
        ws.send(message)


@contextlib.contextmanager
def serving(app, sock=None):
    listener = eventlet.listen(("127.0.0.1", 0)) if sock is None else sock
    server = eventlet.spawn(wsgi.server, listener, app, log=io.StringIO())
    try:
        yield "{}:{}".format(*listener.getsockname())
    finally:
        server.kill()


@contextlib.contextmanager
def answering(answer):
    """A server that answers a request with bytes, or with what a function makes of the request."""

    def handle():
        sock, _ = listener.accept()
        with sock:
            data = b""
            while b"\r\n\r\n" not in data:
                data += sock.recv(65536)
            sock.sendall(answer(data.decode()) if callable(answer) else answer)
            requests.append(data.decode())
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass

    requests = []
    listener = eventlet.listen(("127.0.0.1", 0))
    server = eventlet.spawn(handle)
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}", requests
    finally:
        server.kill()
        listener.close()


def accepting(*fields, without=()):
    """A function that answers a handshake as it should be, but for some headers."""

    def answer(request):
        lines = dict(line.split(": ") for line in request.split("\r\n")[1:] if line)
        accept = _core.websocket_accept(lines["Sec-WebSocket-Key"])
        head = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept}"]
        head = [line for line in head if line.split(":")[0] not in without]
        return "\r\n".join(["HTTP/1.1 101 Fine", *head, *fields, "", ""]).encode()

    return answer


# ------------------------------------------------------------------------------------------------
# What it does


@pytest.mark.parametrize("compression", [True, False])
def test_messages_both_ways(compression):
    with serving(WebSocketWSGI(echo)) as address:
        with connect(f"ws://{address}/path?query", compression=compression) as ws:
            assert ("permessage-deflate" in ws.extensions) is compression
            assert ws.path == "/path?query"
            for message in ["", "text ä", b"", bytes(200_000), "x" * 1_000_000, b"\0\xff"]:
                ws.send(message)
                assert ws.wait() == message
            with pytest.raises(TimeoutError):
                ws.wait(timeout=0.01)
            ws.send("after")
            assert ws.wait(timeout=10) == "after"
        assert ws.websocket_closed
        assert ws.wait() is None
        with pytest.raises(BrokenPipeError):
            ws.send("too late")


def test_iteration_ends_with_the_connection():
    def handler(ws):
        for i in range(3):
            ws.send(f"{i}")
        ws.close(close_data=(4000, "enough"))

    with serving(WebSocketWSGI(handler)) as address:
        ws = connect(f"ws://{address}")
        assert list(ws) == ["0", "1", "2"]
        assert (ws.close_code, ws.close_reason) == (4000, "enough")


@pytest.mark.parametrize(("error", "code"), [(None, 1000), (KeyError, 1011)])
def test_leaving_the_block_closes(error, code):
    def handler(ws):
        ended.send((ws.wait(), ws.close_code))

    ended = Event()
    with serving(WebSocketWSGI(handler)) as address:
        with contextlib.suppress(KeyError), connect(f"ws://{address}"):
            if error is not None:
                raise error
        assert ended.wait() == (None, code)


def test_what_is_sent_to_the_server():
    with answering(accepting()) as (address, requests):
        url = f"ws://user:pa%20ss@{address}/a?b=c"
        names = ("one", "two")
        with connect(url, names, {"X-One": "1"}, origin="http://here") as ws:
            assert ws.protocol is None
        head = requests[0].split("\r\n")
    assert head[0] == "GET /a?b=c HTTP/1.1"
    assert f"Host: {address}" in head
    assert "Sec-WebSocket-Version: 13" in head
    assert "Sec-WebSocket-Protocol: one, two" in head
    assert "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits" in head
    assert "X-One: 1" in head
    assert "Origin: http://here" in head
    assert f"Authorization: Basic {base64.b64encode(b'user:pa ss').decode()}" in head


def test_sub_protocols():
    app = WebSocketWSGI.configured(echo, supported_protocols=["two"])
    with serving(app) as address:
        with connect(f"ws://{address}", ["one", "two"]) as ws:
            assert ws.protocol == "two"


def test_what_came_with_the_answer_is_not_lost():
    def answer(request):
        return accepting()(request) + b"\x81\x05early\x88\x00"

    with answering(answer) as (address, _), connect(f"ws://{address}") as ws:
        assert list(ws) == ["early"]
        assert ws.close_code == 1005


def test_over_tls(tmp_path):
    cert, key = certificates.make(tmp_path)
    context = ssl.create_default_context(_ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    listener = context.wrap_socket(eventlet.listen(("127.0.0.1", 0)), server_side=True)
    with serving(WebSocketWSGI(echo), listener) as address:
        # Contexts of the standard library will do.
        trust = _ssl.create_default_context(cafile=cert)
        with connect(f"wss://{address}", ssl=trust, timeout=10) as ws:
            ws.send("secret" * 10_000)
            assert ws.wait() == "secret" * 10_000
        with pytest.raises(_ssl.SSLCertVerificationError):
            connect(f"wss://{address}")


def test_over_a_socket_that_is_given(tmp_path):
    path = str(tmp_path / "ws")
    with serving_unix(path), socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        with connect("ws://localhost/", sock=sock) as ws:
            ws.send("local")
            assert ws.wait() == "local"


@contextlib.contextmanager
def serving_unix(path):
    listener = eventlet.listen(path, family=socket.AF_UNIX)
    server = eventlet.spawn(wsgi.server, listener, WebSocketWSGI(echo), log=io.StringIO())
    try:
        yield
    finally:
        server.kill()


# ------------------------------------------------------------------------------------------------
# Proxies


@contextlib.contextmanager
def proxying(status="200 Fine"):
    """A proxy that knows CONNECT; gives its address and what it was sent."""

    def pump(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def handle():
        sock, _ = listener.accept()
        data = b""
        while b"\r\n\r\n" not in data:
            data += sock.recv(65536)
        requests.append(data.decode())
        sock.sendall(f"HTTP/1.1 {status}\r\n\r\n".encode())
        if not status.startswith("200"):
            sock.close()
            return
        host, port = data.split()[1].decode().split(":")
        onward = socket.create_connection((host, int(port)))
        with sock, onward:
            there = eventlet.spawn(pump, sock, onward)
            pump(onward, sock)
            there.wait()

    requests = []
    listener = eventlet.listen(("127.0.0.1", 0))
    proxy = eventlet.spawn(handle)
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}", requests
    finally:
        proxy.kill()
        listener.close()


def test_through_a_proxy_that_is_named():
    with serving(WebSocketWSGI(echo)) as address, proxying() as (proxy, requests):
        with connect(f"ws://{address}", proxy=f"http://me:secret@{proxy}") as ws:
            ws.send("through")
            assert ws.wait() == "through"
        assert requests[0].startswith(f"CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n")
        credentials = base64.b64encode(b"me:secret").decode()
        assert f"Proxy-Authorization: Basic {credentials}\r\n" in requests[0]


def test_the_proxy_of_the_environment(monkeypatch):
    with serving(WebSocketWSGI(echo)) as address, proxying() as (proxy, requests):
        monkeypatch.setenv("http_proxy", f"http://{proxy}")
        for setting, options in [("127.0.0.1", {}), ("", {"proxy": None})]:
            monkeypatch.setenv("no_proxy", setting)
            with connect(f"ws://{address}", **options) as ws:
                ws.send("past it")
                assert ws.wait() == "past it"
        assert requests == []
        with connect(f"ws://{address}") as ws:
            ws.send("through")
            assert ws.wait() == "through"
        assert len(requests) == 1


def test_a_proxy_that_refuses():
    with proxying("407 Who are you") as (proxy, _):
        with pytest.raises(HandshakeError, match=r"the proxy .* answers 407") as caught:
            connect("ws://example.invalid", proxy=proxy)
        assert caught.value.status == 407


def test_proxies_that_cannot_be():
    with pytest.raises(ValueError, match="not the URL of an HTTP proxy"):
        connect("ws://example.invalid", proxy="socks5://127.0.0.1:1")


# ------------------------------------------------------------------------------------------------
# What goes wrong


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 404 No\r\nX: y\r\n\r\nbody", "the server answers 404 instead"),
        (b"HTTP/1.1 302 No\r\nLocation: ws://b/\r\n\r\n", r"answers 302 \(to ws://b/\)"),
        (b"SSH-2.0-x\r\n\r\n", "no answer of an HTTP server"),
        (b"HTTP/1.1 101 Fine\r\nno colon\r\n\r\n", "an answer with an invalid header"),
        (b"HTTP/1.1 101", "closed before an answer"),
        (b"HTTP/1.1 101 " + b"x" * 100_000, "a head of more than 65536 bytes"),
        (accepting(without=["Upgrade"]), "lacks 'Upgrade: websocket'"),
        (accepting(without=["Connection"]), "lacks 'Connection: Upgrade'"),
        (accepting(without=["Sec-WebSocket-Accept"]), "Sec-WebSocket-Accept for another key"),
        (accepting("Sec-WebSocket-Protocol: mine"), "sub-protocol that was not offered: 'mine'"),
        (accepting("Sec-WebSocket-Extensions: mine"), "extension that was not offered: mine"),
        (
            accepting("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99"),
            "invalid parameters of permessage-deflate",
        ),
    ],
)
def test_answers_that_open_no_websocket(answer, message):
    with answering(answer) as (address, _):
        with pytest.raises(HandshakeError, match=message) as caught:
            connect(f"ws://{address}")
    if "404" in message:
        assert (caught.value.status, caught.value.headers) == (404, {"x": "y"})
        assert caught.value.body == b"body"


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("http://a/", {}, "the scheme of a WebSocket's URL is ws or wss"),
        ("ws:///path", {}, "an URL without a host"),
        ("ws://a/#b", {}, "has no fragment"),
        ("ws://a/b c", {}, "characters that need escapes"),
        ("ws://a/", {"headers": {"X": "a\r\nY: b"}}, "no header: 'X'"),
        ("ws://a/", {"headers": [("X:", "a")]}, "no header: 'X:'"),
        ("ws://a/", {"subprotocols": ["a b"]}, "no name of a sub-protocol"),
    ],
)
def test_arguments_that_cannot_be(url, options, message):
    with pytest.raises(ValueError, match=message):
        connect(url, **options)


def test_nobody_there(listener):
    port = listener.getsockname()[1]
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        connect(f"ws://127.0.0.1:{port}")


def test_a_server_that_does_not_answer(listener, clean_hub):
    port = listener.getsockname()[1]
    with pytest.raises(TimeoutError, match=r"no WebSocket to 127\.0\.0\.1 within 0\.05 seconds"):
        connect(f"ws://127.0.0.1:{port}", timeout=0.05)


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"\x81\x81\0\0\0\0a", 1002), (b"\x82\x7f" + bytes(5) + b"\xff\xff\xff", 1009)],
)
def test_a_server_that_breaks_rules(data, code):
    def answer(request):
        return accepting()(request) + data

    with answering(answer) as (address, _), connect(f"ws://{address}") as ws:
        assert ws.wait() is None
        assert ws.close_code == code


def test_any_number_of_pongs_comes_at_once():
    def answer(request):
        return accepting()(request) + b"\x8a\0" * 200_000 + b"\x81\2ok"

    with answering(answer) as (address, _), connect(f"ws://{address}") as ws:
        assert ws.wait() == "ok"


def test_pings():
    def handler(ws):
        eventlet.sleep(10)

    with serving(WebSocketWSGI(handler)) as address:
        with connect(f"ws://{address}", ping_interval=0.02) as ws:
            # Nobody at the other end reads, so nobody answers.
            assert ws.wait() is None
            assert ws.close_code == 1006


def test_frames_by_themselves():
    with serving(WebSocketWSGI(echo)) as address, connect(f"ws://{address}") as ws:
        ws.send(b"Hello")
        frame = ws._recv_frame()
        assert (frame.opcode, frame.finished, frame.compressed) == (2, True, True)
        assert frame.getvalue() == b"\xf2\x48\xcd\xc9\xc9\x07\x00"
        ws._send(ws._pack_message("once more", masked=True))
        assert ws.wait() == "once more"
        assert ws._pack_message(b"Hello", control_code=9) == b"\x89\x05Hello"
    assert isinstance(ws, websocket.WebSocket)
