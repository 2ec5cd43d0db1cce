"""What the programs of these tests talk to, in a process without green threads.

    python peer.py http [CERTIFICATE KEY]
    python peer.py smtp
    python peer.py dns
    python peer.py ftp
    python peer.py delay HOST PORT

It prints the port that it listens on. Each of them makes its clients wait: `delay` stands in front
of another server and holds back each of its answers.
"""

from __future__ import annotations

import http.server
import socket
import socketserver
import ssl
import sys
import threading
import time
from urllib.parse import parse_qs, urlsplit

WAIT = 0.2  # seconds


class Server(socketserver.ThreadingTCPServer):
    """A thread for each connection."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 512


class Web(http.server.BaseHTTPRequestHandler):
    """Answers any request with its path and its body, after `wait` seconds of its query."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Read the request, wait, answer."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urlsplit(self.path)
        time.sleep(float(parse_qs(url.query).get("wait", [WAIT])[0]))
        reply = url.path.encode() + b" " + body
        # In one piece: the client's acknowledgement of the first of two would come late.
        self.wfile.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"
            % (len(reply), reply if self.command != "HEAD" else b"")
        )

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


class Mail(socketserver.StreamRequestHandler):
    """Takes mail, slowly."""

    def handle(self) -> None:
        """Serve one client."""
        self.wfile.write(b"220 ready\r\n")
        while line := self.rfile.readline():
            command = line[:4].upper()
            if command == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                while self.rfile.readline() not in (b".\r\n", b""):
                    pass
                time.sleep(WAIT)
            self.wfile.write(b"221 bye\r\n" if command == b"QUIT" else b"250 fine\r\n")
            if command == b"QUIT":
                break


class Names(socketserver.BaseRequestHandler):
    """Has one address for every name."""

    def handle(self) -> None:
        """Answer one question."""
        question, sock = self.request
        # Past the labels of the name, their end, its type and class.
        end = question.index(b"\0", 12) + 5
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton("192.0.2.7")
        counts = b"\0\1\0\1\0\0\0\0"
        time.sleep(WAIT)
        reply = question[:2] + b"\x81\x80" + counts + question[12:end] + answer
        sock.sendto(reply, self.client_address)


class Delay(socketserver.BaseRequestHandler):
    """Passes everything on, and what comes back later."""

    target = ("", 0)

    def handle(self) -> None:
        """Serve one client."""
        with socket.create_connection(self.target) as behind:
            there = threading.Thread(target=self.copy, args=(self.request, behind, 0), daemon=True)
            there.start()
            self.copy(behind, self.request, WAIT)

    @staticmethod
    def copy(source: socket.socket, target: socket.socket, wait: float) -> None:
        """Copy from one connection to another until one of them ends."""
        try:
            while data := source.recv(65536):
                time.sleep(wait)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def ftp() -> None:
    """Serve files that are empty, with a thread for each connection."""
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import ThreadedFTPServer

    class Handler(FTPHandler):
        authorizer = DummyAuthorizer()
        use_sendfile = False

        def ftp_NOOP(self, line: str) -> None:
            time.sleep(WAIT)
            super().ftp_NOOP(line)

    Handler.authorizer.add_anonymous(".")
    server = ThreadedFTPServer(("127.0.0.1", 0), Handler)
    print(server.address[1], flush=True)
    server.serve_forever()


def main(kind: str, *args: str) -> None:
    """Serve for ever."""
    if kind == "ftp":
        ftp()
    elif kind == "delay":
        Delay.target = (args[0], int(args[1]))
    handler = {"delay": Delay, "dns": Names, "http": Web, "smtp": Mail}[kind]
    server_class = socketserver.ThreadingUDPServer if kind == "dns" else Server
    with server_class(("127.0.0.1", 0), handler) as server:
        if kind == "http" and args:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*args)
            # The handshake is made by the first read, in the connection's thread.
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
