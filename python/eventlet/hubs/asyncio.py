"""The hub that runs on an asyncio loop: green threads and coroutines in one OS thread.

It is a native hub whose turns are made by the loop: the selector that the loop waits with makes one
turn of the hub, which waits for the descriptors of both, and runs the green threads that are ready.
So everything that the hub does is native, and asyncio sees an ordinary selector.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from eventlet import _core
from eventlet.hubs import _loop, hub

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Hub", "is_available"]

# No loop waits by a green selector: there is one for the OS thread, and it is the hub's.
_loop.unpatch_asyncio(["selectors"])


def is_available() -> bool:
    """Tell whether the platform has it: all do."""
    return True


class _Selector(_loop.Selector):
    """Makes a turn of the hub whenever the loop waits."""

    def wait(self, timeout: float | None) -> None:
        hub = self._hub
        hub._turn(timeout)
        if hub.stopping:
            hub.loop.stop()


class Hub(hub.Hub):
    """A hub on an asyncio loop of its own."""

    #: The loop. It runs while the hub runs.
    loop: asyncio.AbstractEventLoop

    #: An event of asyncio. Nothing waits for it; programs may.
    sleep_event: asyncio.Event

    def __new__(cls, *_args: Any, **_kw: Any) -> Self:
        """Make a hub; arguments are for the constructors of subclasses."""
        return super().__new__(cls, _core.backends()[0])

    def _post_initialize(self) -> None:
        """Make the loop, which becomes that of the OS thread."""
        self.loop = _loop.Loop(_Selector(self), self)
        asyncio.set_event_loop(self.loop)
        self.sleep_event = asyncio.Event()
        _loop.keep_in_child(self.loop)

    def run(self, *_args: Any, **_kw: Any) -> None:
        """Run the loop until `abort`. It is what the hub's greenlet does."""
        self._drive(self.loop.run_forever)
