"""The configuration file of `eventlet serve`: TOML, with the names of the command line's options.

What a file says is turned into options and read by the same parser as the command line, so both
have the same names, the same checks and the same messages.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eventlet.cli._errors import CommandError, UsageError

#: Options that have no place in a file.
_COMMAND_LINE_ONLY = frozenset({"check", "config", "help"})


def read_arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments of `eventlet serve`, together with the file that `--config` names.

    What the command line says goes before what the file says.

    :raises CommandError: if the file cannot be read.
    :raises UsageError: if it is not as it should be.
    :raises SystemExit: from `parser`, which has shown a message.
    """
    args = parser.parse_args(argv)
    if args.config is None:
        return args
    path = Path(args.config)
    options = [*_options(parser, _table(path), path)]
    merged = _parse_file(parser, options, path)
    for name in ("bind", "reload_watch"):
        # Given here, these replace the file's instead of being added to them.
        if getattr(args, name) is not None:
            setattr(merged, name, None)
    app = merged.app
    parser.parse_args(argv, merged)
    if args.app is None:
        merged.app = app
    return merged


def _table(path: Path) -> dict[str, Any]:
    toml = _toml()
    try:
        with path.open("rb") as file:
            table: dict[str, Any] = toml.load(file)
    except OSError as error:
        raise CommandError(f"--config {path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path}: not TOML: {error}") from None
    if path.name == "pyproject.toml":
        for name in ("tool", "eventlet", "serve"):
            table = table.get(name, {})
            if not isinstance(table, dict):
                raise UsageError(f"{path}: [tool.eventlet.serve] is not a table")
    return table


def _toml() -> Any:
    for name in ("tomllib", "tomli"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            pass
    raise CommandError(
        "--config: this version of Python cannot read TOML: install tomli, or use Python 3.11"
    )


def _options(parser: argparse.ArgumentParser, table: dict[str, Any], path: Path) -> Iterator[str]:
    """What a file says, as the arguments of a command line."""
    known = {
        option.removeprefix("--"): action
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--") and option[2:] not in _COMMAND_LINE_ONLY
    }
    app = None
    for key, value in table.items():
        # Both spellings: Python people write underscores.
        name = key.replace("_", "-")
        if name == "app":
            if not isinstance(value, str):
                raise UsageError(f"{path}: app: a string such as 'hello:app' is needed")
            app = value
        elif name not in known:
            near = difflib.get_close_matches(name, [*known, "app"], n=1)
            hint = f": did you mean {near[0]}?" if near else " (see eventlet serve --help)"
            raise UsageError(f"{path}: unknown key {key!r}{hint}")
        else:
            for text in _values(known[name], value, f"{path}: {key}"):
                yield f"--{name}" if text is None else f"--{name}={text}"
    if app is not None:
        yield app


def _values(action: argparse.Action, value: Any, where: str) -> list[str | None]:
    """The texts of one option; None is for one that takes no value."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise UsageError(f"{where}: true or false is needed")
        return [None] if value else []
    values = value if isinstance(value, list) else [value]
    several = type(action).__name__ == "_AppendAction"
    joined = action.dest == "trusted_proxies"
    if len(values) != 1 and not several and not joined:
        raise UsageError(f"{where}: one value is needed, not a list of {len(values)}")
    if any(isinstance(each, bool) or not isinstance(each, (str, int, float)) for each in values):
        raise UsageError(f"{where}: a string or a number is needed")
    texts = [str(each) for each in values]
    return [",".join(texts)] if joined else [*texts]


def _parse_file(
    parser: argparse.ArgumentParser, options: list[str], path: Path
) -> argparse.Namespace:
    """Parse a file's options; what is wrong with them is said of the file."""
    prog = parser.prog
    parser.prog = f"{prog}: {path}"
    try:
        return parser.parse_args(options)
    finally:
        parser.prog = prog
