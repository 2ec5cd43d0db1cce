"""Hubs: the event loops, one for each OS thread.

A hub is made when a thread first needs one. Which kind is decided by `use_hub`, else by the
environment variable ``EVENTLET_HUB``, else by what the platform does best.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

from eventlet import _core
from eventlet._core import get_hub
from eventlet.timeout import Timeout

__all__ = [
    "HubError",
    "IOClosed",
    "builtin_hub_names",
    "get_default_hub",
    "get_hub",
    "notify_close",
    "notify_opened",
    "trampoline",
    "use_hub",
]

#: The hubs that come with the package.
builtin_hub_names = ("epolls", "kqueue", "poll", "selects")

#: Which hub module drives which system call.
_BACKEND_MODULES = {"epoll": "epolls", "kqueue": "kqueue", "poll": "poll", "select": "selects"}


class HubError(Exception):
    """A hub cannot be used."""


class IOClosed(OSError):
    """A descriptor was closed while a green thread was waiting for it."""


def get_default_hub() -> ModuleType:
    """Return the module of the best hub for this platform."""
    return importlib.import_module(f"eventlet.hubs.{_BACKEND_MODULES[_core.backends()[0]]}")


def use_hub(mod: ModuleType | type | str | None = None) -> None:
    """Give the calling thread a new hub; timers and listeners of the one before are lost.

    :param mod: what to use: a name from `builtin_hub_names`, a module with a class ``Hub``, such a
        class, ``"package.module:Class"`` or ``"package.module"``. None follows ``EVENTLET_HUB``, or
        takes the best for the platform. A class may be any whose constructor takes no arguments
        (see `eventlet.hubs.hub.BaseHub`).
    :raises RuntimeError: if it is blank, cannot be found, or is not available here.
    """
    if mod is None:
        mod = os.environ.get("EVENTLET_HUB") or get_default_hub()
    if isinstance(mod, str):
        mod = _find_hub(mod)
    if isinstance(mod, ModuleType):
        available: Callable[[], bool] | None = getattr(mod, "is_available", None)
        if available is not None and not available():
            raise RuntimeError(f"the hub {mod.__name__} is not available on this platform")
        mod = mod.Hub
    if not isinstance(mod, type):
        raise RuntimeError(f"{mod!r} is neither a hub class nor a module with one")
    hub = mod()
    _core.set_hub(hub)
    # What needs the hub to be in place already.
    post_initialize: Callable[[], object] | None = getattr(hub, "_post_initialize", None)
    if post_initialize is not None:
        post_initialize()


def _find_hub(name: str) -> Any:
    name = name.strip()
    if not name:
        raise RuntimeError("the name of a hub is needed, such as " + ", ".join(builtin_hub_names))
    if "." not in name and ":" not in name and name.isidentifier():
        with contextlib.suppress(ModuleNotFoundError):
            return importlib.import_module(f"eventlet.hubs.{name}")
    module, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        raise RuntimeError(
            f"there is no hub {name!r}: choose one of {', '.join(builtin_hub_names)}, or name a "
            "module or 'package.module:Class'"
        ) from error
    for part in filter(None, attribute.split(".")):
        found = getattr(found, part)
    return found


def trampoline(
    fd: Any,
    read: bool | None = None,
    write: bool | None = None,
    timeout: float | None = None,
    timeout_exc: BaseException | type[BaseException] = Timeout,
    mark_as_closed: Callable[[], Any] | None = None,
) -> int:
    """Wait until a descriptor is ready.

    :param fd: a descriptor, or an object with ``fileno()``.
    :param read: wait until it can be read.
    :param write: wait until it can be written. Exactly one of the two.
    :param timeout: seconds to wait at most; None waits for ever.
    :param timeout_exc: what to raise when the time is up.
    :param mark_as_closed: called if the descriptor is closed meanwhile.
    :returns: the descriptor.
    :raises IOClosed: if the descriptor is closed meanwhile.
    :raises RuntimeError: in the hub, which cannot wait.
    """
    if bool(read) == bool(write):
        raise RuntimeError("trampoline waits either to read or to write: give exactly one")
    fileno: int = fd if isinstance(fd, int) else fd.fileno()
    try:
        ready = _core.wait_fileno(fileno, bool(write), timeout)
    except IOClosed:
        if mark_as_closed is not None:
            mark_as_closed()
        raise
    if not ready:
        raise timeout_exc
    return fileno


def notify_opened(fd: int) -> None:
    """Note that `fd` has just been opened: what is known of an earlier owner is forgotten."""
    get_hub().mark_as_reopened(fd)


def notify_close(fd: int) -> None:
    """Note that `fd` is about to be closed: whoever waits for it gets `IOClosed`."""
    get_hub().notify_close(fd)


os.register_at_fork(after_in_child=_core.after_fork_in_child)
