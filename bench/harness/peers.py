"""The peers: pinned versions, each in a virtual environment of its own, made on demand."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from harness.model import BENCH, CONTENDERS, OURS, Unavailable

VENVS = BENCH / ".venvs"
INSTALL_SECONDS = 900
FLASK = "flask==3.1.3"
REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "eventlet-0.41": ("eventlet==0.41.3", "requests==2.34.2", FLASK),
    "gevent": ("gevent==26.9.0", "requests==2.34.2", FLASK),
    "uvloop": ("uvloop==0.23.0",),
    "gunicorn": ("gunicorn==27.0.1", "gevent==26.9.0", "packaging==26.3", FLASK),
    "waitress": ("waitress==3.0.2",),
    "granian": ("granian==2.8.7", FLASK),
    # It imports pkg_resources, which it does not require.
    "fastwsgi": ("fastwsgi==0.0.9", "setuptools==80.9.0", FLASK),
    "bjoern": ("bjoern==3.2.2", FLASK),
    "uwsgi": ("uWSGI==2.0.31", FLASK),
    "gevent-websocket": ("gevent==26.9.0", "gevent-websocket==0.10.1"),
    "uvicorn": ("uvicorn==0.54.0", "wsproto==1.3.2", "uvloop==0.23.0", "httptools==0.9.0"),
    "websockets": ("websockets==17.4", "uvloop==0.23.0"),
    "plot": ("matplotlib==3.11.2",),
}
"""What is installed for each peer. The first is the package whose version is reported."""

PROGRAMS = {"uwsgi"}
"""Peers that are programs, with nothing to import."""

ENVIRONMENT = {
    # Eventlet 0.41 warns when it is imported, and copies dnspython: neither is measured.
    "PYTHONWARNINGS": "ignore",
    "EVENTLET_NO_GREENDNS": "yes",
    "PYTHONHASHSEED": "0",
}


def environment() -> dict[str, str]:
    """The environment in which every contender runs, whoever started the suite."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    return kept | ENVIRONMENT


def tail(text: str) -> str:
    """The last line that says something, without paths."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = lines[-1] if lines else "no output"
    return line.partition(" (/")[0].replace(str(BENCH), "bench")[:300]


def _run(command: list[str], what: str) -> None:
    """Run an installation step."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{what}: {type(error).__name__}") from None
    if done.returncode:
        lines = done.stderr.splitlines()
        errors = [line for line in lines if "fatal error" in line]
        errors = errors or [line for line in lines if "error" in line.lower()]
        raise Unavailable(f"{what}: {tail(chr(10).join(errors) or done.stderr)}")


@dataclass
class Peers:
    """Finds, and if need be makes, the interpreter or directory of each peer."""

    python: str
    eventlet_python: str
    wheel: Path | None = None
    _found: dict[str, str | Unavailable] = field(default_factory=dict)
    _versions: dict[str, dict[str, str] | Unavailable] = field(default_factory=dict)

    def place(self, peer: str) -> str:
        """The interpreter of a peer, or the directory of the native programs."""
        if peer not in self._found:
            try:
                self._found[peer] = self._find(peer)
            except Unavailable as reason:
                self._found[peer] = reason
        found = self._found[peer]
        if isinstance(found, Unavailable):
            raise found
        return found

    def _find(self, peer: str) -> str:
        if peer == "native":
            return self._native()
        if peer == "asyncio":
            return self.python
        if peer == OURS:
            if self.wheel is None:
                return self.eventlet_python
            stat = self.wheel.stat()
            stamp = f"{self.wheel.name} {stat.st_size} {stat.st_mtime_ns}"
            return self._venv(peer, (str(self.wheel),), stamp)
        requirements = REQUIREMENTS[peer]
        return self._venv(peer, requirements, " ".join(requirements))

    def _venv(self, name: str, requirements: tuple[str, ...], stamp: str) -> str:
        """Make a virtual environment unless the one that is there is what is wanted."""
        version = self._version(self.python)
        # Those of other versions of Python stay for the next run with them.
        venv = VENVS / ".".join(version.split(".")[:2]) / name
        python = venv / "bin" / "python"
        seal = venv / "installed.json"
        wanted = {"python": version, "requirements": stamp}
        try:
            if python.exists() and json.loads(seal.read_text()) == wanted:
                return str(python)
        except (OSError, ValueError):
            pass
        print(f"installing {name}: {' '.join(Path(each).name for each in requirements)}")
        shutil.rmtree(venv, ignore_errors=True)
        _run([self.python, "-m", "venv", str(venv)], "cannot make a virtual environment")
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, *requirements], "cannot be installed")
        seal.write_text(json.dumps(wanted))
        return str(python)

    @staticmethod
    def _native() -> str:
        """Build the Rust programs."""
        if not shutil.which("cargo"):
            raise Unavailable("cargo is not installed")
        manifest = BENCH / "Cargo.toml"
        target = BENCH / "target"
        command = ["cargo", "build", "--release", "--quiet", "--locked"]
        paths = ["--manifest-path", str(manifest), "--target-dir", str(target)]
        _run([*command, *paths], "cannot be built")
        return str(target / "release")

    @staticmethod
    def _version(python: str) -> str:
        done = subprocess.run(
            [python, "-c", "import platform; print(platform.python_version())"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode:
            raise Unavailable(f"the interpreter does not run: {tail(done.stderr)}")
        return done.stdout.strip()

    def versions(self, peer: str) -> dict[str, str]:
        """The versions of a peer's package and of its Python; checks that it can be imported."""
        if peer not in self._versions:
            try:
                self._versions[peer] = self._look(peer)
            except Unavailable as reason:
                self._versions[peer] = reason
        found = self._versions[peer]
        if isinstance(found, Unavailable):
            raise found
        return found

    def _look(self, peer: str) -> dict[str, str]:
        place = self.place(peer)
        if peer == "native":
            return {"package": "", "python": ""}
        package = {OURS: "eventlet", "asyncio": ""}.get(peer)
        if package is None:
            package = REQUIREMENTS[peer][0].partition("==")[0]
        code = (
            "import platform, importlib, importlib.metadata as m, json, sys\n"
            "name, module = sys.argv[1:]\n"
            "if module: importlib.import_module(module)\n"
            "print(json.dumps({'package': m.version(name) if name else '',"
            " 'python': platform.python_version()}))"
        )
        try:
            done = subprocess.run(
                [place, "-c", code, package, "" if peer in PROGRAMS else package],
                capture_output=True,
                text=True,
                timeout=60,
                cwd=CONTENDERS,
                env=environment(),
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"the interpreter does not run: {type(error).__name__}") from None
        if done.returncode:
            raise Unavailable(tail(done.stderr))
        versions: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
        return versions


def default_python() -> str:
    """The interpreter that runs the suite."""
    return sys.executable
