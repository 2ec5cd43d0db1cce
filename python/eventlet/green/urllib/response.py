"""The standard library's own ``urllib.response``, in which nothing blocks."""

from __future__ import annotations

import sys
import urllib.response as _original
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from urllib.response import *

sys.modules[__name__] = _original
