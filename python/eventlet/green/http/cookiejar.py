"""The module ``http.cookiejar`` over green locks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlet.green._stdlib import execute

if TYPE_CHECKING:
    from http.cookiejar import *
else:
    execute("http.cookiejar", globals())
