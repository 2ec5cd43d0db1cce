"""The standard library's own ``urllib.error``, in which nothing blocks."""

from __future__ import annotations

import sys
import urllib.error as _original
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from urllib.error import *

sys.modules[__name__] = _original
