"""Green psycopg 3, in C and in Python: its functions for waiting, given the hub.

psycopg's operations are generators that yield what the connection's descriptor has to be ready for;
``psycopg.waiting.wait`` and ``wait_conn`` run them. With these two replaced, the connections that
are not asynchronous let other green threads run. A green thread that a `Timeout` or a kill
interrupts in a query has psycopg cancel the query, so that the connection can be used again.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Generator
from typing import Any

import psycopg
from greenlet import GreenletExit
from psycopg import connection, waiting

from eventlet._core import Hub, wait_fileno
from eventlet.event import Event
from eventlet.hubs import IOClosed, get_hub
from eventlet.timeout import Timeout

__all__ = ["make_psycopg_blocking", "make_psycopg_green", "wait", "wait_conn"]

_R, _W = waiting.Wait.R, waiting.Wait.W
_NONE = 0

# Up to version 3.1 `timeout` was what is `interval` now.
_HAS_INTERVAL = "interval" in inspect.signature(waiting.wait_selector).parameters

#: What was there before, by module and name.
_originals: dict[tuple[Any, str], Any] = {}


def make_psycopg_green() -> None:
    """Let other green threads run while a connection waits."""
    _replace(waiting, "wait", wait)
    _replace(waiting, "wait_conn", wait_conn)
    interrupts = getattr(connection, "_INTERRUPTED", None)
    if isinstance(interrupts, tuple) and Timeout not in interrupts:
        _replace(connection, "_INTERRUPTED", (*interrupts, Timeout, GreenletExit))


def make_psycopg_blocking() -> None:
    """Undo `make_psycopg_green`."""
    while _originals:
        (module, name), original = _originals.popitem()
        setattr(module, name, original)


def _replace(module: Any, name: str, value: Any) -> None:
    if getattr(module, name) is not value:
        _originals.setdefault((module, name), getattr(module, name))
        setattr(module, name, value)


def wait(
    gen: Generator[int, int, Any],
    fileno: int,
    interval: float | None = None,
    timeout: float | None = None,
) -> Any:
    """Run an operation to its end, and return its result.

    :param gen: the operation.
    :param fileno: the connection's descriptor.
    :param interval: seconds after which the operation gets a turn although nothing has happened.
    :param timeout: seconds for all of it.
    :raises psycopg.errors._WaitTimeout: if it takes longer.
    :raises psycopg.OperationalError: if the connection is closed meanwhile.
    """

    def operation() -> Generator[tuple[int, int], int, Any]:
        try:
            wanted = next(gen)
            while True:
                wanted = gen.send((yield fileno, wanted))
        except StopIteration as end:
            return end.value

    return wait_conn(operation(), interval, timeout)


def wait_conn(
    gen: Generator[tuple[int, int], int, Any],
    interval: float | None = None,
    timeout: float | None = None,
) -> Any:
    """Run an operation that may change the descriptor to its end, and return its result.

    :param gen: the operation.
    :param interval: seconds after which the operation gets a turn although nothing has happened.
    :param timeout: seconds for all of it.
    :raises psycopg.errors._WaitTimeout: if it takes longer.
    :raises psycopg.OperationalError: if the connection is closed meanwhile.
    """
    if not _HAS_INTERVAL:
        interval, timeout = timeout, None
    deadline = None if timeout is None else Hub.clock() + timeout
    try:
        fileno, wanted = next(gen)
        while True:
            seconds = interval
            if deadline is not None:
                left = max(0, deadline - Hub.clock())
                seconds = left if seconds is None else min(seconds, left)
            fileno, wanted = gen.send(_ready(fileno, wanted, seconds))
            if deadline is not None and Hub.clock() >= deadline:
                raise psycopg.errors._WaitTimeout("wait timeout expired")
    except StopIteration as end:
        return end.value


def _ready(fileno: int, wanted: int, seconds: float | None) -> int:
    """Wait until a descriptor is ready for what is wanted; return for what it is."""
    try:
        if wanted in (_R, _W):
            found = wanted if wait_fileno(fileno, wanted == _W, seconds) else _NONE
        else:
            found = _ready_for_either(fileno, seconds)
        if not found:
            # libpq closes descriptors without telling the hub.
            os.fstat(fileno)
    except (IOClosed, OSError) as error:
        raise psycopg.OperationalError("connection socket closed") from error
    return found


def _ready_for_either(fileno: int, seconds: float | None) -> int:
    hub = get_hub()
    ready = Event()

    def tell(found: int) -> None:
        if not ready.ready():
            ready.send(found)

    def fail(error: BaseException) -> None:
        if not ready.ready():
            ready.send(exc=error)

    reader = hub.add(hub.READ, fileno, lambda _: tell(_R), fail)
    try:
        writer = hub.add(hub.WRITE, fileno, lambda _: tell(_W), fail)
        try:
            found: int = ready.wait(seconds, _NONE)
            return found
        finally:
            hub.remove(writer)
    finally:
        hub.remove(reader)
