"""`eventlet run` and `python -m eventlet.patcher`: programs run as Python runs them, patched."""

from __future__ import annotations

import compileall
import os
import re
import signal
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = """\
import sys, pprint, re
names = {name: value for name, value in globals().items() if name not in ("pprint", "re", "names")}
loader = names.pop("__loader__")
print(loader if isinstance(loader, type) else type(loader).__name__)
print(re.sub("0x[0-9a-f]+", "ADDRESS", pprint.pformat(names)))
print(sys.argv, sys.path[0], sys.modules["__main__"].__dict__ is globals())
from beside import where
print(where)
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where programs are run."""
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "beside.py").write_text("where = 'beside'\n")
    for package in ("folder", "package"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__main__.py").write_text(PROGRAM)
        (tmp_path / package / "beside.py").write_text(f"where = 'beside in {package}'\n")
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "module.py").write_text(PROGRAM)
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "linked.py").symlink_to(tmp_path / "program.py")
    compileall.compile_file(tmp_path / "program.py", quiet=1, legacy=True)
    (tmp_path / "program.pyc").rename(tmp_path / "compiled.pyc")
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", PROGRAM)
        archive.writestr("beside.py", "where = 'beside in the archive'\n")
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    """A function that runs Python with the given arguments."""

    def run(*args: str | Path, stdin: str = "", **kwargs: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, args)],
            cwd=folder,
            env={**os.environ, **kwargs},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=30,
        )

    return run


@pytest.mark.parametrize(
    "args",
    [
        ["program.py"],
        ["program.py", "one", "-m", "--two", "-h"],
        ["./program.py", "--", "x"],
        ["link/linked.py"],
        ["compiled.pyc"],
        ["folder"],
        ["folder/", "-x"],
        ["archive.zip", "y"],
        ["-m", "program", "-m", "-x"],
        ["-m", "package"],
        ["-m", "package.module", "z"],
        ["-", "stdin", "-x"],
    ],
)
@pytest.mark.parametrize("command", ["eventlet run", "eventlet.patcher"])
def test_programs_find_what_python_would_show_them(run: Run, args: list[str], command: str) -> None:
    expected = run(*args, stdin=PROGRAM)
    assert expected.returncode == 0, expected.stderr
    done = run("-m", *command.split(), *args, stdin=PROGRAM)
    assert done.stdout == expected.stdout
    assert (done.returncode, done.stderr) == (0, "")


def test_the_installed_command(run: Run, folder: Path) -> None:
    (folder / "eventlet_command.py").write_text(
        "import sys\nfrom eventlet.__main__ import main\nsys.exit(main())\n"
    )
    done = run("eventlet_command.py", "run", "program.py")
    assert done.stdout == run("program.py").stdout


FAILING = {
    "raises": "def f():\n    raise ValueError('no')\nf()\n",
    "chained": """\
def f():
    try:
        1 / 0
    except ZeroDivisionError:
        raise KeyError("second")
f()
""",
    "syntax": "x = 1\nif x\n    pass\n",
    "import": "import nowhere\n",
    "in a thread": "from threading import Thread\nThread(target=lambda: 1 / 0, name='T').start()\n",
    "hook": "import sys\nsys.excepthook = lambda *args: print(args[0], args[2].tb_lineno)\n1 / 0\n",
    "exits": "import sys\nsys.exit()\n",
    "exits with a number": "raise SystemExit(7)\n",
    "exits with a message": "import sys\nsys.exit('message')\n",
    "exits with an object": "import sys\nsys.exit(['a', 1])\n",
    "interrupted": "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nwhile True: pass\n",
    "last words": "import atexit\natexit.register(print, 'at exit')\n1 / 0\n",
}


@pytest.mark.parametrize("name", FAILING)
@pytest.mark.parametrize("as_module", [False, True])
def test_failures_look_as_in_python(run: Run, folder: Path, name: str, as_module: bool) -> None:
    (folder / "failing.py").write_text(FAILING[name])
    args = ["-m", "failing"] if as_module else ["failing.py"]
    expected = run(*args)
    done = run("-m", "eventlet", "run", *args)
    assert done.returncode == expected.returncode
    assert done.stdout == expected.stdout
    assert done.stderr == expected.stderr
    if name == "interrupted":
        assert done.returncode == -signal.SIGINT


@pytest.mark.parametrize("args", [["nowhere.py"], ["-m", "nowhere"], ["-m", "beside.x"], ["link"]])
def test_programs_that_are_not_there(run: Run, args: list[str]) -> None:
    expected = run(*args)
    done = run("-m", "eventlet", "run", *args)
    assert (done.returncode, done.stderr) == (expected.returncode, expected.stderr)


@pytest.mark.parametrize(
    ("options", "patched"),
    [
        ([], "os select socket subprocess thread time"),
        (["--no-socket"], "os select subprocess thread time"),
        (["--no-os", "--no-select", "--no-subprocess"], "socket thread time"),
        (["--no-thread", "--no-time", "--no-psycopg"], "os select socket subprocess"),
        (["--builtins"], "builtins os select socket subprocess thread time"),
    ],
)
@pytest.mark.parametrize("program", [["shows.py"], ["-m", "shows"], ["-mshows"]])
def test_what_is_patched(
    run: Run, folder: Path, options: list[str], patched: str, program: list[str]
) -> None:
    code = "from eventlet.patcher import already_patched\nprint(*sorted(already_patched))\n"
    (folder / "shows.py").write_text(code)
    done = run("-m", "eventlet", "run", *options, *program)
    assert done.stderr == ""
    assert [name for name in done.stdout.split() if name != "psycopg"] == patched.split()


def test_it_is_patched_from_the_first_line(run: Run, folder: Path) -> None:
    (folder / "first.py").write_text(
        textwrap.dedent(
            """
            from threading import Thread, get_native_id
            from time import sleep
            ran = []
            def work(n):
                sleep(0)
                ran.append((n, get_native_id()))
            threads = [Thread(target=work, args=(n,)) for n in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(ran) == [(n, get_native_id()) for n in range(3)]
            """
        )
    )
    done = run("-W", "error", "-m", "eventlet", "run", "first.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("args", [[], ["--no-socket"], ["-m"], ["--loud", "x.py"]])
def test_a_wrong_command_line_is_one_line(run: Run, args: list[str]) -> None:
    done = run("-m", "eventlet", "run", *args)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert re.match("eventlet( run)?: error: ", line)


def test_safe_path(run: Run) -> None:
    args = ["-I", "-c", "import sys; print(sys.path)"]
    expected = run(*args)
    assert expected.returncode == 0
    code = (
        "import sys; sys.path[:0] = sys.argv.pop(1).split(':');"
        "from eventlet.cli import main; sys.exit(main())"
    )
    here = os.pathsep.join(entry for entry in sys.path if entry)
    done = run("-I", "-c", code, here, "run", "program.py")
    assert "ModuleNotFoundError: No module named 'beside'" in done.stderr


def test_programs_stay_importable_for_multiprocessing(run: Run, folder: Path) -> None:
    (folder / "many.py").write_text(
        textwrap.dedent(
            """
            import multiprocessing
            def square(n):
                return n * n
            if __name__ == "__main__":
                context = multiprocessing.get_context("spawn")
                with context.Pool(1) as pool:
                    print(pool.map(square, range(3)))
            """
        )
    )
    done = run("-m", "eventlet", "run", "many.py")
    assert (done.stdout, done.stderr) == ("[0, 1, 4]\n", "")
