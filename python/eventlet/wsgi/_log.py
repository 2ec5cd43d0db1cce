"""Where a server writes its lines: a logger, a file, or nowhere."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

from eventlet._core import RequestRecord


class LoggerNull:
    """A log that forgets everything; the methods are those that all logs have."""

    def error(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log a failure."""

    def info(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log something of use."""

    def debug(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log something of use to those who look for a mistake."""

    def write(self, msg: str, *args: Any) -> None:
        """Log a line as it is, after ``%`` with the arguments, if there are any."""


class LoggerFileWrapper(LoggerNull):
    """A log that writes lines to a file.

    :param log: the file; what `write` of it gets is one line, with its newline.
    :param debug: whether `debug` writes, too.
    """

    def __init__(self, log: Any, debug: bool) -> None:
        self.log = log
        self._debug = debug

    def error(self, msg: str, *args: Any, **kwargs: Any) -> None:
        self.write(msg, *args)

    def info(self, msg: str, *args: Any, **kwargs: Any) -> None:
        self.write(msg, *args)

    def debug(self, msg: str, *args: Any, **kwargs: Any) -> None:
        if self._debug:
            self.write(msg, *args)

    def write(self, msg: str, *args: Any) -> None:
        self.log.write((msg % args if args else msg) + "\n")


class RequestLog:
    """A log that gets what there is to say of each request, rather than a line of text.

    A subclass given to `server` as its `log` has `record` called once a request; messages about the
    server itself, and tracebacks, go to `write`.
    """

    def record(self, request: RequestRecord) -> None:
        """Take note of a request that has been answered.

        Called in the green thread of the request, so it must not wait for long. What it raises is
        reported, and the server goes on.

        :param request: what there is to say of it.
        """
        raise NotImplementedError

    def write(self, text: str) -> None:
        """Take a message about the server or the application, which ends with a newline."""
        sys.stderr.write(text)


def get_logger(log: Any, debug: bool) -> Any:
    """Return `log` if it is a logger (it has `info` and `debug`), else one that writes to it.

    :param log: a logger, a file, or None for stderr.
    :param debug: whether a file gets what is logged with `debug`.
    """
    if callable(getattr(log, "info", None)) and callable(getattr(log, "debug", None)):
        return log
    return LoggerFileWrapper(sys.stderr if log is None else log, debug)


def debug_writer(log: Any, debug: bool) -> Callable[[str], object] | None:
    """Return what the native server calls with what few care to see; None if nobody does."""
    if type(log) is LoggerNull or (type(log) is LoggerFileWrapper and not debug):
        return None
    return lambda line: log.debug("%s", line)


def sheet_writer(log: Any) -> Callable[[str], object] | None:
    """Return what the native server calls with several lines at once; None for other than files.

    A file of the program's own class gets each line by itself, when its request is over.
    """
    if type(log) is LoggerFileWrapper and type(log.log) is io.TextIOWrapper:
        return log.log.write
    return None


def line_writer(log: Any) -> Callable[[str], object]:
    """Return what the native server calls with each line that is for the operator to see."""
    if type(log) is LoggerFileWrapper:
        write = log.log.write
        return lambda line: write(line + "\n")
    # A percent sign that a client has sent must not be taken for the logger's own.
    return lambda line: log.info("%s", line)
