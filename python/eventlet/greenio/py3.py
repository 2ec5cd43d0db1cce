"""The names of green files, at the place where programs for Eventlet look for them."""

from __future__ import annotations

from eventlet.greenio.pipe import GreenFileIO, GreenPipe, _fileobject

__all__ = ["GreenFileIO", "GreenPipe", "_fileobject"]
