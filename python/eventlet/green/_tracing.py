"""``threading.settrace`` and ``setprofile`` for threads that are green.

The interpreter has one trace function for each OS thread. While a green thread that is traced has
not ended, the function is exchanged when green threads are, so that nobody else is traced.
"""

from __future__ import annotations

import sys
from _thread import _local
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import greenlet

__all__ = ["traced"]

_Functions = tuple[Any, Any]
_Tracer = Callable[[Any, tuple[Any, ...]], object]


@contextmanager
def traced() -> Iterator[None]:
    """Let the current greenlet have trace and profile functions of its own, at first none."""
    state = _of_thread.__dict__.get("state")
    if state is None:
        state = _of_thread.state = _State()
    current = greenlet.getcurrent()
    state.begin(current)
    try:
        yield
    finally:
        state.end(current)


class _State:
    """The greenlets of an OS thread that are traced."""

    def __init__(self) -> None:
        #: What each of them had when it was last left.
        self._own: dict[greenlet.greenlet, _Functions] = {}
        #: What all others have.
        self._others: _Functions = (None, None)
        self._previous: _Tracer | None = None

    def begin(self, current: greenlet.greenlet) -> None:
        if not self._own:
            self._previous = greenlet.settrace(self._switched)
        self._others = _get()
        self._own[current] = (None, None)
        _set((None, None))

    def end(self, current: greenlet.greenlet) -> None:
        del self._own[current]
        _set(self._others)
        if not self._own and greenlet.gettrace() == self._switched:
            greenlet.settrace(self._previous)

    def _switched(self, event: str, args: tuple[Any, ...]) -> None:
        if event in ("switch", "throw"):
            origin, target = args
            if origin in self._own:
                self._own[origin] = _get()
                _set(self._own.get(target, self._others))
            elif target in self._own:
                self._others = _get()
                _set(self._own[target])
        if self._previous is not None:
            self._previous(event, args)


def _get() -> _Functions:
    return sys.gettrace(), sys.getprofile()


def _set(functions: _Functions) -> None:
    trace, profile = functions
    sys.settrace(trace)
    sys.setprofile(profile)


_of_thread = _local()
