"""The module ``time`` with a `sleep` that lets other green threads run."""

from __future__ import annotations

import time as _original
from typing import TYPE_CHECKING, Any

from eventlet._core import has_hub
from eventlet._core import sleep as _green_sleep

# Everything that the running Python has, whichever version it is; what is green comes afterwards.
globals().update(
    {name: value for name, value in vars(_original).items() if not name.startswith("__")}
)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


#: What monkey patching puts into the standard module.
__patched__ = ["sleep"]

_sleep = _original.sleep


def sleep(seconds: float, /) -> None:
    """Wait for so many seconds while other green threads run; zero lets each have one turn.

    :raises ValueError: if it is less than zero.
    """
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    if has_hub():
        _green_sleep(seconds)
    else:
        # There is no other green thread in this OS thread.
        _sleep(seconds)
