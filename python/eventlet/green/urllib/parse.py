"""The standard library's own ``urllib.parse``, in which nothing blocks."""

from __future__ import annotations

import sys
import urllib.parse as _original
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from urllib.parse import *

sys.modules[__name__] = _original
