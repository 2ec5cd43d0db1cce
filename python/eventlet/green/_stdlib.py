"""Green modules made by executing the standard library's own code once more.

Such a module is not a copy of names: its functions look up its globals, so what a program sets in
it takes effect, and its classes say that they come from it. Whatever the code imports, then or when
one of its functions runs, is the green module of that name if there is one. The standard library
itself is left alone.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import sys
from typing import Any

__all__ = ["execute", "exists"]

#: Modules of which there is a green one, and its name below ``eventlet.green``.
_GREEN = {
    "_thread": "thread",
    "asynchat": "asynchat",
    "asyncore": "asyncore",
    "ftplib": "ftplib",
    "http": "http",
    "http.client": "http.client",
    "http.cookiejar": "http.cookiejar",
    "http.cookies": "http.cookies",
    "http.server": "http.server",
    "os": "os",
    "queue": "Queue",
    "select": "select",
    "selectors": "selectors",
    "socket": "socket",
    "socketserver": "SocketServer",
    "ssl": "ssl",
    "subprocess": "subprocess",
    "threading": "threading",
    "time": "time",
    "urllib": "urllib",
    "urllib.error": "urllib.error",
    "urllib.parse": "urllib.parse",
    "urllib.request": "urllib.request",
    "urllib.response": "urllib.response",
}


def exists(name: str) -> bool:
    """Return whether this Python has a module."""
    return importlib.util.find_spec(name) is not None


def execute(name: str, namespace: dict[str, Any]) -> None:
    """Execute a module of the standard library in the namespace of the green one.

    :param name: the standard module's name.
    :param namespace: ``globals()`` of the green module.
    :raises ModuleNotFoundError: if there is no such module.
    """
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    code = spec.loader.get_code(name)  # type: ignore[union-attr]
    # Its functions keep these, and import with them whenever they are called.
    namespace["__builtins__"] = {**vars(builtins), "__import__": _import}
    # Where the source of its classes is.
    namespace["__file__"] = spec.origin
    exec(code, namespace)


def _import(
    name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
) -> Any:
    green = _GREEN.get(name) if level == 0 else None
    if green is None:
        return builtins.__import__(name, globals, locals, fromlist, level)
    module = importlib.import_module(f"eventlet.green.{green}")
    # `import a.b` binds a.
    return module if fromlist else sys.modules[f"eventlet.green.{green.partition('.')[0]}"]
