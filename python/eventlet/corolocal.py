"""Attributes that each green thread has for itself."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from greenlet import getcurrent, greenlet

__all__ = ["get_ident", "local"]


def get_ident() -> int:
    """Return a number that no other living green thread has."""
    return id(getcurrent())


class _Base:
    """Keeps what belongs to a `local` itself, out of the dictionaries that change."""

    __slots__ = ("_local__args", "_local__dicts")

    def __new__(cls, *args: Any, **kw: Any) -> _Base:
        if (args or kw) and cls.__init__ is object.__init__:
            raise TypeError("Initialization arguments are not supported")
        self = object.__new__(cls)
        object.__setattr__(self, "_local__args", (args, kw))
        object.__setattr__(self, "_local__dicts", WeakKeyDictionary())
        return self


_get = object.__getattribute__
_set = object.__setattr__


def _enter(self: _Base) -> None:
    """Give the object the dictionary of the current green thread, made on first use."""
    dicts: WeakKeyDictionary[greenlet, dict[str, Any]] = _get(self, "_local__dicts")
    current = getcurrent()
    own = dicts.get(current)
    if own is None:
        own = dicts[current] = {}
        cls = type(self)
        if cls.__init__ is not object.__init__:
            args, kw = _get(self, "_local__args")
            cls.__init__(self, *args, **kw)
    _set(self, "__dict__", own)


class local(_Base):  # noqa: N801  (named like threading.local)
    """An object whose attributes are different in each green thread, like `threading.local`.

    The ``__init__`` of a subclass runs once in each green thread that uses the object, with the arguments
    that it was made with. The attributes of a green thread end with it.
    """

    def __getattribute__(self, name: str) -> Any:
        _enter(self)
        return _get(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        _enter(self)
        _set(self, name, value)

    def __delattr__(self, name: str) -> None:
        _enter(self)
        object.__delattr__(self, name)
