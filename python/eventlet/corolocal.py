"""Attributes that each green thread has for itself."""

from __future__ import annotations

from typing import Any
from weakref import ref

from greenlet import getcurrent, greenlet

from eventlet._core import get_ident

__all__ = ["get_ident", "local"]


class _Base:
    """Keeps what belongs to a `local` itself, out of the dictionaries that change."""

    __slots__ = ("__weakref__", "_local__args", "_local__dicts")

    def __new__(cls, *args: Any, **kw: Any) -> _Base:
        if (args or kw) and cls.__init__ is object.__init__:
            raise TypeError("Initialization arguments are not supported")
        self = object.__new__(cls)
        _set(self, "_local__args", (args, kw))
        _set(self, "_local__dicts", {})
        # `__init__` follows, for the green thread that makes the object.
        _set(self, "__dict__", _new_dict(self, getcurrent()))
        return self


_get = object.__getattribute__
_set = object.__setattr__


def _new_dict(self: _Base, owner: greenlet) -> dict[str, Any]:
    """Make the dictionary for `owner`, which ends with it."""
    dicts = _get(self, "_local__dicts")
    own: dict[str, Any] = {}
    weak_self = ref(self)

    def forget(key: ref[greenlet]) -> None:
        dicts.pop(key, None)
        this = weak_self()
        if this is not None and _get(this, "__dict__") is own:
            _set(this, "__dict__", {})

    dicts[ref(owner, forget)] = own
    return own


def _enter(self: _Base) -> None:
    """Give the object the dictionary of the current green thread, made on first use."""
    current = getcurrent()
    own = _get(self, "_local__dicts").get(ref(current))
    if own is None:
        own = _new_dict(self, current)
        cls = type(self)
        if cls.__init__ is not object.__init__:
            _set(self, "__dict__", own)
            args, kw = _get(self, "_local__args")
            try:
                cls.__init__(self, *args, **kw)
            except BaseException:
                del _get(self, "_local__dicts")[ref(current)]
                raise
    _set(self, "__dict__", own)


class local(_Base):
    """An object whose attributes are different in each green thread, like `threading.local`.

    The ``__init__`` of a subclass runs once in each green thread that uses the object, with the
    arguments that it was made with. The attributes of a green thread end with it.
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
