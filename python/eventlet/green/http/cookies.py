"""The standard library's own ``http.cookies``, in which nothing blocks."""

from __future__ import annotations

import http.cookies as _original
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from http.cookies import *

sys.modules[__name__] = _original
