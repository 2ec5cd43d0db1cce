"""A few seconds of the soak, so that it cannot rot between two long runs."""

from __future__ import annotations

import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support import daemons, postgres

SOAK = Path(__file__).parent / "soak" / "soak.py"
PATCHED = SOAK.with_name("patched.py")
SLOW_CLIENTS = SOAK.with_name("slow_clients.py")
STRESS = SOAK.with_name("stress.py")
WEB = SOAK.with_name("web.py")


# Seeds that between them do every operation many times over.
@pytest.mark.parametrize("seed", [1, 2])
def test_a_short_soak_leaves_nothing_behind(seed: int) -> None:
    command = [sys.executable, str(SOAK), "--seconds", "4", "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"soak: passed (seed {seed})" in done.stdout


def test_a_short_soak_of_a_patched_process() -> None:
    for module in ("psycopg", "psycopg2", "redis", "requests"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    try:
        postgres.find_programs()
        daemons.find("redis-server")
        daemons.find("openssl")
    except daemons.Unavailable as reason:
        pytest.skip(str(reason))
    command = [sys.executable, str(PATCHED), "--seconds", "5", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "soak: passed (seed 1)" in done.stdout


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_a_short_soak_of_web_applications() -> None:
    try:
        daemons.find("openssl")
    except daemons.Unavailable as reason:
        pytest.skip(str(reason))
    command = [sys.executable, str(WEB), "--seconds", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "web: passed" in done.stdout


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="needs epoll")
def test_some_slow_clients() -> None:
    # Other programs have their turn in between: what is short here may double for nothing.
    few = ["--clients", "150", "--time-limit", "4", "--window", "0.5", "--slack", "0.05"]
    few += ["--windows", "1"]
    command = [sys.executable, str(SLOW_CLIENTS), *few]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "slow clients: passed" in done.stdout


def test_a_leak_is_found() -> None:
    """The checks themselves: an operation that leaves things behind must fail the run."""
    leak = f"""
import runpy, sys
sys.path.insert(0, {str(SOAK.parent)!r})
import eventlet, operations
kept = []
def leak(self, random):
    if not kept:
        kept.append(eventlet.connect(self.servers.echo_address))
        kept.append(eventlet.spawn(eventlet.sleep, 1000))
operations.Operations.table = lambda self: [(1, self.leak)]
operations.Operations.leak = leak
sys.argv = ["soak.py", "--seconds", "1", "--workers", "2", "--settle", "1"]
runpy.run_path({str(SOAK)!r}, run_name="__main__")
"""
    command = [sys.executable, "-c", leak]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "LEFT open files" in done.stdout
    assert "LEFT live green threads" in done.stdout
    assert "LEFT timers" in done.stdout


@pytest.mark.parametrize("seed", [1, 2])
def test_a_short_stress_balances(seed: int) -> None:
    command = [sys.executable, str(STRESS), "--seconds", "4", "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"stress: passed (seed {seed})" in done.stdout


SABOTAGE = {
    "an item that is lost": (
        "stress.Worker.take_item = lambda self: self.put.append(('lost', self.steps))",
        1,
        "were put and never taken",
    ),
    "a place that is not given back": (
        "stress.Worker.use_place = lambda self: self.shared.places[0].acquire(blocking=False)",
        1,
        "is <Semaphore",
    ),
    "a lock that does not lock": (
        "stress.Lock = lambda: stress.Semaphore(2)",
        1,
        "2 hold lock",
    ),
    "a wake-up that does not come": (
        "stress.Worker.interrupted = lambda self, operation, name: stress.eventlet.Event().wait()",
        3,
        "STUCK",
    ),
}


@pytest.mark.parametrize("what", SABOTAGE)
def test_the_stress_finds(what: str) -> None:
    """The checks themselves: what goes wrong must fail the run."""
    code, status, message = SABOTAGE[what]
    program = f"""
import sys
sys.path.insert(0, {str(STRESS.parent)!r})
import stress
stress.STUCK = 2
{code}
sys.argv = ["stress.py", "--seconds", "1.5", "--seed", "1", "--no-forks", "--plain", "0"]
sys.exit(stress.main())
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    assert message in done.stdout
    if status == 3:
        assert "in <lambda>" in done.stderr, "it shows where everybody waits"
