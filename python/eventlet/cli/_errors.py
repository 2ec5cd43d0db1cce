"""The ways in which a command fails: each ends in one line on stderr."""

from __future__ import annotations

import importlib
from types import TracebackType


class CommandError(Exception):
    """The command line was right, but what it asks for cannot be done (exit status 1).

    `shown` is an exception of the user's own code; its traceback is printed first.
    """

    def __init__(self, message: str, shown: BaseException | None = None) -> None:
        super().__init__(message)
        self.shown = shown


class UsageError(CommandError):
    """The command line itself is wrong (exit status 2)."""


def without_our_frames(error: BaseException, *ours: str) -> BaseException:
    """`error` with its traceback cut to begin in the user's code.

    `ours` are the file names to leave out at the top: where this command called in, and the
    import machinery in between.
    """
    trace: TracebackType | None = error.__traceback__
    while trace is not None and is_ours(trace, ours):
        trace = trace.tb_next
    return error.with_traceback(trace)


def is_ours(trace: TracebackType, ours: tuple[str, ...]) -> bool:
    """Whether the outermost frame of `trace` is in one of the files, or imports modules."""
    name = trace.tb_frame.f_code.co_filename
    return name in ours or name.startswith("<frozen importlib") or name == importlib.__file__
