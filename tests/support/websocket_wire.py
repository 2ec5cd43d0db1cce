"""A WebSocket client that sees every byte, and servers for it."""

import contextlib
import io
import struct

import eventlet
from eventlet import wsgi
from eventlet.websocket import WebSocketWSGI

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


@contextlib.contextmanager
def serving(app, sock=None, log=None, **options):
    """Serve an application; gives the address."""
    listener = eventlet.listen(("127.0.0.1", 0)) if sock is None else sock
    log = io.StringIO() if log is None else log
    server = eventlet.spawn(wsgi.server, listener, app, log=log, **options)
    try:
        yield listener.getsockname()
    finally:
        server.kill()


def request(path="/", version="13", key=KEY, headers=()):
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: test",
        "Upgrade: websocket",
        "Connection: keep-alive, Upgrade",
        f"Sec-WebSocket-Version: {version}",
        f"Sec-WebSocket-Key: {key}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def frame(opcode, payload=b"", fin=True, mask=b"\x01\x02\x03\x04", length=None, rsv=0):
    """A frame of a client."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    length = len(payload) if length is None else length
    if length < 126:
        head = struct.pack("!BB", first, 0x80 | length)
    elif length < 65536:
        head = struct.pack("!BBH", first, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, length)
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


class Wire:
    """A client. Its class keeps those that are open, for a test to close."""

    open = contextlib.ExitStack()

    def __init__(self, address, data=None, sock=None):
        self.sock = eventlet.connect(address) if sock is None else sock
        self.open.callback(self.sock.close)
        self.received = b""
        if data is None:
            data = request()
        self.sock.sendall(data)

    def head(self):
        while b"\r\n\r\n" not in self.received:
            self.more()
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        return head.decode("latin-1").split("\r\n")

    def more(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        self.received += data

    def take(self, size):
        while len(self.received) < size:
            self.more()
        taken, self.received = self.received[:size], self.received[size:]
        return taken

    def frame(self):
        first, length = self.take(2)
        if length == 126:
            (length,) = struct.unpack("!H", self.take(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.take(8))
        assert first & 0x70 == 0
        return first & 15, self.take(length)

    def closed_with(self):
        """The code of the closing frame that comes next; then the end of the connection."""
        opcode, payload = self.frame()
        assert opcode == CLOSE
        assert self.is_at_end()
        return struct.unpack("!H", payload[:2])[0] if payload else None

    def is_at_end(self):
        return self.received == b"" and self.sock.recv(1) == b""

    def send(self, *frames):
        self.sock.sendall(b"".join(frames))


def echo(ws):
    for message in ws:
        ws.send(message)


@contextlib.contextmanager
def opened(app=None, headers=(), **options):
    """A client of a server, after the handshake."""
    app = WebSocketWSGI(echo) if app is None else app
    with serving(app, **options) as address:
        wire = Wire(address, request(headers=headers))
        assert wire.head()[0] == "HTTP/1.1 101 Switching Protocols"
        yield wire
        wire.sock.close()
