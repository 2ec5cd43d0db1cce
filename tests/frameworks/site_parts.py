"""What the sites have in common: they differ in their framework, not in what they do."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

#: The folder of the static files.
STATIC = os.environ["SITE_STATIC"]

#: What a download consists of.
BLOCK = bytes(range(256)) * 256

SECRET = "not really a secret, as this is a test"
SLOW = 0.3

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def blocks(count: int) -> Iterator[bytes]:
    """`count` times BLOCK."""
    for _ in range(count):
        yield BLOCK


def digest(stream: BinaryIO) -> dict[str, int]:
    """The length and the checksum of what a stream has, read piece by piece."""
    size = check = 0
    while piece := stream.read(65536):
        size += len(piece)
        check = zlib.crc32(piece, check)
    return {"size": size, "crc": check}


def memory() -> dict[str, int]:
    """The resident memory of this process, in KiB; 0 where it is not known."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
    except OSError:
        pages = 0
    return {"kib": pages * os.sysconf("SC_PAGE_SIZE") // 1024}


def served(app: Application) -> Application:
    """What the server is given: the application, watched by the validator if that is asked for."""
    if not os.environ.get("SITE_VALIDATE"):
        return app
    from wsgiref.validate import validator

    checked = validator(app)

    def watched(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # The one key without a dot in it that is no string.
        environ.pop("headers_raw", None)
        return checked(environ, start_response)

    return watched
