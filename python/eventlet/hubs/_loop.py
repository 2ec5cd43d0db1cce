"""An asyncio loop that waits by means of a hub."""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import sys
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextvars import Context
from typing import Any

from eventlet.event import Event
from eventlet.patcher import original

__all__ = ["GreenSelector", "Loop", "Selector", "keep_in_child", "loop_of", "unpatch_asyncio"]


def unpatch_asyncio(names: Iterable[str]) -> None:
    """Have asyncio use pristine copies of modules, whatever is patched, now or later."""
    for name in names:
        present = sys.modules.get(name)
        for module in [*sys.modules.values()]:
            if getattr(module, "__package__", None) == "asyncio":
                for key, value in [*vars(module).items()]:
                    if value is present and present is not None:
                        setattr(module, key, original(name))


# Callbacks of a loop run in the hub's greenlet, or all in one green thread: nothing there may wait.
unpatch_asyncio(["os", "socket", "subprocess", "threading"])


class Selector(selectors.BaseSelector):
    """What an asyncio loop waits with: descriptors are watched by a hub.

    :param hub: the hub of this OS thread, which the loop does not keep alive.
    """

    def __init__(self, hub: Any) -> None:
        self._hub_reference = weakref.ref(hub)
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._listeners: dict[int, list[Any]] = {}
        self._ready: dict[int, int] = {}

    @property
    def _hub(self) -> Any:
        hub = self._hub_reference()
        if hub is None:
            raise RuntimeError("the hub of this loop is no more")
        return hub

    def wait(self, timeout: float | None) -> None:
        """Wait until a descriptor is ready or `wake` is called, `timeout` seconds at most."""
        raise NotImplementedError

    def wake(self) -> None:
        """End the wait, if there is one. Called by the loop when it has got something to do."""

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Watch a descriptor."""
        fd = _fileno(fileobj)
        if fd in self._keys:
            raise KeyError(f"{fileobj!r} is registered already")
        key = selectors.SelectorKey(fileobj, fd, events, data)
        self._watch(fd, events)
        self._keys[fd] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Watch a descriptor no longer."""
        fd = _fileno(fileobj)
        key = self._keys.pop(fd)
        self._ready.pop(fd, None)
        self._forget(fd)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Watch a descriptor for other events."""
        fd = _fileno(fileobj)
        old = self._keys[fd]
        if events != old.events:
            self._forget(fd)
            try:
                self._watch(fd, events)
            except BaseException:
                del self._keys[fd]
                raise
        key = self._keys[fd] = selectors.SelectorKey(fileobj, fd, events, data)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait; return who is ready for what."""
        if self._ready:
            timeout = 0
        self.wait(timeout)
        ready, self._ready = self._ready, {}
        found = []
        for fd, events in ready.items():
            key = self._keys.get(fd)
            if key is not None and events & key.events:
                found.append((key, events & key.events))
        return found

    def close(self) -> None:
        """Watch nothing any more."""
        for fd in list(self._keys):
            self.unregister(fd)

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """Return what is known of a descriptor. Raises KeyError if it is not watched."""
        return self._keys[_fileno(fileobj)]

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Return what is watched, by descriptor."""
        return self._keys

    def _watch(self, fd: int, events: int) -> None:
        hub = self._hub

        def note(event: int) -> Callable[[Any], None]:
            def ready(_fd: Any) -> None:
                self._ready[fd] = self._ready.get(fd, 0) | event
                self.wake()

            return ready

        listeners: list[Any] = []
        self._listeners[fd] = listeners
        try:
            for event, name in (
                (selectors.EVENT_READ, hub.READ),
                (selectors.EVENT_WRITE, hub.WRITE),
            ):
                if events & event:
                    callback = note(event)
                    listener = hub.add(name, fd, callback, callback, None)
                    listener._hidden = True
                    listeners.append(listener)
        except BaseException:
            self._forget(fd)
            raise

    def _forget(self, fd: int) -> None:
        listeners = self._listeners.pop(fd, ())
        hub = self._hub_reference()
        if hub is not None:
            for listener in listeners:
                hub.remove(listener)


class GreenSelector(Selector):
    """For a loop that runs in a green thread: its wait is one of that green thread."""

    def __init__(self, hub: Any) -> None:
        super().__init__(hub)
        self._woken: Event | None = None

    def wait(self, timeout: float | None) -> None:
        """Let others run until there is something to do."""
        from eventlet.greenthread import sleep

        if timeout is not None and timeout <= 0:
            with _not_running():
                sleep(0)
            return
        self._woken = Event()
        try:
            with _not_running():
                self._woken.wait(timeout)
        finally:
            self._woken = None

    def wake(self) -> None:
        """End the wait."""
        woken = self._woken
        if woken is not None and not woken.ready():
            woken.send()


class Loop(asyncio.SelectorEventLoop):
    """A loop that may be given work by green threads while it waits."""

    _selector: Selector

    #: What asyncio calls its executor.
    _default_executor: Any

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> Any:
        """Call ``func(*args)`` in an OS thread, if no executor is given."""
        if executor is None and self._default_executor is None:
            from eventlet._executor import Executor

            self._default_executor = Executor(thread_name_prefix="asyncio")
        return super().run_in_executor(executor, func, *args)

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Call ``callback(*args)`` in the next iteration."""
        handle = super().call_soon(callback, *args, context=context)
        self._selector.wake()
        return handle

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., Any],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call ``callback(*args)`` at a time."""
        handle = super().call_at(when, callback, *args, context=context)
        self._selector.wake()
        return handle

    def stop(self) -> None:
        """End the loop after the present iteration."""
        super().stop()
        self._selector.wake()

    def __init__(self, selector: Selector, hub: Any) -> None:
        """Make a loop that is closed when its hub is no more, as nobody else would."""
        super().__init__(selector)
        weakref.finalize(hub, Loop._end, self).atexit = False

    def __del__(self) -> None:
        """Close it without a warning: at the end of the interpreter its hub may still live."""
        self._end()

    def _end(self) -> None:
        if not self.is_closed() and not self.is_running():
            self.close()


_loops: weakref.WeakKeyDictionary[Any, Loop] = weakref.WeakKeyDictionary()


def loop_of(hub: Any) -> asyncio.AbstractEventLoop:
    """Return the loop that runs on a hub, which is that of this OS thread; started if need be."""
    own = getattr(hub, "loop", None)
    if isinstance(own, asyncio.AbstractEventLoop):
        return own
    loop = _loops.get(hub)
    if loop is None or loop.is_closed():
        from eventlet.greenthread import spawn_n

        loop = _loops[hub] = Loop(GreenSelector(hub), hub)
        spawn_n(loop.run_forever)
    return loop


def keep_in_child(loop: asyncio.AbstractEventLoop) -> None:
    """Let the loop go on in forked children, which asyncio has forget it."""
    reference = weakref.ref(loop)
    before: list[asyncio.Task[Any] | None] = []

    def prepare() -> None:
        loop = reference()
        before.clear()
        if loop is not None and asyncio._get_running_loop() is loop:
            before.append(asyncio.current_task(loop))

    def in_child() -> None:
        loop = reference()
        if loop is None or not before:
            return
        asyncio._set_running_loop(loop)
        swap = getattr(asyncio.tasks, "_swap_current_task", None)
        if before[0] is not None and swap is not None:
            swap(loop, before[0])

    os.register_at_fork(before=prepare, after_in_child=in_child)


@contextlib.contextmanager
def _not_running() -> Any:
    """Other green threads of the OS thread do not run in this loop."""
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)


def _fileno(fileobj: Any) -> int:
    return fileobj if isinstance(fileobj, int) else int(fileobj.fileno())
