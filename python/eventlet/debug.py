"""Switches that help to find mistakes."""

from __future__ import annotations

from eventlet import _core
from eventlet.hubs import get_hub

__all__ = ["hub_exceptions", "hub_prevent_multiple_readers", "spawn_stacks"]


def hub_exceptions(state: bool = False) -> None:
    """Set whether this thread's hub prints exceptions that nobody catches; it does by default."""
    get_hub().debug_exceptions = state


def hub_prevent_multiple_readers(state: bool = True) -> None:
    """Set whether it is an error if two green threads wait to read, or to write, the same
    descriptor.

    It is by default, since most often it is a mistake: nobody can tell who gets what. The setting
    is for this thread's hub and for all hubs that are made later.
    """
    _core.set_prevent_multiple_readers(state)
    get_hub().prevent_multiple_readers = state


def spawn_stacks(state: bool = False) -> None:
    """Set whether green threads remember where they were spawned (`GreenThread.spawn_stack`).

    They do not by default: it takes longer than the spawning itself.
    """
    _core.set_spawn_stacks(state)
