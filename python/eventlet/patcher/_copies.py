"""Second copies of modules: with everything as it was, or importing green modules.

`original` makes a copy that never sees what is patched. A module written in Python is executed
again, under another name in ``sys.modules``; whatever it imports, then or later, it gets from
`original` too where that makes a difference. Of a module written in C there can be only one, so its
copy is a table of its names.

`inject` has a module imported again while green modules stand in ``sys.modules``.
"""

from __future__ import annotations

import _imp
import builtins
import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

from eventlet._os_threads import RLock
from eventlet.patcher import _replace

__all__ = [
    "SysModulesSaver",
    "import_patched",
    "inject",
    "original",
    "patch_function",
    "slurp_properties",
]

_lock = RLock()

#: Not copied from one namespace to another.
_EXCLUDED = frozenset({"__builtins__", "__file__", "__name__"})

#: Modules that monkey patching changes: a pristine copy of one imports pristine copies of others.
_PATCHABLE = frozenset(
    {
        "_thread",
        "os",
        "queue",
        "select",
        "selectors",
        "socket",
        "ssl",
        "subprocess",
        "threading",
        "time",
    }
)

#: Modules of which a copy shares everything but the names that were replaced.
_SHARED = frozenset({"builtins", "os"})


def original(modname: str) -> ModuleType:
    """Return a copy of a standard module in which nothing is patched, whatever has been.

    It is made when it is first asked for, and is ``sys.modules["__original_module_" + modname]``
    from then on.
    """
    key = f"__original_module_{modname}"
    with _lock:
        return sys.modules.get(key) or _copy(modname, key)


def _copy(modname: str, key: str) -> ModuleType:
    current = sys.modules.get(modname)
    spec = getattr(current, "__spec__", None) or importlib.util.find_spec(modname)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {modname!r}", name=modname)
    get_code = getattr(spec.loader, "get_code", None)
    code = get_code(modname) if get_code is not None and modname not in _SHARED else None
    # Under this name the module finds itself in `sys.modules` while it is executed.
    copy = ModuleType(key)
    names = vars(copy)
    if code is None:
        names.update(_replace.before(current or importlib.import_module(modname)))
        sys.modules[key] = copy
        return copy
    names.update(__spec__=spec, __loader__=spec.loader, __package__=spec.parent)
    if spec.has_location:
        names["__file__"] = spec.origin
    if spec.submodule_search_locations is not None:
        names["__path__"] = spec.submodule_search_locations
    # Functions of the module import with these too, whenever they are called.
    names["__builtins__"] = {**vars(builtins), "__import__": _import_original}
    sys.modules[key] = copy
    try:
        with _as_main_thread(copy) if modname == "threading" else contextlib.nullcontext():
            exec(code, names)
    except BaseException:
        del sys.modules[key]
        raise
    copy.__name__ = modname
    return copy


@contextlib.contextmanager
def _as_main_thread(copy: Any) -> Iterator[None]:
    """Make up for it that `threading` takes the OS thread which executes it for the main thread."""
    native: Any = original("_thread")
    sentinel = getattr(native, "_set_sentinel", None)
    if sentinel is None:  # since 3.13 it asks
        yield
        return
    # It would take away what tells others that this OS thread has ended.
    native._set_sentinel = native.allocate_lock
    try:
        yield
    finally:
        native._set_sentinel = copy._set_sentinel = sentinel
    present: Any = sys.modules.get("threading")
    if present is not None:
        main, ident = copy._main_thread, present.main_thread().ident
        copy._active[ident] = copy._active.pop(main.ident)
        main._ident = ident


def _import_original(
    name: str,
    globals: Any = None,
    locals: Any = None,
    fromlist: Any = (),
    level: int = 0,
) -> Any:
    if level == 0 and name in _PATCHABLE:
        return original(name)
    return builtins.__import__(name, globals, locals, fromlist, level)


class SysModulesSaver:
    """Keeps some entries of ``sys.modules``, to put them back later.

    Imports of other OS threads wait in between: each one made has to be restored, by the thread
    that made it.
    """

    def __init__(self, module_names: Iterable[str] = ()) -> None:
        self._saved: dict[str, ModuleType | None] = {}
        _imp.acquire_lock()
        self.save(*module_names)

    def save(self, *module_names: str) -> None:
        """Keep what is there under these names now; nothing is kept as nothing."""
        for name in module_names:
            self._saved[name] = sys.modules.get(name)

    def restore(self) -> None:
        """Put back what was kept."""
        try:
            for name, module in self._saved.items():
                if module is not None:
                    sys.modules[name] = module
                else:
                    sys.modules.pop(name, None)
        finally:
            _imp.release_lock()


def inject(
    module_name: str,
    new_globals: dict[str, Any] | None,
    *additional_modules: tuple[str, Any],
) -> ModuleType:
    """Import a module again, with green modules in the place of those that it imports.

    The entry of ``sys.modules`` stays as it was; the new module is kept, so that the next call
    returns it.

    :param new_globals: a namespace that gets all names of the module, or None.
    :param additional_modules: pairs of a module's name and what it is to import under that name;
        by default the green modules for ``os``, ``select``, ``socket``, ``threading`` and ``time``.
    """
    key = f"__patched_module_{module_name}"
    if key in sys.modules:
        return sys.modules[key]
    pairs = additional_modules or tuple(_defaults())
    parent, _, child = module_name.rpartition(".")
    if parent:
        importlib.import_module(parent)
    attribute = vars(sys.modules[parent]).get(child) if parent else None
    saver = SysModulesSaver([name for name, _ in pairs])
    try:
        sys.modules.update(pairs)
        # What is below the module holds what it imports, too.
        _take_out(module_name, saver)
        module = importlib.import_module(module_name)
        # And none of that is to be found by others.
        _take_out(module_name, None)
        sys.modules[key] = module
    finally:
        saver.restore()
        if attribute is not None:
            setattr(sys.modules[parent], child, attribute)
    if new_globals is not None:
        new_globals.update(
            {name: getattr(module, name) for name in dir(module) if name not in _EXCLUDED}
        )
    return module


def _take_out(module_name: str, saver: SysModulesSaver | None) -> None:
    """Remove a module and those below it from ``sys.modules``."""
    below = f"{module_name}."
    for name in [*sys.modules]:
        if name == module_name or name.startswith(below):
            if saver is not None:
                saver.save(name)
            del sys.modules[name]


def import_patched(
    module_name: str, *additional_modules: tuple[str, Any], **kw_additional_modules: Any
) -> ModuleType:
    """Import a module so that what it imports is green; the standard library is left alone.

    :param additional_modules: pairs of a module's name and what stands in for it, as for `inject`.
    :param kw_additional_modules: the same, with names as keywords.
    """
    return inject(module_name, None, *additional_modules, *kw_additional_modules.items())


def patch_function(
    func: Callable[..., Any], *additional_modules: tuple[str, Any]
) -> Callable[..., Any]:
    """Return a function that calls `func` while green modules stand in ``sys.modules``.

    It is for functions that import what blocks when they are called.

    :param additional_modules: as for `inject`.
    """
    pairs = additional_modules or tuple(_defaults())

    def patched(*args: Any, **kwargs: Any) -> Any:
        saver = SysModulesSaver([name for name, _ in pairs])
        sys.modules.update(pairs)
        try:
            return func(*args, **kwargs)
        finally:
            saver.restore()

    return patched


def slurp_properties(
    source: Any,
    destination: dict[str, Any],
    ignore: Iterable[str] = (),
    srckeys: Iterable[str] | None = None,
) -> None:
    """Copy names of a module into a namespace.

    :param ignore: names that are not copied.
    :param srckeys: names to copy; by default those in the module's ``__all__``.
    """
    left_out = frozenset(ignore)
    for name in source.__all__ if srckeys is None else srckeys:
        if not name.startswith("__") and name not in left_out:
            destination[name] = getattr(source, name)


def _defaults() -> list[tuple[str, Any]]:
    from eventlet import patcher

    return patcher._defaults()
