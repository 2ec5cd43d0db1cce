"""The command line, in a folder with an application."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.hello import HELLO
from support.processes import Program


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an application in it."""
    (tmp_path / "hello.py").write_text(HELLO)
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Program]]:
    """A function that runs `eventlet ARGS` in the folder."""
    programs = []

    def run(*args: str | Path) -> Program:
        programs.append(Program("-m", "eventlet", *args, cwd=folder))
        return programs[-1]

    yield run
    for program in programs:
        program.__exit__(*sys.exc_info())


@pytest.fixture
def serve(start: Callable[..., Program]) -> Callable[..., Program]:
    """A function that serves on a free port of loopback and waits until that is so."""

    def run(*args: str | Path, app: str = "hello:app", bind: str = "127.0.0.1:0") -> Program:
        program = start("serve", app, "--bind", bind, *args)
        if "--quiet" not in args:
            program.wait_for(r"^eventlet \S+ serving .*$")
        return program

    return run
