"""`eventlet serve --reload`: a change of the application is seen at once, also after a mistake."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventlet.cli._watch import Watch, imported_files
from support.processes import Program, fetch, http_connection
from support.serving import APP, start


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """A function that starts a server in the test's folder."""
    programs = []

    def run(*args: str | Path, **kwargs: Any) -> Program:
        flags = ("--access-log", "off", "--reload")
        programs.append(start(tmp_path, *flags, *args, **kwargs))
        return programs[-1]

    yield run
    for program in programs:
        program.__exit__(*sys.exc_info())


def write(folder: Path, version: str, before: str = "") -> None:
    """Change the application."""
    (folder / "pids.py").write_text(before + APP.replace('b"one"', f'b"{version}"'))


def test_a_change_is_seen(serve: Callable[..., Program], tmp_path: Path) -> None:
    write(tmp_path, "first")
    program = serve()
    port = program.port()
    assert fetch(port, "/version") == (200, b"first")
    write(tmp_path, "second")
    program.wait_for(r"^eventlet: pids\.py changed; starting anew$")
    while fetch(port, "/version") != (200, b"second"):
        pass
    (tmp_path / "helper.py").write_text("version = 'third'\n")
    program.wait_for(r"^eventlet: helper\.py changed; starting anew$")
    assert program.stop() == 0
    assert program.stderr == ""


def test_a_mistake_is_shown_and_waited_for(serve: Callable[..., Program], tmp_path: Path) -> None:
    write(tmp_path, "first", before="1 / 0\n")
    program = serve(wait=False)
    program.wait_for("^eventlet: waiting for a file to change$", "stderr")
    assert "ZeroDivisionError" in program.stderr
    write(tmp_path, "second")
    port = program.port()
    assert fetch(port, "/version") == (200, b"second")
    (tmp_path / "pids.py").write_text("x = = 1\n")
    program.wait_for("SyntaxError(.|\n)*waiting for a file to change$", "stderr")
    write(tmp_path, "third")
    # Who asks meanwhile waits.
    assert fetch(port, "/version") == (200, b"third")
    assert program.stop() == 0


def test_a_process_that_is_held_up_starts_anew(
    serve: Callable[..., Program], tmp_path: Path
) -> None:
    program = serve()
    connection = http_connection(program.port())
    connection.request("GET", "/block")
    program.wait_for("^blocking$")
    write(tmp_path, "second")
    program.wait_for("changed; starting anew$")
    while fetch(program.port(), "/version") != (200, b"second"):
        pass
    connection.close()
    assert program.stop() == 0


def test_further_files_are_watched(serve: Callable[..., Program], tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "index.html").write_text("one")
    program = serve("--reload-watch", "pages", "--reload-watch", "settings.ini")
    (tmp_path / "pages" / "index.html").write_text("three")
    program.wait_for(r"^eventlet: pages/index\.html changed; starting anew$")
    (tmp_path / "settings.ini").write_text("x")
    program.wait_for(r"^eventlet: settings\.ini changed; starting anew$")
    assert program.stop() == 0


def test_what_is_watched(tmp_path: Path) -> None:
    for folder in ("sub", ".hidden", "node_modules", "venv"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "module.py").write_text("")
    (tmp_path / "venv" / "pyvenv.cfg").write_text("")
    (tmp_path / "notes.txt").write_text("")
    elsewhere = tmp_path / ".hidden" / "module.py"
    watch = Watch(str(tmp_path), [])
    assert watch.changes() == []
    for path in tmp_path.rglob("*.*"):
        if path.is_file():
            path.write_text("changed")
    assert watch.changes() == [str(tmp_path / "sub" / "module.py")]
    watch.add([str(elsewhere)])
    assert watch.changes() == []
    elsewhere.unlink()
    (tmp_path / "sub" / "new.py").write_text("")
    assert watch.changes() == [str(elsewhere), str(tmp_path / "sub" / "new.py")]
    assert watch.changes() == []


def test_modules_that_a_process_has_imported() -> None:
    files = imported_files()
    assert os.path.abspath(__file__) in files
    assert not any(file == os.__file__ for file in files)
