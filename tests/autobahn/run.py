#!/usr/bin/env python3
"""Run the Autobahn test suite, the conformance tests of WebSocket, against server and client.

The suite is a program for CPython 2.7. What it needs is downloaded once, into a folder of the
user's cache. Its client tests our server and its server our client, both at the same time. Every
case has to be OK, closing handshake included, or one of those that only inform. Exits with 0 if
that is so, 1 if it is not, 2 if the suite could not be run. Without CPython 2.7 it says so, and
exits with 0.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import glob
import hashlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

HERE = pathlib.Path(__file__).resolve().parent
SUITE = "autobahntestsuite==25.10.1"
# Masks and validates for the suite in C: without it, the whole takes hours instead of minutes.
FAST = "wsaccel==0.6.3"
AGENT = "eventlet"

ALL = ("*",)
# What takes seconds; the others are about size (9), and about compression over and over (12, 13).
QUICK = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*")
GOOD = {"OK", "INFORMATIONAL"}

START_LIMIT = 60.0  # seconds that a server may take to start
ROLE_LIMIT = 3600.0  # and all cases of one role


class Unavailable(Exception):
    """The suite cannot be run here, for this reason."""


class Broken(Exception):
    """The suite, or what it tests, did not run to its end."""


@dataclasses.dataclass(frozen=True)
class Suite:
    """The installed suite."""

    python: str
    path: tuple[pathlib.Path, ...]

    def command(self, mode: str, spec: pathlib.Path) -> list[str]:
        """How to run it in a mode."""
        return [self.python, "-m", "autobahntestsuite.wstest", "-m", mode, "-s", str(spec)]

    def environment(self) -> dict[str, str]:
        """The environment to run it in: nothing of the other Python's."""
        env = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
        return {**env, "PYTHONPATH": os.pathsep.join(map(str, self.path))}


# ------------------------------------------------------------------------------------------------
# Installing the suite


def find_python(wanted: str | None) -> str:
    """A CPython 2.7: the one that is named, one on PATH, or one of pyenv's."""
    root = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    kept = sorted(glob.glob(f"{glob.escape(root)}/versions/2.7*/bin/python2.7"))
    code = "import sys, pip; print(sys.executable); sys.exit(sys.version_info[:2] != (2, 7))"
    for candidate in [wanted] if wanted else ["python2.7", "python2", *reversed(kept)]:
        # One that is there may still not run: a shim of a version that is not selected.
        with contextlib.suppress(OSError):
            done = subprocess.run(
                [candidate, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL
            )
            if done.returncode == 0:
                return done.stdout.strip()
    if wanted:
        raise Unavailable(f"{wanted} is no CPython 2.7 with pip")
    raise Unavailable("CPython 2.7 with pip was not found")


def install(python: str, cache: pathlib.Path) -> Suite:
    """Download the suite and what it needs, unless that was done before."""
    lists = [HERE / "requirements.txt", HERE / "requirements-tls.txt"]
    parts = [SUITE.encode(), FAST.encode(), *(each.read_bytes() for each in lists)]
    key = hashlib.sha256(b"\0".join(parts))
    home = cache / key.hexdigest()[:16]
    suite = Suite(python, (home / "suite", home / "tls"))
    if home.exists():
        return suite
    print("installing the suite", flush=True)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        made = pathlib.Path(scratch, "home")
        for folder, requirements in zip(suite.path, lists, strict=True):
            target = made / folder.name
            _pip(python, "install", "--target", target, "--requirement", requirements)
        try:
            _pip(python, "install", "--target", made / "suite", FAST)
        except Unavailable as reason:
            print(f"the suite will be slow, as it has to do without {FAST}: {reason}")
        # Parts of one package that came apart: this makes it importable.
        (made / "suite" / "zope" / "__init__.py").touch()
        archive = pathlib.Path(scratch, "archive")
        _pip(python, "download", "--no-deps", "--no-binary", ":all:", "--dest", archive, SUITE)
        shutil.unpack_archive(next(archive.iterdir()), scratch)
        source = next(pathlib.Path(scratch).glob("*/autobahntestsuite"))
        shutil.copytree(source, made / "suite" / "autobahntestsuite")
        with contextlib.suppress(OSError):  # Somebody else may have been faster.
            made.rename(home)
    return suite


def _pip(python: str, *args: object) -> None:
    command = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, args)]
    env = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise Unavailable(f"{' '.join(command[2:4])} failed:\n{done.stderr.strip()}")


# ------------------------------------------------------------------------------------------------
# Running it


@contextlib.contextmanager
def started(
    command: list[str], log: pathlib.Path, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program, its output in a file, until the block ends."""
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command,
            cwd=log.parent,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(ready: Callable[[], object], process: subprocess.Popen[bytes], log: pathlib.Path) -> None:
    """Wait until `ready()` is true of a program that was started."""
    end = time.monotonic() + START_LIMIT
    while not ready():
        if process.poll() is not None or time.monotonic() > end:
            raise Broken(f"{log.stem} did not start:\n{_tail(log)}")
        time.sleep(0.05)


def ended(process: subprocess.Popen[bytes], log: pathlib.Path) -> None:
    """Wait for the end of a program, which has to be a good one."""
    try:
        status = process.wait(ROLE_LIMIT)
    except subprocess.TimeoutExpired:
        raise Broken(f"{log.stem} did not end within {ROLE_LIMIT:.0f} s:\n{_tail(log)}") from None
    if status:
        raise Broken(f"{log.stem} ended with status {status}:\n{_tail(log)}")


def _tail(log: pathlib.Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])


def write_spec(folder: pathlib.Path, cases: tuple[str, ...], **more: object) -> pathlib.Path:
    """Tell the suite what to do, and where its report is to go."""
    spec = {
        "outdir": str(folder / "report"),
        "cases": list(cases),
        "exclude-cases": [],
        "exclude-agent-cases": {},
        **more,
    }
    path = folder / "spec.json"
    path.write_text(json.dumps(spec))
    return path


def run_server(suite: Suite, python: str, cases: tuple[str, ...], folder: pathlib.Path) -> None:
    """Have the suite's client test our server."""
    log = folder / "server.log"
    with started([python, str(HERE / "echo_server.py")], log) as server:
        until(lambda: log.read_text().strip().isdigit(), server, log)
        url = f"ws://127.0.0.1:{log.read_text().strip()}"
        spec = write_spec(folder, cases, servers=[{"agent": AGENT, "url": url}])
        client_log = folder / "suite.log"
        command = suite.command("fuzzingclient", spec)
        with started(command, client_log, suite.environment()) as client:
            ended(client, client_log)
        if server.poll() is not None:
            raise Broken(f"the server ended under test:\n{_tail(log)}")


def run_client(suite: Suite, python: str, cases: tuple[str, ...], folder: pathlib.Path) -> None:
    """Have the suite's server test our client."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    # No web server beside it.
    spec = write_spec(folder, cases, url=f"ws://127.0.0.1:{port}", webport=0)
    log = folder / "suite.log"
    command = [*suite.command("fuzzingserver", spec), "--webport", "0"]
    with started(command, log, suite.environment()) as server:
        until(lambda: _listens(port), server, log)
        client_log = folder / "client.log"
        with started([python, str(HERE / "echo_client.py"), str(port)], client_log) as client:
            ended(client, client_log)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


ROLES = {"server": run_server, "client": run_client}


# ------------------------------------------------------------------------------------------------
# What came of it


def judge(role: str, folder: pathlib.Path) -> tuple[int, list[str]]:
    """How many cases there were, and what is wrong with those that are not as they should be."""
    index = folder / "report" / "index.json"
    try:
        agents = json.loads(index.read_text())
    except (OSError, ValueError) as error:
        raise Broken(f"no report: {error}") from None
    found = next(iter(agents.values()), {})
    wrong = []
    for case in sorted(found, key=lambda name: [int(part) for part in name.split(".")]):
        result = found[case]
        verdicts = (result["behavior"], result["behaviorClose"])
        if not GOOD.issuperset(verdicts):
            report = index.parent / result["reportfile"]
            wrong.append(f"{role} {case}: {', closing '.join(verdicts)}: see {report}")
    return len(found), wrong


def run(
    suite: Suite, role: str, python: str, cases: tuple[str, ...], output: pathlib.Path
) -> tuple[int, list[str]]:
    """Run the cases of one role, and judge them."""
    folder = output / role
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    began = time.monotonic()
    ROLES[role](suite, python, cases, folder)
    count, wrong = judge(role, folder)
    good = count - len(wrong)
    print(f"{role}: {good} of {count} cases, {time.monotonic() - began:.0f} s", flush=True)
    return count, wrong


def main() -> int:
    """Run what the command line asks for."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--cases", metavar="CASE[,..]", help='such as "1.*,9.1.6" (default: all)')
    add("--quick", action="store_true", help=f"only those that take seconds: {', '.join(QUICK)}")
    add("--role", choices=[*ROLES, "both"], default="both", help="what of ours is tested")
    add("--python", default=sys.executable, help="interpreter that has the package")
    add("--python2", metavar="PATH", help="CPython 2.7 (default: looked for)")
    add(
        "--output",
        type=pathlib.Path,
        default=HERE.parent / "artifacts" / "autobahn",
        help="folder for the suite's reports (default: tests/artifacts/autobahn)",
    )
    add("--cache", type=pathlib.Path, default=cache / "eventlet-autobahn")
    options = parser.parse_args()
    # What was started is ended by the blocks that started it, so make a termination unwind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cases = QUICK if options.quick else ALL
    if options.cases:
        cases = tuple(case.strip() for case in options.cases.split(","))
    roles = [*ROLES] if options.role == "both" else [options.role]

    try:
        suite = install(find_python(options.python2), options.cache)
    except Unavailable as reason:
        print(f"SKIPPED: the Autobahn test suite: {reason}")
        return 2 if options.python2 else 0
    python = os.path.abspath(options.python)
    output = options.output.resolve()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = [pool.submit(run, suite, role, python, cases, output) for role in roles]
    try:
        found = [each.result() for each in runs]
    except Broken as error:
        print(f"FAILED: {error}")
        return 2
    wrong = [line for _, lines in found for line in lines]
    for line in wrong:
        print(f"FAILED {line}")
    if not all(count for count, _ in found):
        print("FAILED: there were no cases")
        return 2
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
