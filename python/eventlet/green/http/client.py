"""The module ``http.client`` over green sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlet.green._stdlib import execute

if TYPE_CHECKING:
    from http.client import *
else:
    execute("http.client", globals())
