"""The `eventlet` command line.

This file holds the parser and nothing else that costs time: what a command does lives in a private
module beside it and is imported when that command runs, so that `--help` and a mistyped option
answer at once.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from eventlet.cli._errors import CommandError, UsageError
from eventlet.cli._serve_options import add_serve

__all__ = ["main"]

#: Groups of `eventlet.monkey_patch` that a program gets unless they are turned off, and those that
#: have to be asked for, by the names of their options.
DEFAULT_GROUPS = ("socket", "os", "select", "thread", "time", "subprocess", "psycopg")
FURTHER_GROUPS = {"builtins": "builtins", "mysqldb": "MySQLdb"}

_EPILOG = """\
examples:
  eventlet serve hello:app
  eventlet serve --bind 0.0.0.0:8080 --access-log off shop.web:create_app()
  eventlet run crawler.py --depth 3
  eventlet run -m http.server
  eventlet serve --help
  eventlet --version
"""

_GROUP_HELP = {
    "MySQLdb": "patch the driver MySQLdb, if it is installed",
    "builtins": "patch open()",
    "os": "os.read, os.write, os.waitpid and the like",
    "psycopg": "psycopg2 and psycopg 3",
    "select": "select and selectors",
    "socket": "socket and ssl",
    "subprocess": "subprocess",
    "thread": "threading, queue and locks",
    "time": "time.sleep",
}

_RUN_DESCRIPTION = """\
Run a program on green threads, unchanged: what blocks in its standard library (sockets, threads,
locks, queues, processes, sleeping) is replaced before its first line is run. What `__main__`,
`sys.argv`, `sys.path` and tracebacks look like is as with `python`.
"""

_RUN_EPILOG = """\
programs:
  crawler.py    a file; or a folder or an archive with a __main__.py; or '-', which is stdin
  -m crawler    a module, or a package with a __main__.py
  All that follows goes to the program.

examples:
  eventlet run crawler.py --depth 3
  eventlet run -m http.server 8000
  eventlet run --no-thread --builtins worker.py
"""


if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction["_Parser"]


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line: the usage is one `--help` away."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (try '{self.prog} --help')\n")


class _Version(argparse.Action):
    """`--version`, put together only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from eventlet.cli._version import version_line

        print(version_line())
        parser.exit()


def _parser() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """The parser of the command line, and the one of what follows `serve`."""
    parser = _Parser(
        prog="eventlet",
        description="Green-thread networking for Python, from the command line.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="print the versions in use and exit"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    _add_run(commands)
    return parser, add_serve(commands)


def _add_run(commands: _Commands) -> None:
    run = commands.add_parser(
        "run",
        help="run a program on green threads",
        usage="%(prog)s [options] SCRIPT [argument ...]\n"
        "       %(prog)s [options] -m MODULE [argument ...]",
        description=_RUN_DESCRIPTION,
        epilog=_RUN_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    program = run.add_mutually_exclusive_group(required=True)
    program.add_argument("script", metavar="SCRIPT", nargs="?", help="the program (see below)")
    program.add_argument("-m", dest="module", metavar="MODULE", help="the program, as a module")
    for group in DEFAULT_GROUPS:
        run.add_argument(
            f"--no-{group}",
            dest=group,
            action="store_false",
            help=f"leave alone: {_GROUP_HELP[group]}",
        )
    for option, group in FURTHER_GROUPS.items():
        run.add_argument(f"--{option}", dest=group, action="store_true", help=_GROUP_HELP[group])


def _split_run(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part the arguments of `eventlet run` from those of the program that it runs."""
    for index, argument in enumerate(argv):
        if argument == "-m":
            return [*argv[: index + 2]], [*argv[index + 2 :]]
        if argument == "-" or argument.startswith("-m") or not argument.startswith("-"):
            return [*argv[: index + 1]], [*argv[index + 1 :]]
    return [*argv], []


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    `argv` is `sys.argv[1:]` unless given. A wrong command line gives 2, what fails at run time 1,
    with one line on stderr that says why. What a program raises that `eventlet run` runs goes on.
    """
    own = [*(sys.argv[1:] if argv is None else argv)]
    theirs: list[str] = []
    if own[:1] == ["run"]:
        options, theirs = _split_run(own[1:])
        own[1:] = options
    parser, serve_parser = _parser()
    if own[:1] == ["serve"]:
        return _start_serving(serve_parser, own[1:])
    try:
        args = parser.parse_args(own)
    except SystemExit as done:
        # argparse ends that way after --help, --version and its own errors.
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    if args.command is None:
        parser.print_help(sys.stderr)
        return 2
    from eventlet.cli._run import run

    return run(args, theirs)


def _start_serving(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    try:
        from eventlet.cli._config import read_arguments

        try:
            args = read_arguments(parser, argv)
            if args.app is None:
                parser.error("the following arguments are required: MODULE:APP")
        except SystemExit as done:
            return done.code if isinstance(done.code, int) else int(done.code is not None)
        from eventlet.cli._serve import serve

        return serve(args)
    except UsageError as error:
        _complain(str(error))
        return 2
    except CommandError as error:
        if error.shown is not None:
            traceback.print_exception(error.shown)
        _complain(str(error))
        return 1
    except KeyboardInterrupt:
        # Ctrl-C before the server took it over, while the application was being imported.
        return 130


def _complain(message: str) -> None:
    print(f"eventlet: error: {message}", file=sys.stderr)
