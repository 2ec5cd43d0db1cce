"""Runs a command until its own standard input ends, and leaves nothing of it behind.

    python keeper.py FOLDER USER COMMAND [ARGUMENT...]

Whoever starts it holds the other end of that pipe: however it ends, killed even, the command and
all it started are killed, and the folder, which holds their data, is removed. USER, unless it is
empty, is whom the command runs as.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading


def main() -> int:
    """Run the command; its exit status."""
    folder, user, *command = sys.argv[1:]
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        user=user or None,
    )

    def kill() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    def watch() -> None:
        while os.read(0, 4096):
            pass
        kill()

    threading.Thread(target=watch, daemon=True).start()
    status = process.wait()
    kill()
    shutil.rmtree(folder, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
