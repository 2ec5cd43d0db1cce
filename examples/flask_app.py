"""A Flask application, unchanged by being served by green threads.

    eventlet serve --chdir examples flask_app:app
    python examples/flask_app.py

Flask is written for servers that give each request a thread. Here each gets a green thread: the
slow route below may be asked for a thousand times at once and still answers all of them together.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, request

import eventlet
from eventlet import wsgi

app = Flask(__name__)

PAGE = """\
<!doctype html>
<meta name="viewport" content="width=device-width">
<title>Green Flask</title>
<h1>Green Flask</h1>
<ul>
  <li><a href="/hello.json?name=you">JSON</a>
  <li><a href="/count">a streamed response</a>
  <li><a href="/slow?seconds=2">a slow one</a>
</ul>
<form action="/greet" method="post">
  <label>Your name <input name="name" required></label> <button>Greet</button>
</form>
"""


@app.get("/")
def index() -> str:
    """An HTML page."""
    return PAGE


@app.get("/hello.json")
def hello() -> dict[str, Any]:
    """JSON: Flask makes it of a dict."""
    return {"hello": request.args.get("name", "world"), "method": request.method}


@app.post("/greet")
def greet() -> Response:
    """What a form posts."""
    name = request.form.get("name", "").strip()
    if not name:
        return Response("who are you?\n", status=400, mimetype="text/plain")
    # Plain text: a name may hold anything, and as text it cannot become markup.
    return Response(f"Good day, {name}!\n", mimetype="text/plain")


@app.get("/count")
def count() -> Response:
    """A response sent as it is made: one JSON document a line."""

    def lines() -> Iterator[str]:
        for number in range(1, 6):
            yield json.dumps({"number": number}) + "\n"
            eventlet.sleep(0.2)

    return Response(lines(), mimetype="application/x-ndjson")


@app.get("/slow")
def slow() -> dict[str, float]:
    """A request that waits, as for a database, and holds up nobody meanwhile."""
    # float() takes "nan" and "inf" as well, with which nothing could be waited for.
    seconds = request.args.get("seconds", 1.0, type=float)
    seconds = min(seconds, 30.0) if seconds > 0 else 0.0
    eventlet.sleep(seconds)
    return {"waited": seconds}


def main() -> None:
    """Serve on `--bind` without the `eventlet` command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bind", default="127.0.0.1:8000", metavar="HOST:PORT")
    host, _, port = parser.parse_args().bind.rpartition(":")
    listener = eventlet.listen((host, int(port)))
    print("flask_app on http://{}:{}".format(*listener.getsockname()), flush=True)
    # 0: blocks of a streamed response leave at once, however small they are.
    wsgi.server(listener, app, minimum_chunk_size=0)


if __name__ == "__main__":
    main()
