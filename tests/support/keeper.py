"""Runs a server until its own standard input ends, and leaves nothing of it behind.

    python keeper.py FOLDER USER READY COMMAND [ARGUMENT...]

It prints "ready" when a line of the server's output matches READY, a pattern. A server that ends
before that has its output printed instead. USER, unless it is empty, is whom it runs as.

Whoever starts it holds the other end of its standard input: however they end, killed even, the
server and all it started are killed, and the folder, which holds its data, is removed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading


def main() -> int:
    """Run the server; its exit status."""
    folder, user, ready, *command = sys.argv[1:]
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
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
    output: list[str] | None = []
    for line in process.stdout:
        if output is None:
            continue
        output.append(line)
        if re.search(ready, line):
            print("ready", flush=True)
            output = None
    status = process.wait()
    kill()
    shutil.rmtree(folder, ignore_errors=True)
    if output is not None:
        with contextlib.suppress(BrokenPipeError):
            print("".join(output), end="", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
