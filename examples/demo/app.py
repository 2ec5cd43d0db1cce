"""A page to chat on, with live figures of the process that serves it, and buttons that make load.

    python examples/demo/app.py
    python examples/demo/app.py --bind 127.0.0.1:8080 --chat-bind 127.0.0.1:3000

One OS thread runs all of it: the web server, a Flask application, the WebSockets of all open pages,
a TCP chat on another port, and the clients that the buttons let loose on them.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, abort, render_template, request

import eventlet
from eventlet import websocket, wsgi

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chat import allow_many_files
from figures import Figures
from load import Load
from rooms import Rooms, encoded

MESSAGE_LIMIT = 16 * 1024  # bytes; a page has no reason to send more at a time


def make_app(figures: Figures, load: Load) -> Flask:
    """The web application: the page, and what its buttons do."""
    app = Flask(__name__)
    actions: dict[str, Callable[[int], int]] = {
        "sleepers": load.spawn_sleepers,
        "requests": load.spawn_requests,
        "guests": load.spawn_guests,
    }

    @app.get("/")
    def index() -> str:
        host, port = load.chat
        return render_template(
            "index.html", version=eventlet.__version__, chat_host=host, chat_port=port
        )

    @app.get("/stats")
    def stats() -> dict[str, Any]:
        return {"history": list(figures.history)}

    @app.post("/load/<action>")
    def make_load(action: str) -> dict[str, int]:
        # Only JSON is taken: a form on somebody else's page cannot send that.
        body = request.get_json()
        count = body.get("count") if isinstance(body, dict) else None
        if action not in actions:
            abort(404)
        if type(count) is not int or count < 1:
            abort(400, "count must be a whole number of 1 or more")
        return {"started": actions[action](count)}

    @app.after_request
    def secure(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = "default-src 'self'"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return app


def make_socket(rooms: Rooms, figures: Figures) -> websocket.WebSocketWSGI:
    """The application behind the WebSocket of each page."""

    # A browser lets any page connect, and says which one it is.
    @websocket.WebSocketWSGI.configured(origin_checker=is_own)
    def visit(ws: Any) -> None:
        rooms.visit(ws, encoded("figures", samples=list(figures.history)))

    visit.max_frame_length = MESSAGE_LIMIT
    return visit


def is_own(host: str | None, origin: str) -> bool:
    """Is a page with this origin one of ours, or the client no browser?"""
    return not origin or urlsplit(origin).netloc == host


def push_figures(rooms: Rooms, figures: Figures) -> None:
    """Tell each sample to all pages, as soon as it is taken."""
    for sample in figures.watch():
        rooms.tell_pages(encoded("figures", samples=[sample]))


def routed(
    app: Callable[..., Iterable[bytes]],
    socket: Callable[..., Iterable[bytes]],
    figures: Figures,
) -> Callable[..., Any]:
    """`app` with its requests counted, and two paths taken before it is reached.

    `/ping` is what the load asks for: it shows what the server does, not what Flask costs.
    `/socket` is the WebSocket.
    """

    def counting(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        figures.requests += 1
        if environ["PATH_INFO"] == "/ping":
            start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
            return [b"pong\n"]
        if environ["PATH_INFO"] == "/socket":
            return socket(environ, start_response)
        return app(environ, start_response)

    return counting


def _listen(parser: argparse.ArgumentParser, bind: str) -> Any:
    host, _, port = bind.rpartition(":")
    try:
        return eventlet.listen((host, int(port)), backlog=4096, reuse_port=False)
    except (OSError, ValueError) as error:
        parser.exit(1, f"cannot listen on {bind}: {error}\n")


def _reachable(listener: Any) -> tuple[str, int]:
    """The address at which this process itself can connect to a listener."""
    host, port = listener.getsockname()
    return ("127.0.0.1" if host == "0.0.0.0" else host), port


def main() -> None:
    """Run the demo until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bind", default="127.0.0.1:8000", metavar="HOST:PORT")
    parser.add_argument("--chat-bind", default="127.0.0.1:0", metavar="HOST:PORT")
    args = parser.parse_args()

    allow_many_files()
    web_listener = _listen(parser, args.bind)
    chat_listener = _listen(parser, args.chat_bind)
    rooms = Rooms()
    load = Load(_reachable(web_listener), _reachable(chat_listener))
    figures = Figures(
        lambda: {
            "participants": len(rooms.participants) + len(rooms.visitors),
            "client_sockets": load.client_sockets,
            "sleepers": load.sleepers,
            "requests_left": load.requests_left,
            "last_run": load.last_run,
        }
    )
    app = routed(make_app(figures, load), make_socket(rooms, figures), figures)

    eventlet.spawn(figures.run)
    eventlet.spawn(push_figures, rooms, figures)
    eventlet.spawn(rooms.serve, chat_listener)
    server = eventlet.spawn(
        wsgi.server,
        web_listener,
        app,
        max_size=50_000,
        log_output=False,
    )
    print("demo on http://{}:{}".format(*load.web), flush=True)
    print("chat on {}:{}".format(*load.chat), flush=True)
    # SIGTERM ends it as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        server.wait()
    except KeyboardInterrupt:
        figures.stop()
        rooms.close()
        server.kill()
        print("bye")


if __name__ == "__main__":
    main()
