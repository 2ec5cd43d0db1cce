"""Another name of `eventlet.green.http.server`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from eventlet.green.http import server

if TYPE_CHECKING:
    from http.server import *

sys.modules[__name__] = server
