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
        meet(program.port(r"^(\d+)$"), CLIENTS)
        program.stop()
        assert "Traceback" not in program.stderr


@pytest.mark.parametrize("parser", ["ours", "gunicorn's"])
def test_under_gunicorn(parser: str, tmp_path: Path) -> None:
    """It finds the connection by another name there."""
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    options = ["--worker-class", "eventlet.gunicorn.EventletWorker", "--workers", "1"]
    options += ["--bind", "127.0.0.1:0", "--worker-tmp-dir", tmp_path, "--chdir", HERE]
    if parser != "ours":
        options.append("--strip-header-spaces")  # which only its own can
    # The home of the control socket that newer versions have.
    env = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    app = "websocket_peer:socketio_app()"
    with Program("-m", "gunicorn", *options, app, cwd=tmp_path, env=env) as program:
        program.wait_for("Booting worker", "stderr")
        address = program.wait_for(r"Listening at: http://127\.0\.0\.1:(\d+)", "stderr")
        meet(int(address[1]), CLIENTS // 10)
        assert program.stop() == 0
        assert "Traceback" not in program.stderr


def meet(port: int, clients: int) -> None:
    """Have a crowd connect to a server, speak, and leave."""
    done = subprocess.run(
        [sys.executable, str(HERE / "socketio_crowd.py"), str(port), str(clients)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("ok\n")
