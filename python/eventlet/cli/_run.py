"""`eventlet run`: a program as Python would run it, but with its standard library patched first.

What a program can see of how it was started is as Python makes it: the module `__main__`, the
command line, the search path, its tracebacks and its exit status.
"""

from __future__ import annotations

import argparse
import builtins
import os
import runpy
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import BuiltinImporter, SourceFileLoader, SourcelessFileLoader
from pkgutil import get_importer
from types import ModuleType, TracebackType
from typing import Any

from eventlet.cli import DEFAULT_GROUPS, FURTHER_GROUPS

__all__ = ["run"]


def run(args: argparse.Namespace, rest: Sequence[str]) -> int:
    """Run the program that the command line names with the arguments `rest`; the exit status."""
    from eventlet import patcher

    groups = {*DEFAULT_GROUPS, *FURTHER_GROUPS.values()}
    patcher.monkey_patch(all=False, **{group: getattr(args, group) for group in groups})
    if args.module is not None:
        return run_module(args.module, rest)
    return run_script(args.script, rest)


def run_script(path: str, rest: Sequence[str]) -> int:
    """Run a file, or a folder or an archive with a `__main__`, as `python path` does."""
    sys.argv[:] = [path, *rest]
    main = _new_main()
    full = os.path.join(os.getcwd(), path)
    if path != "-" and get_importer(full) is not None:
        _search_first(full)
        return _execute(lambda: _run_module_as_main("__main__", False))
    try:
        code = _read(path, full, vars(main))
    except OSError as error:
        reason = f"[Errno {error.errno}] {error.strerror}"
        print(f"{sys.executable}: can't open file {full!r}: {reason}", file=sys.stderr)
        return 2
    _search_first("" if path == "-" else os.path.dirname(os.path.realpath(full)))
    return _execute(lambda: exec(code(), vars(main)))


def run_module(name: str, rest: Sequence[str]) -> int:
    """Run a module as `python -m name` does."""
    sys.argv[:] = ["-m", *rest]
    _new_main()
    _search_first(os.getcwd())
    return _execute(lambda: _run_module_as_main(name, True))


_run_module_as_main: Callable[[str, bool], object] = vars(runpy)["_run_module_as_main"]


def _new_main() -> ModuleType:
    main = ModuleType("__main__")
    vars(main)["__builtins__"] = builtins
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    sys.modules["__main__"] = main
    return main


def _search_first(folder: str) -> None:
    """Have modules looked for in a folder first, in place of where our own program is."""
    if getattr(sys.flags, "safe_path", False) or sys.flags.isolated:
        return
    sys.path[:1] = [folder]


def _read(path: str, full: str, names: dict[str, Any]) -> Callable[[], Any]:
    """Read a program; return a function that compiles it. `names` gets what tells where it is."""
    names["__cached__"] = None
    if path == "-":
        source = sys.stdin.buffer.read()
        names.update(__file__="<stdin>", __loader__=BuiltinImporter)
        return lambda: compile(source, "<stdin>", "exec", dont_inherit=True)
    if path.endswith(".pyc"):
        compiled = SourcelessFileLoader("__main__", full)
        compiled.get_data(full)
        names.update(__file__=full, __loader__=compiled)
        return lambda: compiled.get_code("__main__")
    loader = SourceFileLoader("__main__", full)
    data = loader.get_data(full)
    names.update(__file__=full, __loader__=loader)
    return lambda: compile(data, full, "exec", dont_inherit=True)


def _execute(program: Callable[[], object]) -> int:
    """Run a program. What it raises goes on, to be shown by Python itself, without our frames."""
    try:
        program()
    except BaseException as error:
        raised = error
        theirs = _their_frames(error.__traceback__)
        show = sys.excepthook

        def show_theirs(
            kind: type[BaseException], value: BaseException, trace: TracebackType | None
        ) -> None:
            if value is raised:
                trace = theirs
                value.__traceback__ = theirs
            show(kind, value, trace)

        sys.excepthook = show_theirs
        raise
    return 0


def _their_frames(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace
