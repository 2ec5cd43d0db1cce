"""The WSGI applications that every HTTP contender serves."""

import time
from collections.abc import Callable, Iterable

BODY = b"Hello, world!"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]


def hello(environ: dict, start_response: Callable) -> Iterable[bytes]:
    """Answer at once."""
    start_response("200 OK", HEADERS)
    return [BODY]


def sleepy(environ: dict, start_response: Callable) -> Iterable[bytes]:
    """Answer after 10 ms; `time.sleep` is the server's cooperative one."""
    time.sleep(0.01)
    start_response("200 OK", HEADERS)
    return [BODY]
