"""The module ``urllib.request`` over green sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlet.green._stdlib import execute

if TYPE_CHECKING:
    from urllib.request import *
else:
    execute("urllib.request", globals())
