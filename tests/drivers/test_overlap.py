"""The measurement that the other tests here rely on."""

from __future__ import annotations

import pytest


def test_what_does_not_block(run_patched):
    run_patched("import time\nassert overlap(lambda n: time.sleep(0.2) or n) == [*range(50)]")


def test_what_blocks_is_found(run_patched):
    code = """
sleep = eventlet.patcher.original("time").sleep
try:
    overlap(lambda n: sleep(0.06), count=10)
except AssertionError as error:
    assert "10 at once" in str(error), error
else:
    raise SystemExit("not found")
"""
    run_patched(code)


def test_what_does_not_wait_proves_nothing(run_patched):
    with pytest.raises(pytest.fail.Exception, match="blocks on nothing"):
        run_patched("overlap(int)")
