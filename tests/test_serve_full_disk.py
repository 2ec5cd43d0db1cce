"""`eventlet serve` whose access log is on a disk that becomes full, and gets room again.

The disk is a small file system that only the server sees: it is gone with the server, whatever
becomes of the test.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pytest

from support.load import Load
from support.processes import PATIENCE, Program, fetch
from support.serving import APP

#: Starts the server where it has a file system of its own on the folder `disk`.
START = """\
import ctypes, os, sys
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
libc = ctypes.CDLL(None, use_errno=True)
def check(result):
    if result:
        print("cannot mount:", os.strerror(ctypes.get_errno()), flush=True)
        sys.exit()
check(libc.unshare(CLONE_NEWNS))
check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
check(libc.mount(b"tmpfs", os.fsencode(os.path.abspath("disk")), b"tmpfs", 0, b"size=64k"))
os.execv(sys.executable, [sys.executable, "-m", "eventlet", "serve", *sys.argv[1:]])
"""

LINE = r'127\.0\.0\.1 - - \[.*\] "GET /\S* HTTP/1\.1" 200 \d+ \d+\.\d{6}'

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts as Linux does")


@pytest.mark.parametrize("way", [(), ("--workers", "1")], ids=["one process", "worker"])
def test_a_disk_that_becomes_full(way: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "pids.py").write_text(APP)
    (tmp_path / "disk").mkdir()
    arguments = ("--bind", "127.0.0.1:0", "--access-log", "disk/access.log", *way)
    with Program("-c", START, "pids:app", *arguments, cwd=tmp_path) as program:
        told = program.wait_for(r"^cannot mount: .*|serving")[0]
        if told != "serving":
            pytest.skip(f"no file system of its own: {told}")
        disk = Path(f"/proc/{program.pid}/root{tmp_path}/disk")
        (disk / "other").write_bytes(bytes(32 * 1024))
        with Load(program.port()) as load:
            program.wait_for(
                "the access log .*/access.log cannot be written: No space left on device", "stderr"
            )
            load.wait_for_more(200)
        assert not load.result.lost
        assert {*load.result.statuses} == {200}
        (disk / "other").unlink()
        assert fetch(program.port(), "/last")[0] == 200
        again = "the access log is written again; it lacks (\\d+) lines"
        lacking = int(program.wait_for(again, "stderr")[1])
        end = time.monotonic() + PATIENCE
        while not re.search(r'"GET /last .*\n\Z', text := (disk / "access.log").read_text()):
            assert time.monotonic() < end, text[-500:]
            time.sleep(0.01)
        lines = text.splitlines()
        whole = [line for line in lines if re.fullmatch(LINE, line)]
        assert len(whole) + lacking == len(load.result.bodies) + 1
        # What is left of the line that the disk had no room for stays by itself.
        assert len(lines) - len(whole) <= 1
        assert program.stop() == 0
        assert program.stderr.count("cannot be written") == 1
