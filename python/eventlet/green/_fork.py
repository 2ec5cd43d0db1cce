"""Forking with green threads: they live on in the child, and ``threading`` knows it.

In a forked child ``threading`` forgets all threads but the current one, and makes their locks anew:
its threads are OS threads, of which one is left. Green threads of the OS thread that forks are all
left. So while the fork happens the module has tables that say nothing, and gets back the real ones
afterwards, without the threads that are gone.
"""

from __future__ import annotations

import contextlib
import os
import threading as _original
from types import ModuleType
from typing import Any
from weakref import WeakSet

from eventlet import _os_threads, patcher
from eventlet._core import get_ident
from eventlet.green import _threads
from eventlet.green import thread as _thread

__all__ = ["share", "watch"]


def share(one: ModuleType, other: ModuleType) -> None:
    """Have a module find its threads in the tables of another, in which they are put."""
    theirs = vars(other)
    for name in ("_active", "_limbo"):
        theirs[name].update({**vars(one)[name], **theirs[name]})
    vars(one).update({name: theirs[name] for name in _TABLES if name in theirs})


def watch(module: ModuleType) -> None:
    """Look after the green threads of a module, which has just been executed, in forks.

    Its own hook has to come first.
    """
    os.register_at_fork(
        before=lambda: _before_fork(module),
        after_in_parent=lambda: _after_fork_in_parent(module),
        after_in_child=lambda: _after_fork_in_child(module),
    )


class _Nobody:
    """Takes what ``threading`` does to the current thread in a child."""

    def _nothing(self, *_args: Any, **_kwargs: Any) -> None:
        pass

    _after_fork = _reset_internal_locks = _stop = _nothing

    @property
    def ident(self) -> int:
        return _os_threads.get_ident()


#: What the modules have while nobody forks.
_kept: dict[ModuleType, dict[str, Any]] = {}

#: Names that ``threading`` changes in a child.
_TABLES = (
    "_active",
    "_active_limbo_lock",
    "_dangling",
    "_limbo",
    "_main_thread",
    "_shutdown_locks",
    "_shutdown_locks_lock",
)


def _before_fork(module: ModuleType) -> None:
    if module is _original and not patcher.is_monkey_patched(module):
        return
    names = vars(module)
    # So that no other OS thread is about to change them. Where nothing may wait, one may be.
    with contextlib.suppress(RuntimeError):
        names["_active_limbo_lock"].acquire()
    kept = _kept[module] = {name: names[name] for name in _TABLES if name in names}
    if _threads.home is names:
        _threads.home = kept
    names["_dangling"] = WeakSet()
    names["_limbo"] = {}
    names["_active"] = {get_ident(): _Nobody()}


def _restore(module: ModuleType) -> dict[str, Any] | None:
    kept = _kept.pop(module, None)
    if kept is not None:
        # Other OS threads may have made threads meanwhile.
        kept["_dangling"].update(vars(module)["_dangling"])
        vars(module).update(kept)
        if _threads.home is kept:
            _threads.home = vars(module)
    return kept


def _after_fork_in_parent(module: ModuleType) -> None:
    kept = _restore(module)
    if kept is not None:
        with contextlib.suppress(RuntimeError):
            kept["_active_limbo_lock"].release()


def _after_fork_in_child(module: ModuleType) -> None:
    kept = _restore(module)
    if kept is None:
        return
    here = _os_threads.get_ident()
    _thread._forget_others(here)
    active = kept["_active"]
    for ident, thread in [*active.items()]:
        if ident == here or ident in _thread._running:
            if hasattr(thread, "_set_native_id"):
                thread._set_native_id()
        else:
            del active[ident]
            _end(thread)
    if "_shutdown_locks" in kept:
        alive = {thread._tstate_lock for thread in active.values()}
        kept["_shutdown_locks"].intersection_update(alive)
    # The OS thread that forked is the main one from now on.
    vars(module)["_main_thread"] = active.get(here, kept["_main_thread"])
    lock = kept["_active_limbo_lock"]
    with contextlib.suppress(RuntimeError):
        lock.release()
    if not lock._is_owned():
        # Who waited for it in other OS threads is gone.
        lock._at_fork_reinit()


def _end(thread: Any) -> None:
    """Tell whoever waits for a thread that it is no more."""
    handle = getattr(thread, "_handle", None)
    if handle is not None:
        handle._set_done()
        return
    lock = thread._tstate_lock
    # It is never locked again. Whoever waits for it finds it free.
    if lock is not None and lock.locked():
        getattr(lock, "end", lock.release)()
    thread._is_stopped = True
    thread._tstate_lock = None
