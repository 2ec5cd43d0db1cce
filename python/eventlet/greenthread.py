"""Green threads: starting them, waiting for them, ending them."""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Callable, Generator
from typing import Any

import greenlet as _greenlet
from greenlet import GreenletExit, getcurrent

from eventlet._core import (
    Body,
    GreenThreadBase,
    cancel,
    get_hub,
    kill,
    sleep,
    spawn,
    spawn_after,
    spawn_after_local,
    spawn_n,
)
from eventlet.support import greenlets as greenlet

__all__ = [
    "GreenThread",
    "GreenletExit",
    "cancel",
    "getcurrent",
    "greenlet",
    "kill",
    "sleep",
    "spawn",
    "spawn_after",
    "spawn_after_local",
    "spawn_n",
]


_numbers = itertools.count(1)


# In this order because greenlet looks for its own class at every step of a switch.
class GreenThread(_greenlet.greenlet, GreenThreadBase):
    """A greenlet that keeps what came of its function; `spawn` returns these.

    It may carry any attributes, is hashable, may be referenced weakly, and is true while it runs.
    """

    __slots__ = ("_body",)

    _name: str
    _spawn_stack: list[traceback.FrameSummary]

    def __init__(self, parent: _greenlet.greenlet | None = None) -> None:
        """Make a green thread that has nothing to do yet.

        :param parent: the greenlet that continues when it ends; by default the hub.

        It is started by ``switch(function, args, kwargs)``.
        """
        body = Body()
        _greenlet.greenlet.__init__(self, body, get_hub().greenlet if parent is None else parent)
        self._body = body

    def main(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Run ``function(*args, **kwargs)`` in this green thread, which must be the current one."""
        self._body(function, args, kwargs)

    @property
    def name(self) -> str:
        """What it is called in reports; a number unless a name was given to it."""
        name: str | None = self.__dict__.get("_name")
        if name is None:
            name = self._name = f"GreenThread-{next(_numbers)}"
        return name

    @name.setter
    def name(self, name: str) -> None:
        self._name = name

    @property
    def spawn_stack(self) -> list[traceback.FrameSummary] | None:
        """Where it was spawned, if `eventlet.debug.spawn_stacks` was on by then."""
        stack: list[traceback.FrameSummary] | None = self.__dict__.get("_spawn_stack")
        return stack

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait for it in a coroutine; to cancel the coroutine is to kill it."""
        from eventlet.asyncio import await_green_thread

        return await_green_thread(self)


def _note_spawn(green_thread: GreenThread) -> None:
    """Keep where a green thread was spawned; called by `spawn` when that is wanted."""
    green_thread._spawn_stack = traceback.extract_stack()[:-1]
