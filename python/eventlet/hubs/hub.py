"""What all hubs have in common."""

from __future__ import annotations

import sys
import traceback
from typing import Any

from eventlet import _core
from eventlet._core import FdListener, Timer

__all__ = ["FdListener", "Hub", "Timer"]


class Hub(_core.Hub):
    """A hub, with the parts that subclasses like to replace."""

    def squelch_exception(self, fileno: int, exc_info: tuple[Any, Any, Any]) -> None:
        """Report an exception from a listener, and forget the descriptor."""
        self.squelch_generic_exception(exc_info)
        self.remove_descriptor(fileno)

    def squelch_timer_exception(self, timer: Any, exc_info: tuple[Any, Any, Any]) -> None:
        """Report an exception from a timer."""
        self.squelch_generic_exception(exc_info)

    def squelch_generic_exception(self, exc_info: tuple[Any, Any, Any]) -> None:
        """Report an exception that no green thread or callback has caught.

        It goes to stderr, unless ``debug_exceptions`` is off.
        """
        if self.debug_exceptions:
            traceback.print_exception(*exc_info)
            sys.stderr.flush()
