"""The files of an application, for `--reload`: noticing that one has changed.

The arbiter looks, so that it does not matter what the application does meanwhile: it may hold up
its process, or have failed to start. It looks at the modules that a worker says it has imported, at
all Python files of the folder it serves from, and at what `--reload-watch` names.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator

#: Seconds from one look to the next.
INTERVAL = 0.4

#: Folders are not searched beyond so many files: it is not an application's folder any more.
_MOST_FILES = 5000

_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})


def imported_files() -> list[str]:
    """Where the modules of this process come from, those of Python itself left out."""
    own = (sys.base_prefix, sys.base_exec_prefix)
    found = set()
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and path.endswith((".py", ".so", ".pyd")):
            path = os.path.abspath(path)
            if "site-packages" in path or not path.startswith(own):
                found.add(path)
    return sorted(found)


class Watch:
    """Remembers when files were last changed."""

    def __init__(self, folder: str, further: Iterable[str]) -> None:
        self._folder = folder
        self._further = [os.path.abspath(path) for path in further]
        self._modules: set[str] = set()
        self._known = self._look()

    def add(self, paths: Iterable[str]) -> None:
        """Watch these files, too."""
        for path in set(paths) - self._modules:
            self._modules.add(path)
            if path not in self._known and (when := _changed(path)) is not None:
                self._known[path] = when

    def changes(self) -> list[str]:
        """The files that have changed, come or gone since the last call."""
        before, self._known = self._known, self._look()
        now = self._known
        return sorted(
            path for path in before.keys() | now.keys() if before.get(path) != now.get(path)
        )

    def _look(self) -> dict[str, tuple[int, int]]:
        found = {}
        for path in self._paths():
            if (when := _changed(path)) is not None:
                found[path] = when
        return found

    def _paths(self) -> Iterator[str]:
        yield from self._modules
        yield from _files(self._folder, ".py")
        for path in self._further:
            if os.path.isdir(path):
                yield from _files(path, "")
            else:
                yield path


def _files(folder: str, ending: str) -> Iterator[str]:
    count = 0
    for where, folders, files in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and name not in _SKIPPED
            and not os.path.exists(os.path.join(where, name, "pyvenv.cfg"))
        ]
        for name in files:
            if name.endswith(ending):
                count += 1
                if count > _MOST_FILES:
                    return
                yield os.path.join(where, name)


def _changed(path: str) -> tuple[int, int] | None:
    """What tells one state of a file from another."""
    try:
        info = os.stat(path)
    except OSError:
        return None
    return (info.st_mtime_ns, info.st_size) if stat.S_ISREG(info.st_mode) else None
