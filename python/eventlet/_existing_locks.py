"""Locks and simple queues that were made before a program was patched.

They are C objects, whose types the native module changes as a whole. What is left is for the
conditions of `threading`: those keep methods of their lock, as it was when they were made.
"""

from __future__ import annotations

# First, because it needs the types as they are at first.
import eventlet._os_threads  # noqa: F401  # isort: skip

from threading import Condition
from typing import Any

from eventlet._core import patch_lock_types

__all__ = ["patch"]


def patch(on: bool) -> None:
    """Make green threads that wait for locks of the standard library let others run, or undo it.

    It holds for all locks, conditions and simple queues there are, and for joins of OS threads.
    Nothing changes for OS threads that have no hub. It may be called more than once.

    :param on: false to undo it.
    """
    patch_lock_types(on)
    for name, original in _kept.items():
        if on:
            setattr(Condition, name, _OfLock(name, original))
        elif original is None:
            if name in vars(Condition):
                delattr(Condition, name)
        else:
            setattr(Condition, name, original)


class _OfLock:
    """An attribute of a condition: a method of its lock, as the lock has it now.

    :param default: what the class has for locks without such a method, or None.
    """

    def __init__(self, name: str, default: Any) -> None:
        self.name = name
        self.default = default

    def __get__(self, condition: Any, owner: type | None = None) -> Any:
        if condition is None:
            if self.default is None:
                raise AttributeError(self.name)
            return self.default
        own: dict[str, Any] = vars(condition)
        if self.name not in own:
            if self.default is None:
                raise AttributeError(self.name)
            return self.default.__get__(condition, owner)
        kept = own[self.name]
        lock = own.get("_lock")
        if lock is not None and getattr(kept, "__self__", None) is lock:
            return getattr(lock, self.name)
        return kept

    def __set__(self, condition: Any, value: Any) -> None:
        vars(condition)[self.name] = value

    def __delete__(self, condition: Any) -> None:
        try:
            del vars(condition)[self.name]
        except KeyError:
            raise AttributeError(self.name) from None


#: What a condition keeps of its lock, and what the class has under the same names.
_kept: dict[str, Any] = {
    name: vars(Condition).get(name)
    for name in ("_acquire_restore", "_is_owned", "_release_save", "acquire", "release")
}
