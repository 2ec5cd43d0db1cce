"""Flask's development server."""

from __future__ import annotations

import pytest

pytest.importorskip("flask", reason="Flask is not installed")


def test_development_server(run_patched):
    code = """
import logging
import threading
import time
import urllib.request

import flask
from werkzeug.serving import make_server

logging.getLogger("werkzeug").setLevel(logging.ERROR)
app = flask.Flask(__name__)

@app.get("/<int:number>")
def view(number):
    flask.g.number = number
    time.sleep(0.5)
    assert flask.request.path == f"/{number}"
    return str(flask.g.number)

# As `app.run()` does, but for the port.
server = make_server("127.0.0.1", 0, app, threaded=True)
thread = threading.Thread(target=server.serve_forever)
thread.start()
def get(number):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/{number}", timeout=20) as reply:
        return int(reply.read())
assert overlap(get) == [*range(50)]
server.shutdown()
thread.join()
server.server_close()
"""
    run_patched(code)
