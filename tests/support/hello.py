"""An application for the command line to serve, and what the tests do with it."""

from __future__ import annotations

import threading
from pathlib import Path

from support.processes import PATIENCE, fetch

#: The application.
HELLO = """\
import os, sys, time
import eventlet

running = 0
most = 0
sleeps = "--no-patch" not in sys.argv

def app(environ, start_response):
    global running, most
    path = environ["PATH_INFO"]
    if path == "/fail":
        raise RuntimeError("on purpose")
    if path == "/hold":
        # Runs until the test creates the file; says so first.
        running += 1
        most = max(most, running)
        print("holding", running, flush=True)
        while not os.path.exists("release"):
            eventlet.sleep(0.01)
        running -= 1
    if path == "/block":
        # Holds the whole process.
        print("blocking", flush=True)
        while True:
            pass
    if path == "/sleep":
        print("sleeping", flush=True)
        time.sleep(60 if sleeps else 0)
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return stream()
    if path == "/most":
        body = str(most).encode()
    else:
        body = b"hello from " + os.path.basename(os.getcwd()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]

def stream():
    yield b"first"
    while not os.path.exists("release"):
        eventlet.sleep(0.01)
    yield b"second"

class Site:
    class inner:
        wsgi = staticmethod(app)
    number = 5

site = Site()

def factory():
    return app

def broken_factory():
    raise LookupError("no database")

def factory_of_nothing():
    return None

async def asynchronous(scope, receive, send):
    pass
"""


def released(folder: Path) -> None:
    """Let requests for /hold and /stream go on."""
    (folder / "release").touch()


class Getter(threading.Thread):
    """A request made in another thread; `result` waits for its outcome."""

    def __init__(self, port: int, path: str) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.path = path
        self.outcome: tuple[int, bytes] | BaseException | None = None
        self.start()

    def run(self) -> None:
        """Make the request."""
        try:
            self.outcome = fetch(self.port, self.path)
        except Exception as error:
            self.outcome = error

    def result(self) -> tuple[int, bytes]:
        """Status and body."""
        self.join(PATIENCE)
        assert isinstance(self.outcome, tuple), repr(self.outcome)
        return self.outcome
