"""The module ``selectors``: its selectors let other green threads run while they wait.

They are the standard library's, over what is green in `eventlet.green.select`.
"""

from __future__ import annotations

import select as _standard_select
import selectors as _original
from collections.abc import Callable
from functools import wraps
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
    """What the standard classes wait with: so those that were imported before are green too.

    Selectors that were made before become green when they are used.
    """
    triples: list[tuple[Any, str, Any]] = [(_original.SelectSelector, "_select", _select.select)]
    for name, attribute in _WAITS_WITH.items():
        cls: Any = getattr(_original, name, None)
        if cls is None:
            continue
        if hasattr(cls, "_selector_cls"):
            triples.append((cls, "_selector_cls", getattr(_select, attribute)))
        triples.append((cls, "select", _green_first(cls.select)))
    return triples


#: What selectors wait with.
_WAITS_WITH = {"EpollSelector": "epoll", "KqueueSelector": "kqueue", "PollSelector": "poll"}


def _green_first(standard: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method ``select`` of a selector whose innards may be blocking ones."""

    @wraps(standard)
    def select(self: Any, timeout: float | None = None) -> Any:
        found = self._selector
        if type(found) in _BLOCKING:
            self._selector = _remade(self) if type(found) is _Poll else _select._green(found)
        return standard(self, timeout)

    return select


def _remade(selector: Any) -> Any:
    """Return a green ``poll`` for what a selector watches."""
    poll = _select.poll()
    for fd, key in selector._fd_to_key.items():
        wanted = 0
        if key.events & _original.EVENT_READ:
            wanted |= selector._EVENT_READ
        if key.events & _original.EVENT_WRITE:
            wanted |= selector._EVENT_WRITE
        poll.register(fd, wanted)
    return poll


_Poll = type(_standard_select.poll()) if hasattr(_standard_select, "poll") else None
_BLOCKING = {_Poll} | {
    getattr(_standard_select, name)
    for name in ("epoll", "kqueue")
    if hasattr(_standard_select, name)
}

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
