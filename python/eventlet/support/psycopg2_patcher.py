"""Green psycopg2: its hook for waiting, given the hub.

Call `make_psycopg_green`, or patch with ``eventlet.monkey_patch(psycopg=True)``. It holds for all
connections that are not asynchronous.
"""

from __future__ import annotations

from typing import Any

import psycopg2
from psycopg2 import extensions

from eventlet.hubs import trampoline

__all__ = ["eventlet_wait_callback", "make_psycopg_green"]


def make_psycopg_green() -> None:
    """Let other green threads run while a connection waits.

    :raises ImportError: if this psycopg2 has no such hook.
    """
    if not hasattr(extensions, "set_wait_callback"):
        raise ImportError(f"psycopg2 {psycopg2.__version__} cannot be made green")
    extensions.set_wait_callback(eventlet_wait_callback)


def eventlet_wait_callback(conn: Any, timeout: float = -1) -> None:
    """Wait until a connection has done what it was told.

    If the green thread is interrupted meanwhile, psycopg2 closes the connection.

    :param timeout: of no meaning.
    :raises psycopg2.OperationalError: if the connection does not know what it waits for.
    """
    while True:
        state = conn.poll()
        if state == extensions.POLL_OK:
            return
        if state not in (extensions.POLL_READ, extensions.POLL_WRITE):
            raise psycopg2.OperationalError(f"Bad result from poll: {state!r}")
        write = state == extensions.POLL_WRITE
        trampoline(conn.fileno(), read=not write, write=write)
