"""The module ``asynchat`` over green sockets; empty where this Python has none."""

from __future__ import annotations

from eventlet.green._stdlib import execute, exists

if exists("asynchat"):
    execute("asynchat", globals())
