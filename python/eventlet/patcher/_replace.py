"""Replacing attributes so that each can be put back, or asked for while it is replaced."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, NamedTuple

__all__ = ["MISSING", "Replaced", "before", "patched_modules", "put", "put_back", "put_in"]

#: Stands for an attribute that was not there.
MISSING: Any = object()


class Replaced(NamedTuple):
    """An attribute that has another value now."""

    owner: Any
    name: str
    old: Any
    new: Any
    #: Whether the old value does as well, for those who have got it.
    fixed: bool = False


def put_in(pairs: Iterable[tuple[str, ModuleType]]) -> list[Replaced]:
    """Put the names that green modules list into the modules they stand for.

    :param pairs: names of modules, each with the green module. Those that are not imported yet
        are.
    :returns: what has been replaced in the modules, and in classes.
    """
    done = []
    for module_name, green in pairs:
        target = sys.modules.get(module_name) or importlib.import_module(module_name)
        # Not getattr: a green module may ask another for what it has not.
        names = vars(green)
        # Asked for first: it may look at what is about to be replaced.
        triples = [*names.get("__also_patched__", tuple)()]
        for name in names["__patched__"]:
            value = names.get(name, MISSING)
            if value is not MISSING:
                fixed = name in names.get("__fixed__", ())
                done.append(put(target, name, value)._replace(fixed=fixed))
        # Elsewhere a name of a module is meant, and not all that has its value.
        also = [put(*triple) for triple in triples]
        done += [replaced for replaced in also if isinstance(replaced.owner, type)]
        switch = names.get("__switch_patched__")
        if switch is not None:
            switch(True)
            _switches.append(switch)
        _patched.setdefault(module_name, target)
    return done


def put(owner: Any, name: str, value: Any) -> Replaced:
    """Give an attribute of a module or a class another value, and remember what it had."""
    # Not getattr: what a class inherits is not its own.
    old = vars(owner).get(name, MISSING)
    replaced = Replaced(owner, name, old, value)
    _log.append(replaced)
    setattr(owner, name, value)
    return replaced


def put_back() -> None:
    """Undo everything, last things first."""
    while _switches:
        _switches.pop()(False)
    while _log:
        owner, name, old, new, _ = _log.pop()
        if vars(owner).get(name, MISSING) is not new:
            # Somebody else has put something over it.
            continue
        if old is not MISSING:
            setattr(owner, name, old)
        else:
            delattr(owner, name)
    _patched.clear()


def before(owner: ModuleType) -> dict[str, Any]:
    """Return the names of a module as they were before anything was replaced."""
    names = dict(vars(owner))
    for entry in reversed(_log):
        if entry.owner is owner:
            if entry.old is MISSING:
                names.pop(entry.name, None)
            else:
                names[entry.name] = entry.old
    return names


def patched_modules() -> dict[str, ModuleType]:
    """Return the modules in which something is replaced now, by name."""
    return _patched


#: All that is replaced now, oldest first.
_log: list[Replaced] = []

#: To be called with False.
_switches: list[Callable[[bool], object]] = []

_patched: dict[str, ModuleType] = {}
