"""The chat with ten thousand participants in one process; their clients run in another.

`CHAT_CLIENTS=500 pytest tests/test_chat_10k.py` tries it with fewer, and `-s` shows what it took.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.processes import Program

CLIENTS = int(os.environ.get("CHAT_CLIENTS", "10000"))
TALKERS = 20
LIMIT = 150  # seconds

ROOT = Path(__file__).resolve().parent.parent
SPARE = 200  # descriptors either side needs besides its connections


def _resident(pid: int) -> int:
    """The memory of a process in KiB; 0 where the system does not say."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return int(status.partition("VmRSS:")[2].split()[0])


@pytest.mark.timeout(LIMIT + 20)
def test_every_line_reaches_all_others() -> None:
    resource = pytest.importorskip("resource")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < CLIENTS + SPARE:
        pytest.skip(f"a process may open {hard} files here, {CLIENTS + SPARE} are needed")

    with Program(ROOT / "examples" / "chat.py", "--bind", "127.0.0.1:0") as server:
        port = server.port()
        before = _resident(server.pid)
        command = [sys.executable, str(ROOT / "tests" / "support" / "chat_clients.py")]
        command += ["--port", str(port), "--seconds", str(LIMIT)]
        command += ["--clients", str(CLIENTS), "--talkers", str(TALKERS)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as crowd:
            assert crowd.stdin is not None
            assert crowd.stdout is not None
            try:
                # It gives up by itself. While its standard input is open, it stays connected.
                report = json.loads(crowd.stdout.readline())
                after = _resident(server.pid)
                crowd.stdin.close()
                status = crowd.wait(30)
            finally:
                crowd.kill()
        print(
            f"\n{CLIENTS} participants: {report},"
            f" memory {before / 1024:.1f} -> {after / 1024:.1f} MiB"
            f" ({(after - before) / CLIENTS:.1f} KiB each)"
        )
        assert status == 0, report
        assert report["delivered"] == TALKERS * (CLIENTS - 1)
        # Two green threads and a socket each; what is meant is "not a stack of a thread".
        assert after - before < CLIENTS * 40
        assert server.process.poll() is None
        assert server.stop(signal.SIGINT) == 0
        assert "Traceback" not in server.stderr
