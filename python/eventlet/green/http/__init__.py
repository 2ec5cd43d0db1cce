"""The package ``http``: what of it reaches the network is green."""

from __future__ import annotations

from http import *
from http import __all__ as __all__
