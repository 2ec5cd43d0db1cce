"""Green psycopg2 and psycopg 3, for ``eventlet.monkey_patch(psycopg=True)``.

Neither is imported for that: they are made green when the program imports them.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from eventlet.support._when_imported import forget, when_imported

__all__ = ["make_blocking", "make_green"]

_HOOKS = ("psycopg2.extensions", "psycopg.connection")


def make_green() -> bool:
    """Make psycopg2 and psycopg 3 green, now or when they are imported.

    :returns: whether either is installed.
    """
    when_imported("psycopg2.extensions", _patch_2)
    when_imported("psycopg.connection", _patch_3)
    return any(map(_is_installed, ("psycopg2", "psycopg")))


def make_blocking() -> None:
    """Undo `make_green`."""
    for name in _HOOKS:
        forget(name)
    extensions = sys.modules.get("psycopg2.extensions")
    if extensions is not None and hasattr(extensions, "set_wait_callback"):
        extensions.set_wait_callback(None)
    patcher = sys.modules.get("eventlet.support.psycopg3_patcher")
    if patcher is not None:
        patcher.make_psycopg_blocking()


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _patch_2(extensions: ModuleType) -> None:
    if hasattr(extensions, "set_wait_callback"):
        from eventlet.support import psycopg2_patcher

        psycopg2_patcher.make_psycopg_green()


def _patch_3(_connection: ModuleType) -> None:
    from eventlet.support import psycopg3_patcher

    psycopg3_patcher.make_psycopg_green()
