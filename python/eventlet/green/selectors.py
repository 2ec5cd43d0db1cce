"""The module ``selectors``: its selectors let other green threads run while they wait.

They are the standard library's, over what is green in `eventlet.green.select`.
"""

from __future__ import annotations

import selectors as _original
from typing import TYPE_CHECKING, Any

from eventlet.green import select as _select

# Everything that the running Python has, whichever version it is; what is green comes afterwards.
globals().update(
    {name: value for name, value in vars(_original).items() if not name.startswith("__")}
)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


#: What monkey patching puts into the standard module: nothing, as its classes become green.
__patched__: list[str] = []


def __also_patched__() -> list[tuple[Any, str, Any]]:
    """What the standard classes wait with: so those that were imported before are green too."""
    triples = [(_original.SelectSelector, "_select", _select.select)]
    for name, attribute in _WAITS_WITH.items():
        cls = getattr(_original, name, None)
        if cls is not None:
            triples.append((cls, "_selector_cls", getattr(_select, attribute)))
    return triples


#: The selectors that take what they wait with from an attribute.
_WAITS_WITH = {"EpollSelector": "epoll", "PollSelector": "poll"}

#: Selectors by those of the standard library.
_green: dict[Any, Any] = {}


class SelectSelector(_original.SelectSelector):
    """As ``selectors.SelectSelector``, for green threads."""

    # It is written in C, so that it does not become a method.
    _select = staticmethod(_select.select)


_green[_original.SelectSelector] = SelectSelector

if hasattr(_original, "PollSelector"):

    class PollSelector(_original.PollSelector):
        """As ``selectors.PollSelector``, for green threads."""

        _selector_cls = _select.poll

    _green[_original.PollSelector] = PollSelector

if hasattr(_original, "EpollSelector"):

    class EpollSelector(_original.EpollSelector):
        """As ``selectors.EpollSelector``, for green threads."""

        _selector_cls = _select.epoll

    _green[_original.EpollSelector] = EpollSelector

if hasattr(_original, "KqueueSelector"):

    class KqueueSelector(_original.KqueueSelector):  # type: ignore[misc, name-defined, unused-ignore]
        """As ``selectors.KqueueSelector``, for green threads."""

        def __init__(self) -> None:
            super().__init__()
            self._selector: Any = self._selector  # type: ignore[has-type, unused-ignore]
            self._selector.close()
            self._selector = _select.kqueue()

    _green[_original.KqueueSelector] = KqueueSelector

#: The best that the platform has.
DefaultSelector = _green.get(_original.DefaultSelector, SelectSelector)
