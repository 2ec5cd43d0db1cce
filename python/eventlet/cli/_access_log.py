"""What the lines of the access log say, and who else wants to know of requests."""

from __future__ import annotations

import difflib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from eventlet.cli._errors import UsageError
from eventlet.cli._log_sink import Sink
from eventlet.wsgi import RequestLog, RequestRecord

Formatter = Callable[[RequestRecord], str]


class Requests(RequestLog):
    """Writes a line for each request, and tells whoever counts them."""

    def __init__(
        self,
        sink: Sink | None,
        formatter: Formatter | None,
        observers: Iterable[Callable[[int, float, int], object]],
    ) -> None:
        self._put = None if sink is None or formatter is None else sink.write
        self._format = formatter
        self._observers = tuple(observers)
        self._note = _note()

    def record(self, request: RequestRecord) -> None:
        """Write the line, and count the request."""
        for observer in self._observers:
            observer(request.status_code, request.wall_seconds, request.body_length)
        if self._put is not None and self._format is not None:
            self._put(self._format(request))

    def write(self, text: str) -> None:
        """Pass on a message of the server, or the traceback of a failure."""
        if not (text.startswith(self._note) and '"' not in text):
            sys.stderr.write(text)


class Plain:
    """A log of lines that the server makes, without its own notes."""

    def __init__(self, sink: Sink) -> None:
        self._put = sink.write
        self._note = _note()

    def write(self, text: str) -> None:
        """Write a line."""
        if not (text.startswith(self._note) and '"' not in text):
            self._put(text)


def _note() -> str:
    """What a server begins with that says that it starts or ends: the command says it better.

    A line a client had a hand in begins with its address, or with what it claims to be, and has a
    quoted part; such a claim must not hide it.
    """
    return f"({os.getpid()}) wsgi "


def formatter(name: str) -> Formatter | None:
    """What `--access-format` names; None is the server's own format, which it writes by itself.

    :raises UsageError: for a template that cannot be filled in.
    """
    if name == "default":
        return None
    if name == "common":
        return _common
    if name == "combined":
        return _combined
    if name == "json":
        return _json
    if "%(" not in name:
        near = difflib.get_close_matches(name, ["default", "common", "combined", "json"], n=1)
        hint = f"did you mean {near[0]}?" if near else "default, common, combined, json, or a"
        hint += "" if near else " template with names such as %(status_code)s"
        raise UsageError(f"--access-format {name}: {hint}")
    return _template(name)


def default(request: RequestRecord) -> str:
    """A line as the server itself writes it."""
    date = _date()
    return (
        f'{request.client_ip} - - [{date[:11]} {date[12:20]}] "{request.request_line}"'
        f" {request.status_code} {request.body_length} {request.wall_seconds:.6f}\n"
    )


def _common(request: RequestRecord) -> str:
    environ = request.environ
    user = "-" if environ is None else _quoted(environ.get("REMOTE_USER")) or "-"
    return (
        f'{_quoted(request.client_ip)} - {user} [{_date()}] "{_quoted(request.request_line)}"'
        f" {request.status_code} {request.body_length}\n"
    )


def _combined(request: RequestRecord) -> str:
    line = _common(request)
    known = request.environ or {}
    referer = _quoted(known.get("HTTP_REFERER")) or "-"
    agent = _quoted(known.get("HTTP_USER_AGENT")) or "-"
    return f'{line[:-1]} "{referer}" "{agent}"\n'


def _json(request: RequestRecord) -> str:
    values = _values(request)
    values["time"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    values["wall_seconds"] = round(request.wall_seconds, 6)
    del values["date_time"]
    return json.dumps(values, separators=(",", ":")) + "\n"


def _template(text: str) -> Formatter:
    def templated(request: RequestRecord) -> str:
        values = _values(request)
        for key in _FROM_CLIENT:
            values[key] = _quoted(values[key])
        return text % values + "\n"

    trial = RequestRecord({}, "127.0.0.1", "1", "GET / HTTP/1.1", 200, 1, 0.5)
    try:
        templated(trial)
    except KeyError as error:
        known = [*_values(trial)]
        near = difflib.get_close_matches(error.args[0], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
        raise UsageError(f"--access-format: unknown name {error.args[0]!r}: {hint}") from None
    except (TypeError, ValueError) as error:
        raise UsageError(f"--access-format {text!r}: {error}") from None
    return templated


#: Names of a template whose values the client has a hand in.
_FROM_CLIENT = (
    "client_ip",
    "host",
    "method",
    "path",
    "protocol",
    "query",
    "referer",
    "request_line",
    "user",
    "user_agent",
)


def _values(request: RequestRecord) -> dict[str, Any]:
    get = (request.environ or {}).get
    line = request.request_line
    return {
        "body_length": request.body_length,
        "client_ip": request.client_ip,
        "client_port": request.client_port,
        "date_time": _date(),
        "host": get("HTTP_HOST") or "-",
        "method": get("REQUEST_METHOD") or "-",
        "path": get("PATH_INFO") or "-",
        "pid": os.getpid(),
        "protocol": line.rpartition(" ")[2] or "-",
        "query": get("QUERY_STRING") or "",
        "referer": get("HTTP_REFERER") or "-",
        "request_line": line,
        "status_code": request.status_code,
        "user": get("REMOTE_USER") or "-",
        "user_agent": get("HTTP_USER_AGENT") or "-",
        "wall_seconds": request.wall_seconds,
    }


_date_now = (0, "")


def _date() -> str:
    """The local time as logs have it, made once a second."""
    global _date_now
    second = int(time.time())
    if _date_now[0] != second:
        local = time.localtime(second)
        # Not strftime's name of the month: it depends on the locale.
        month = _MONTHS[local.tm_mon - 1]
        text = time.strftime(f"%d/{month}/%Y:%H:%M:%S %z", local)
        _date_now = (second, text)
    return _date_now[1]


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _quoted(value: Any) -> str:
    """Text of a client as it may stand between quotes, in one line."""
    if not value:
        return ""
    text = str(value)
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join(_escaped(each) for each in text)


def _escaped(character: str) -> str:
    if character in '"\\' or not (character.isascii() and character.isprintable()):
        return "".join(f"\\x{byte:02X}" for byte in character.encode("latin-1", "replace"))
    return character
