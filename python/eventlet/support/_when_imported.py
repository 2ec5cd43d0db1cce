"""Having something done as soon as a module is imported, without importing it for that."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

__all__ = ["forget", "when_imported"]

_Action = Callable[[ModuleType], object]


def when_imported(name: str, action: _Action) -> None:
    """Call ``action(module)`` as soon as a module has been imported; now if it has been already.

    :param name: the full name of the module. One action for each module.
    """
    module = sys.modules.get(name)
    if module is not None:
        action(module)
        return
    _finder.actions[name] = action
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def forget(name: str) -> None:
    """Call nothing for a module that has not been imported yet."""
    _finder.actions.pop(name, None)
    if not _finder.actions and _finder in sys.meta_path:
        sys.meta_path.remove(_finder)


class _Finder:
    """Finds the modules in question where the others find them.

    It is what ``importlib.abc.MetaPathFinder`` describes. To derive from that costs half as much as
    all of monkey patching, for what it imports.
    """

    def __init__(self) -> None:
        self.actions: dict[str, _Action] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See ``importlib.abc.MetaPathFinder``."""
        action = self.actions.get(fullname)
        if action is None:
            return None
        for finder in sys.meta_path:
            if finder is self:
                continue
            find_spec = getattr(finder, "find_spec", None)
            spec = None if find_spec is None else find_spec(fullname, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader, action)
                return spec  # type: ignore[no-any-return]
        return None


class _Loader:
    """Loads a module as another loader does, and tells of it."""

    def __init__(self, loader: Any, action: _Action) -> None:
        self._loader = loader
        self._action = action

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        """See ``importlib.abc.Loader``."""
        # Nobody is to see that there was somebody in between.
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        forget(module.__name__)
        self._action(module)


_finder = _Finder()
