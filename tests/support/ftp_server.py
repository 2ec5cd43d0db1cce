"""A small FTP server in green threads: it knows one user and keeps files in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import eventlet


class Server:
    """It listens from the start; `files` is what it has."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.commands: list[str] = []
        self.listener = eventlet.listen(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self._threads = [eventlet.spawn(self._accept)]

    def _accept(self) -> None:
        while True:
            sock, _ = self.listener.accept()
            self._threads.append(eventlet.spawn(self._serve, sock))

    def _serve(self, sock) -> None:
        data = None
        with sock, sock.makefile("rwb", 0) as stream:
            stream.write(b"220 ready\r\n")
            while line := stream.readline():
                command, _, argument = line.decode().rstrip("\r\n").partition(" ")
                self.commands.append(command)
                if command == "EPSV":
                    data = eventlet.listen(("127.0.0.1", 0))
                    port = data.getsockname()[1]
                    stream.write(b"229 extended passive (|||%d|)\r\n" % port)
                elif command == "PASV":
                    data = eventlet.listen(("127.0.0.1", 0))
                    high, low = divmod(data.getsockname()[1], 256)
                    stream.write(b"227 passive (127,0,0,1,%d,%d)\r\n" % (high, low))
                elif command in ("RETR", "STOR", "NLST"):
                    self._transfer(stream, data, command, argument)
                elif command == "QUIT":
                    stream.write(b"221 bye\r\n")
                    break
                else:
                    stream.write(b"%s\r\n" % REPLIES.get(command, b"502 unknown"))

    def _transfer(self, stream, data, command, argument) -> None:
        name = argument.lstrip("/")
        if command == "RETR" and name not in self.files:
            data.close()
            stream.write(b"550 no such file\r\n")
            return
        stream.write(b"150 here it comes\r\n")
        sock, _ = data.accept()
        data.close()
        with sock, sock.makefile("rwb") as body:
            if command == "STOR":
                self.files[name] = body.read()
            elif command == "RETR":
                body.write(self.files[name])
            else:
                body.write("".join(f"{each}\r\n" for each in sorted(self.files)).encode())
        stream.write(b"226 done\r\n")

    def stop(self) -> None:
        """End all connections."""
        for thread in self._threads:
            thread.kill()
        self.listener.close()


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """A server that runs meanwhile."""
    running = Server()
    try:
        yield running
    finally:
        running.stop()


REPLIES = {
    "CWD": b"250 there",
    "PASS": b"230 welcome",
    "TYPE": b"200 as you like",
    "USER": b"331 password?",
}
