"""What is installed: its metadata, its typing information, its import."""

import importlib.metadata
import importlib.resources
import pathlib
import re
import subprocess
import sys

import pytest

import eventlet

ROOT = pathlib.Path(__file__).resolve().parent.parent


def manifest_version(name):
    """Return the first `version = "..."` of a manifest (Python 3.10 has no tomllib)."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.search(r'^version = "([^"]+)"$', text, re.MULTILINE).group(1)


def test_one_version_everywhere():
    version = importlib.metadata.version("eventlet")
    assert version == eventlet.__version__
    assert version == manifest_version("pyproject.toml") == manifest_version("Cargo.toml")


def test_version_is_three_plain_numbers():
    # Programs compare it as such with the versions of Eventlet that they need.
    parts = importlib.metadata.version("eventlet").split(".")
    assert len(parts) == 3
    assert tuple(map(int, parts)) >= (1, 0, 0)


def test_metadata():
    metadata = importlib.metadata.metadata("eventlet")
    assert metadata["Name"] == "eventlet"
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "MIT"
    required = [each.replace(" ", "") for each in metadata.get_all("Requires-Dist")]
    assert [each for each in required if ";" not in each] == ["greenlet>=3.2.2"]
    assert metadata.get_all("Provides-Extra") == ["dns"]


def test_command():
    commands = importlib.metadata.entry_points(group="console_scripts", name="eventlet")
    assert [each.value for each in commands] == ["eventlet.__main__:main"]


@pytest.mark.parametrize("name", ["py.typed", "_core.pyi"])
def test_typing_information_is_installed(name):
    assert importlib.resources.files("eventlet").joinpath(name).is_file()


def test_core_is_compiled_for_this_interpreter():
    from eventlet import _core

    assert pathlib.Path(_core.__file__).suffix in {".so", ".pyd"}
    assert f"{sys.version_info.major}{sys.version_info.minor}" in pathlib.Path(_core.__file__).name


def test_import_is_light(run_python):
    code = (
        "import sys; before = set(sys.modules); import eventlet;"
        "print(*sorted(set(sys.modules) - before))"
    )
    imported = run_python(code).stdout.split()
    assert "eventlet" in imported
    assert len(imported) < 100, imported


def test_import_is_silent(run_python):
    done = run_python("import eventlet", env={"PYTHONWARNINGS": "error"})
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.timeout(170)
def test_stub_matches_core():
    pytest.importorskip("mypy.stubtest")
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "eventlet._core"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", ["1.1.3", "3.2.1", "unknown"])
def test_old_greenlet_is_refused_with_advice(version, run_python):
    code = f"import greenlet; greenlet.__version__ = {version!r}; import eventlet"
    done = run_python(code, check=False)
    assert done.returncode == 1
    assert (
        f"ImportError: eventlet needs greenlet 3.2.2 or newer, but greenlet {version} is"
        in done.stderr
    )
    assert "pip install -U greenlet" in done.stderr


def test_missing_greenlet_is_reported_with_advice(run_python):
    done = run_python("import sys; sys.modules['greenlet'] = None; import eventlet", check=False)
    assert done.returncode == 1
    assert "ImportError: eventlet needs the package greenlet" in done.stderr
