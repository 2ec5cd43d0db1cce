"""Timers: calls that a hub makes later."""

from __future__ import annotations

import sys
import types

from eventlet import _core
from eventlet._core import LocalTimer, Timer

__all__ = ["LocalTimer", "Timer"]


class _Module(types.ModuleType):
    """This module: its flag is looked up by native code, which makes the timers."""

    @property
    def _g_debug(self) -> bool:
        """Whether each timer keeps the stack of the code that made it, and shows it."""
        return _core.timer_stacks()

    @_g_debug.setter
    def _g_debug(self, on: bool) -> None:
        _core.set_timer_stacks(bool(on))


sys.modules[__name__].__class__ = _Module
