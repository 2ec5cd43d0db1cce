"""The module ``ftplib`` over green sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlet.green._stdlib import execute

if TYPE_CHECKING:
    from ftplib import *
else:
    execute("ftplib", globals())
