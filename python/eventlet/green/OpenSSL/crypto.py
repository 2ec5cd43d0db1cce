"""The module ``OpenSSL.crypto``, which never waits: just the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from OpenSSL import crypto as _original

globals().update(
    {name: value for name, value in vars(_original).items() if not name.startswith("__")}
)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


__all__ = [*_original.__all__]
