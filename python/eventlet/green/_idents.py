"""Numbers that tell green threads apart, and all threads."""

from __future__ import annotations

import itertools
from typing import Any

from greenlet import getcurrent, greenlet

from eventlet._os_threads import get_ident as _os_ident

__all__ = ["get_ident"]

_numbers = itertools.count(1)


def get_ident(green: greenlet | None = None) -> int:
    """Return a number that no other thread has or will have, green or not.

    :param green: a greenlet, if not the current one.
    """
    if green is None:
        green = getcurrent()
        if green.parent is None:
            return _os_ident()
    own: dict[str, Any] = green.__dict__
    if "_ident" not in own:
        own["_ident"] = next(_numbers)
    return own["_ident"]  # type: ignore[no-any-return]
