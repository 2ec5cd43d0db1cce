"""The WSGI applications that every HTTP contender serves."""

import importlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

BODY = b"Hello, world!"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]
MEGABYTE = bytes(range(256)) * 4096
BLOCK = b"0123456789abcde\n" * 64
BLOCKS = 100


def hello(environ: dict, start_response: Callable) -> Iterable[bytes]:
    """Answer at once."""
    start_response("200 OK", HEADERS)
    return [BODY]


def sleepy(environ: dict, start_response: Callable) -> Iterable[bytes]:
    """Answer after 10 ms; `time.sleep` is the server's cooperative one."""
    time.sleep(0.01)
    start_response("200 OK", HEADERS)
    return [BODY]


def encoded(document: Any) -> bytes:
    """JSON."""
    return json.dumps(document).encode()


def echo(environ: dict, start_response: Callable) -> Iterable[bytes]:
    """Answer with the JSON that was posted."""
    document = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    body = encoded(document)
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]


def large(environ: dict, start_response: Callable) -> Iterable[bytes]:
    """Answer with a megabyte."""
    headers = [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(MEGABYTE)))]
    start_response("200 OK", headers)
    return [MEGABYTE]


def stream(environ: dict, start_response: Callable) -> Iterator[bytes]:
    """Answer with many blocks, one after the other."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    for _ in range(BLOCKS):
        yield BLOCK


def load(name: str) -> Callable:
    """The application that `module:name` names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
