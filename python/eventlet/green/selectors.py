"""The module ``selectors``, nothing of which is green yet."""

from __future__ import annotations

import selectors as _original
from typing import TYPE_CHECKING, Any

globals().update(
    {name: value for name, value in vars(_original).items() if not name.startswith("__")}
)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


#: What monkey patching puts into the standard module.
__patched__: list[str] = []
