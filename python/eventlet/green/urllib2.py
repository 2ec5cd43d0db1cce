"""Another name of `eventlet.green.urllib.request`, whose errors are in it too."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from eventlet.green.urllib import request

if TYPE_CHECKING:
    from urllib.request import *

sys.modules[__name__] = request
