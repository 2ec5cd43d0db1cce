"""A response that is sent while it is being made.

    eventlet serve --chdir examples wsgi_stream:app
    curl -N 'http://127.0.0.1:8000/?lines=5'

A WSGI application returns an iterable. Each block it yields leaves at once, so the client sees the
first line long before the last one exists, and the whole is never in memory.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

import eventlet
from eventlet import wsgi


def ticks(lines: int, pause: float) -> Iterator[bytes]:
    """Yield the time, `lines` times, with a pause in between."""
    for number in range(1, lines + 1):
        yield f"{number} {time.strftime('%X')}\n".encode()
        if number < lines:
            # Only this response waits; the server goes on with all the others.
            eventlet.sleep(pause)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer `/?lines=N&pause=SECONDS`."""
    query = parse_qs(environ.get("QUERY_STRING", ""))
    try:
        lines = int(query.get("lines", ["10"])[0])
        pause = float(query.get("pause", ["1"])[0])
        if not (0 <= lines <= 10_000 and 0 <= pause <= 60):
            raise ValueError
    except ValueError:
        start_response("400 Bad Request", [("Content-Type", "text/plain")])
        return [b"lines: 0 to 10000, pause: 0 to 60 seconds\n"]
    # No Content-Length: nobody knows it yet. The server sends HTTP/1.1 clients chunks.
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return ticks(lines, pause)


def main() -> None:
    """Serve on `--bind` without the `eventlet` command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bind", default="127.0.0.1:8000", metavar="HOST:PORT")
    host, _, port = parser.parse_args().bind.rpartition(":")
    listener = eventlet.listen((host, int(port)))
    print("streaming on http://{}:{}".format(*listener.getsockname()), flush=True)
    # Left to itself, the server joins small blocks to larger ones before it sends them.
    wsgi.server(listener, app, minimum_chunk_size=0)


if __name__ == "__main__":
    main()
