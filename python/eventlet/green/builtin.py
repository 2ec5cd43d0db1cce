"""The module ``builtins`` with an `open` that tells the hub of the descriptors it makes.

What still waits for an older descriptor of the same number, which somebody closed behind the hub's
back, is then told that it is gone.
"""

from __future__ import annotations

import builtins as _original
from typing import TYPE_CHECKING, Any

from eventlet import hubs

globals().update(
    {name: value for name, value in vars(_original).items() if not name.startswith("__")}
)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


#: What monkey patching puts into the standard module.
__patched__ = ["open"]

_open = _original.open


def open(*args: Any, **kwargs: Any) -> Any:
    """As the ``open`` that is built in."""
    made = _open(*args, **kwargs)
    hubs.notify_opened(made.fileno())
    return made
