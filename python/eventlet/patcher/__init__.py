"""Monkey patching: blocking programs that were written for threads run on green threads.

`monkey_patch` replaces what blocks in the standard library, in place: each module of
``eventlet.green`` lists in ``__patched__`` the names that go into the module it stands for. There
is one copy of each standard module, so a program, its libraries and the standard library itself all
see the same thing. What was there before is kept, for `original` and for `unpatch`.

A green module may also have a function ``__also_patched__`` which returns triples ``(object, name,
value)``: attributes of classes, and of other modules, that are to be replaced along with it. So
what refers to the replaced names, and what was imported before, becomes green too. What cannot be
said that way is done by a function ``__switch_patched__``, called with True and, to undo it, False.
``__fixed__`` lists names whose old values are green afterwards, for those who imported them early.

`import_patched` and `inject` leave the standard library alone, and import one module that sees
green ones instead.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from eventlet.patcher import _late, _replace
from eventlet.patcher._copies import (
    SysModulesSaver,
    import_patched,
    inject,
    original,
    patch_function,
    slurp_properties,
)
from eventlet.patcher._late import LatePatchWarning

__all__ = [
    "LatePatchWarning",
    "import_patched",
    "inject",
    "is_monkey_patched",
    "monkey_patch",
    "original",
    "unpatch",
]

#: The groups that have been patched, by the names that `monkey_patch` knows them by.
already_patched: dict[str, bool] = {}

_Modules = list[tuple[str, ModuleType]]


def monkey_patch(**on: bool | None) -> None:
    """Make the standard library green, all of it or some.

    Without arguments, all that is listed here is patched but ``builtins`` and ``MySQLdb``. If any
    argument is true, only those are that are true; if some are false and none is true, all but
    those. It may be called more than once.

    :param os: ``read``, ``write``, ``waitpid`` and others.
    :param select: the modules ``select`` and ``selectors``.
    :param socket: the modules ``socket`` and ``ssl``.
    :param subprocess: the module ``subprocess``.
    :param thread: the modules ``threading``, ``_thread`` and ``queue``.
    :param time: ``sleep``.
    :param psycopg: psycopg2 and psycopg 3, if they are installed, when the program imports them.
    :param builtins: ``open``, which then tells the hub of reused descriptors. ``__builtin__`` is
        another name for it.
    :param MySQLdb: the driver, whose calls are made in OS threads.
    :param all: what holds for those that are not named.
    :raises TypeError: for an argument with another name.
    """
    wanted = _wanted(on)
    groups = [name for name in _GROUPS if wanted[name] and not already_patched.get(name)]
    # Before anything is replaced: a hub is made of the real things.
    from eventlet import hubs

    hubs.get_hub()
    modules = [(name, _GROUPS[name]()) for name in groups]
    replaced = []
    for name, pairs in modules:
        if pairs:
            replaced += _replace.put_in(pairs)
            already_patched[name] = True
    if wanted["psycopg"] and not already_patched.get("psycopg") and _patch_psycopg():
        already_patched["psycopg"] = True
    if replaced:
        _late.fix_or_warn(replaced)


def _wanted(on: dict[str, bool | None]) -> dict[str, bool]:
    """Return which groups the arguments of `monkey_patch` ask for."""
    if "__builtin__" in on:
        if "builtins" in on:
            raise TypeError("monkey_patch() got builtins twice, once as __builtin__")
        on["builtins"] = on.pop("__builtin__")
    rest = on.pop("all", None)
    for name in on:
        if name not in _GROUPS and name != "psycopg":
            raise TypeError(f"monkey_patch() got an unexpected keyword argument {name!r}")
    if rest is None:
        rest = not any(on.values())
    on.setdefault("MySQLdb", False)
    on.setdefault("builtins", False)
    return {name: bool(on.get(name, rest)) for name in (*_GROUPS, "psycopg")}


def _patch_psycopg() -> bool:
    from eventlet.support import _psycopg

    return _psycopg.make_green()


def unpatch() -> None:
    """Put back all that `monkey_patch` has replaced.

    What has been made of green classes in the meantime stays green.
    """
    _replace.put_back()
    if already_patched.get("psycopg"):
        from eventlet.support import _psycopg

        _psycopg.make_blocking()
    already_patched.clear()


def is_monkey_patched(module: ModuleType | str) -> bool:
    """Return whether a module is green now.

    :param module: the module or its name, or the name of a group, as `monkey_patch` takes it.
    """
    name = module if isinstance(module, str) else getattr(module, "__name__", None)
    return already_patched.get(name, False) or name in _replace.patched_modules()  # type: ignore[arg-type]


# What each argument of `monkey_patch` stands for. Other packages call these by name.


def _green_os_modules() -> _Modules:
    from eventlet.green import os

    return [("os", os)]


def _green_select_modules() -> _Modules:
    from eventlet.green import select, selectors

    return [("select", select), ("selectors", selectors)]


def _green_socket_modules() -> _Modules:
    from eventlet.green import socket

    try:
        from eventlet.green import ssl
    except ImportError:
        # This Python was built without.
        return [("socket", socket)]
    return [("socket", socket), ("ssl", ssl)]


def _green_subprocess_modules() -> _Modules:
    from eventlet.green import subprocess

    return [("subprocess", subprocess)]


def _green_thread_modules() -> _Modules:
    from eventlet.green import Queue, thread, threading

    return [("queue", Queue), ("_thread", thread), ("threading", threading)]


def _green_time_modules() -> _Modules:
    from eventlet.green import time

    return [("time", time)]


def _green_MySQLdb() -> _Modules:
    try:
        from eventlet.green import MySQLdb
    except ImportError:
        return []
    return [("MySQLdb", MySQLdb)]


def _green_builtins() -> _Modules:
    from eventlet.green import builtin

    return [("builtins", builtin)]


#: In the order in which they are patched.
_GROUPS: dict[str, Callable[[], _Modules]] = {
    "os": _green_os_modules,
    "select": _green_select_modules,
    "socket": _green_socket_modules,
    "thread": _green_thread_modules,
    "time": _green_time_modules,
    "MySQLdb": _green_MySQLdb,
    "builtins": _green_builtins,
    "subprocess": _green_subprocess_modules,
}


def _defaults() -> list[tuple[str, Any]]:
    """Return the green modules that `inject` uses unless it is told others."""
    return [
        *_green_os_modules(),
        *_green_select_modules(),
        *_green_socket_modules(),
        *_green_thread_modules(),
        *_green_time_modules(),
    ]
