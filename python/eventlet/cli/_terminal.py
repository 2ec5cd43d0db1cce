"""Whether the terminal that a server was started on is still there.

SIGHUP asks a server to reload, and it is also what a terminal sends when it is closed. Then nobody
is left to stop the server, so it has to stop by itself.
"""

from __future__ import annotations

import os

_was_there = os.isatty(0)


def is_gone() -> bool:
    """Whether the terminal has been closed; False if there was none at the start."""
    return _was_there and not os.isatty(0)
