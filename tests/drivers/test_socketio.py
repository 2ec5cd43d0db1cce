"""python-socketio and Flask-SocketIO in their mode for Eventlet, and a crowd of their clients."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.processes import Program

HERE = Path(__file__).parent
CLIENTS = 500

pytest.importorskip("aiohttp", reason="aiohttp is not installed")
pytest.importorskip("socketio", reason="python-socketio is not installed")


@pytest.mark.parametrize("server", ["socketio", "flask-socketio"])
def test_a_crowd(server: str) -> None:
    """All connect by long polling, and nine in ten of them go over to WebSocket."""
    if server == "flask-socketio":
        pytest.importorskip("flask_socketio", reason="Flask-SocketIO is not installed")
    with Program(HERE / "websocket_peer.py", server) as program:
        port = program.port(r"^(\d+)$")
        done = subprocess.run(
            [sys.executable, str(HERE / "socketio_crowd.py"), str(port), str(CLIENTS)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=50,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.endswith("ok\n")
        program.stop()
        assert "Traceback" not in program.stderr
