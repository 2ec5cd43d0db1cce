"""Green threads: starting them, waiting for them, ending them."""

from __future__ import annotations

from collections.abc import Callable
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


class GreenThread(GreenThreadBase, _greenlet.greenlet):
    """A greenlet that keeps what came of its function; `spawn` returns these.

    It may carry any attributes, is hashable, may be referenced weakly, and is true while it runs.
    """

    __slots__ = ("_body",)

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
