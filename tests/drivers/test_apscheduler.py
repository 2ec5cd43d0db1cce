"""APScheduler."""

from __future__ import annotations

import pytest

pytest.importorskip("apscheduler", reason="APScheduler is not installed")


def test_jobs(run_patched):
    code = """
import threading
import time
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

scheduler = BackgroundScheduler(executors={"default": ThreadPoolExecutor(50)}, timezone="UTC")
scheduler.start()
def work(number):
    done = threading.Event()
    scheduler.add_job(lambda: time.sleep(0.4) or done.set())
    return done.wait(20)
assert overlap(work) == [True] * 50

ticks = threading.Semaphore(0)
scheduler.add_job(ticks.release, "interval", seconds=0.01)
for _ in range(5):
    assert ticks.acquire(timeout=20)
scheduler.shutdown()
"""
    run_patched(code)
