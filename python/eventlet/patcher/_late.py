"""What to do about names that were imported before they were replaced.

``from time import sleep`` keeps the function that it found. In modules of the standard library such
names are replaced too, since these modules want what everybody has. In others they may be meant:
those are named in a warning.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Collection
from types import ModuleType
from typing import Any

from eventlet.patcher import _replace
from eventlet.patcher._replace import Replaced

__all__ = ["LatePatchWarning", "fix_or_warn"]


class LatePatchWarning(RuntimeWarning):
    """Modules imported blocking functions before `monkey_patch` could replace them."""


def fix_or_warn(replaced: Collection[Replaced]) -> None:
    """Look for the old values in modules that are not patched; replace them, or warn once."""
    news: dict[int, tuple[str, Any, Any]] = {}
    for owner, name, old, new, _ in replaced:
        # A function or a class says where it comes from; a number or a table may be anybody's.
        if isinstance(owner, ModuleType) and callable(old) and old is not new:
            news.setdefault(id(old), (f"{owner.__name__}.{name}", old, new))
    # A class that is changed in place may be known by any name.
    fixed = {id(entry.owner) for entry in replaced if isinstance(entry.owner, type)}
    fixed |= {id(entry.old) for entry in replaced if entry.fixed}
    found: dict[str, list[str]] = {}
    for module_name, module in [*sys.modules.items()]:
        top = module_name.partition(".")[0]
        # Private ones are what the public ones are made of.
        if top in _LEFT_ALONE or (top.startswith("_") and top != "__main__"):
            continue
        names = getattr(module, "__dict__", None)
        if type(names) is not dict:
            continue
        for name, value in [*names.items()]:
            hit = news.get(id(value))
            if hit is None:
                continue
            if top in sys.stdlib_module_names and module_name != "__main__":
                _replace.put(module, name, hit[2])
            elif id(value) not in fixed:
                found.setdefault(module_name, []).append(hit[0])
    if found:
        what = "; ".join(f"{module}: {', '.join(sorted(set(n)))}" for module, n in found.items())
        warnings.warn(
            "monkey_patch() came late: these modules have blocking functions already, imported "
            f"with `from ... import` (patch first, or use the module's name): {what}",
            LatePatchWarning,
            stacklevel=3,
        )


#: Modules that keep what blocks on purpose: ours, and those that watch over other programs.
_LEFT_ALONE = frozenset(
    {
        "coverage",
        "debugpy",
        "eventlet",
        "greenlet",
        "importlib",
        "posix",
        "pydevd",
        "pytest_timeout",
    }
)
