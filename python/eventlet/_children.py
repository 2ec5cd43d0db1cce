"""Waiting for child processes without blocking other green threads, and without polling.

Nothing here takes the status of a child: it waits until there is one to be taken. So a green thread
that is interrupted while it waits (a `Timeout`, a kill) leaves everything as it was.
"""

from __future__ import annotations

import errno
import os
import select
from typing import Any

from eventlet._core import wait_readable
from eventlet._os_threads import allocate_lock, start_new_thread
from eventlet.event import Event

__all__ = ["P_ALL", "P_PGID", "P_PID", "WEXITED", "can_wait_for", "wait_for_child"]

# Taken now: the names in the modules may be replaced by monkey patching.
_pidfd_open: Any = getattr(os, "pidfd_open", None)
_waitid: Any = getattr(os, "waitid", None)
_kqueue: Any = getattr(select, "kqueue", None)

# The numbers are the same wherever ``os`` leaves them out.
P_ALL: int = getattr(os, "P_ALL", 0)
P_PID: int = getattr(os, "P_PID", 1)
P_PGID: int = getattr(os, "P_PGID", 2)
WEXITED: int = getattr(os, "WEXITED", 4)

#: What `_follow` follows at this moment: the arguments of ``waitid``, each with what tells the end.
_followed: dict[tuple[int, int, int], Event] = {}
_lock = allocate_lock()


def can_wait_for(idtype: int, options: int) -> bool:
    """Return whether the platform has what `wait_for_child` needs for this."""
    if _waitid is not None:
        return True
    return idtype == P_PID and options == WEXITED and (_pidfd_open or _kqueue) is not None


def wait_for_child(idtype: int, ident: int, options: int, timeout: float | None = None) -> bool:
    """Wait until ``os.waitid(idtype, ident, options)`` would find a child, or that there is none.

    :param timeout: seconds to wait at most; None waits for ever.
    :returns: False if the time is up.
    """
    if options == WEXITED:
        try:
            fileno = _descriptor(idtype, ident)
        except ProcessLookupError:
            return True
        if fileno is not None:
            try:
                return wait_readable(fileno, timeout)
            finally:
                os.close(fileno)
    return _followed_by_thread((idtype, ident, options)).wait(timeout, timeout_value=False) is True


def _descriptor(idtype: int, ident: int) -> int | None:
    """Return a descriptor that can be read when the process has ended, None if there is none."""
    if idtype == getattr(os, "P_PIDFD", None):
        return os.dup(ident)
    if idtype != P_PID:
        return None
    try:
        if _pidfd_open is not None:
            return int(_pidfd_open(ident))
        if _kqueue is not None:
            return _process_queue(ident)
    except OSError as error:
        if error.errno == errno.ESRCH or _waitid is None:
            raise
        # An old kernel, a container that forbids it, or too many descriptors.
    return None


def _process_queue(pid: int) -> int:
    names: Any = select
    queue = _kqueue()
    try:
        change = names.kevent(
            pid,
            names.KQ_FILTER_PROC,
            names.KQ_EV_ADD | names.KQ_EV_ONESHOT,
            names.KQ_NOTE_EXIT,
        )
        queue.control([change], 0)
        return os.dup(queue.fileno())
    finally:
        queue.close()


def _followed_by_thread(key: tuple[int, int, int]) -> Event:
    """Return what is sent True when ``waitid`` comes back, which an OS thread calls.

    Green threads that wait for the same share the thread, so that there are never more of them than
    different things to wait for.
    """
    with _lock:
        event = _followed.get(key)
        if event is None:
            event = _followed[key] = Event()
            try:
                start_new_thread(_follow, (key, event))
            except BaseException:
                del _followed[key]
                raise
    return event


def _follow(key: tuple[int, int, int], event: Event) -> None:
    idtype, ident, options = key
    try:
        _waitid(idtype, ident, options | os.WNOWAIT)
    except OSError:
        # No such child. Whoever waits is told so when it looks.
        pass
    finally:
        with _lock:
            _followed.pop(key, None)
        event.send(True)


def _after_fork_in_child() -> None:
    global _lock
    # The threads exist in the parent only.
    _lock = allocate_lock()
    _followed.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)
