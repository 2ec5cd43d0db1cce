"""Running contenders: programs that end by themselves, and servers."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from harness import system
from harness.model import CONTENDERS, Context, Failed, Figures, NotYet, Unavailable
from harness.peers import environment, tail

START_SECONDS = 20
STOP_SECONDS = 5
HOST = "127.0.0.1"


def ended(returncode: int, errors: str) -> Exception:
    """What to say of a program that ended too early.

    A name that cannot be imported is an API that is not there; anything else is a failure.
    """
    line = tail(errors)
    if line.startswith(("ImportError", "ModuleNotFoundError")):
        return NotYet(line.partition(": ")[2])
    return Failed(f"exit code {returncode}: {line}")


def run(command: list[str], cpu: int, timeout: float) -> str:
    """The standard output of a program that runs on one processor."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=CONTENDERS,
            env=environment(),
            preexec_fn=system.pinned(cpu),
        )
    except FileNotFoundError:
        raise Unavailable(f"{Path(command[0]).name} is not installed") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"did not end within {timeout:.0f} seconds") from None
    if done.returncode:
        raise ended(done.returncode, done.stderr)
    return done.stdout


def figures(output: str) -> Figures:
    """The figures that a program printed as its last line."""
    lines = output.strip().splitlines()
    try:
        found: Figures = json.loads(lines[-1])
    except (IndexError, ValueError):
        raise Failed("printed no figures") from None
    return found


class Server:
    """A server under load."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        """A running process that listens on a port of the loopback interface."""
        self.port = port
        self.process = process

    def resident(self) -> int:
        """Its resident bytes, children included."""
        return system.resident(self.process.pid)

    @contextlib.contextmanager
    def busy(self) -> Iterator[Callable[[], float]]:
        """Measure the share of a processor that it uses; call the result after the block."""
        before, began = system.processor_time(self.process.pid), time.perf_counter()
        share = 0.0
        yield lambda: share
        elapsed = time.perf_counter() - began
        share = (system.processor_time(self.process.pid) - before) / elapsed


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a server and whatever it started: it leads a process group of its own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)


def certificate(folder: Path) -> Path:
    """A file with a key and its self-signed certificate for "localhost"; made on first use."""
    path = folder / "localhost.pem"
    if not path.exists():
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]
        command += ["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=localhost"]
        command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        command += ["-addext", "basicConstraints=critical,CA:FALSE"]
        key, signed = folder / "key.pem", folder / "signed.pem"
        command += ["-keyout", str(key), "-out", str(signed)]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=60)
        except FileNotFoundError:
            raise Unavailable("openssl is not installed") from None
        path.write_text(key.read_text() + signed.read_text())
    return path


@contextlib.contextmanager
def serving(context: Context, check: Callable[[int], None]) -> Iterator[Server]:
    """Run a server until the block ends; `check(port)` has to succeed before it begins."""
    scratch = context.settings.scratch
    port = free_port()
    command = context.filled(port=port, log=scratch / "access.log", bind=f"{HOST}:{port}")
    with open(scratch / "server.log", "w+") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=CONTENDERS,
            env=environment(),
            start_new_session=True,
            preexec_fn=system.pinned(context.settings.server_cpu),
        )
        try:
            _wait_ready(process, port, check, log)
            yield Server(port, process)
            if process.poll() is not None:
                log.seek(0)
                raise Failed(f"the server ended under load: {tail(log.read())}")
        finally:
            _stop(process)


def _wait_ready(
    process: subprocess.Popen[bytes], port: int, check: Callable[[int], None], log: TextIO
) -> None:
    """Wait until the server answers as it should."""
    problem = "did not listen"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            log.seek(0)
            raise ended(process.returncode, log.read())
        try:
            check(port)
        except OSError as error:
            problem = str(error)
            time.sleep(0.05)
        else:
            return
    raise Failed(f"was not ready within {START_SECONDS} seconds: {problem}")
