"""Finding the application that `module:app` names, and saying plainly why it cannot be found."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from eventlet.cli._errors import CommandError, UsageError, is_ours, without_our_frames

_NAME = r"[^\W\d]\w*"
_DOTTED = rf"{_NAME}(?:\.{_NAME})*"
_TARGET = re.compile(rf"({_DOTTED}):({_DOTTED})(\(\s*\))?")


def load_app(target: str) -> Callable[..., Any]:
    """The WSGI application `target` names: `module:attribute`, or `module:factory()`."""
    match = _TARGET.fullmatch(target)
    if match is None:
        raise UsageError(_why_malformed(target))
    module_name, path, call = match.groups()
    found: Any = _import(module_name, target)
    for depth, name in enumerate(path.split(".")):
        found = _attribute(found, name, ".".join([module_name, *path.split(".")[:depth]]))
    if call:
        found = _call(found, target)
    _check_wsgi(found, target)
    return found  # type: ignore[no-any-return]


def _why_malformed(target: str) -> str:
    module, colon, rest = target.partition(":")
    path = module.removesuffix(".py")
    if path != module or "/" in module:
        folder, _, name = path.rpartition("/")
        chdir = f"--chdir {folder} " if folder else ""
        return f"{module!r} is a file: name the module, as in {chdir}{name}:{rest or 'app'}"
    if not colon and re.fullmatch(_DOTTED, module):
        return f"{target!r} does not say which object to serve: {target}:app, for example"
    if re.fullmatch(rf"{_DOTTED}\(.+\)", rest):
        return f"{target!r}: a factory is called without arguments: {rest.partition('(')[0]}()"
    return f"{target!r} is not of the form module:app"


def _import(name: str, target: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and _is_or_is_below(name, error.name) and _only_ours(error):
            if name.endswith(".py"):
                raise UsageError(_why_malformed(target)) from None
            where = f" in {Path.cwd()} or on sys.path"
            known = (path.stem for path in Path.cwd().iterdir() if _is_importable(path))
            hint = "" if "." in error.name else _close(error.name, known)
            raise CommandError(f"no module named {error.name!r}{where}{hint}") from None
        raise _failed(f"importing {name!r}", error) from None
    except (Exception, SystemExit) as error:
        raise _failed(f"importing {name!r}", error) from None


def _is_or_is_below(name: str, parent: str) -> bool:
    return name == parent or name.startswith(parent + ".")


def _only_ours(error: BaseException) -> bool:
    """Whether no user's module was being run: it is the named module itself that is missing."""
    trace = error.__traceback__
    while trace is not None and is_ours(trace, (__file__,)):
        trace = trace.tb_next
    return trace is None


def _is_importable(path: Path) -> bool:
    return path.suffix == ".py" or (path / "__init__.py").exists()


def _attribute(owner: Any, name: str, shown: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        hint = _close(name, dir(owner)) or _candidates(owner)
        kind = "module" if isinstance(owner, ModuleType) else "object"
        raise CommandError(f"{kind} {shown!r} has no attribute {name!r}{hint}") from None
    except Exception as error:
        raise _failed(f"reading {name!r} of {shown!r}", error) from None


def _close(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(set(known)), n=3)
    return f": did you mean {' or '.join(near)}?" if near else ""


def _candidates(owner: Any) -> str:
    """What else there is that might be the application: callables the module itself defines."""
    if not isinstance(owner, ModuleType):
        return ""
    own = [
        name
        for name, value in vars(owner).items()
        if not name.startswith("_")
        and callable(value)
        and getattr(value, "__module__", owner.__name__) == owner.__name__
    ]
    return f": it has {', '.join(sorted(own)[:5])}" if own else ""


def _call(factory: Any, target: str) -> Any:
    if not callable(factory):
        kind = type(factory).__name__
        raise CommandError(f"{target!r}: what it names is of type {kind}: it cannot be called")
    try:
        return factory()
    except (Exception, SystemExit) as error:
        raise _failed(f"calling {target!r}", error) from None


def _failed(doing: str, error: BaseException) -> CommandError:
    shown = without_our_frames(error, __file__)
    text = str(error)
    return CommandError(
        f"{doing} failed: {type(error).__name__}{': ' if text else ''}{text}", shown
    )


def _check_wsgi(app: Any, target: str) -> None:
    """Refuse what the server could only answer with errors; when in doubt, let it be."""
    if not callable(app):
        kind = type(app).__name__
        raise CommandError(f"{target!r} is of type {kind}, not a WSGI application")
    called = app if inspect.isroutine(app) or inspect.isclass(app) else type(app).__call__
    if inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(called):
        raise CommandError(f"{target!r} is asynchronous (ASGI?): a WSGI application is needed")
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        return  # Written in C, or otherwise mute about what it takes.
    try:
        signature.bind({}, None)
    except TypeError:
        hint = ""
        if not target.endswith(")"):
            try:
                signature.bind()
                hint = f": did you mean '{target}()'?"
            except TypeError:
                pass
        raise CommandError(
            f"{target!r} cannot be called as app(environ, start_response){hint}"
        ) from None
