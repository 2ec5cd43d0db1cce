"""Another name of `eventlet.green.http.client`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from eventlet.green.http import client

if TYPE_CHECKING:
    from http.client import *

sys.modules[__name__] = client
