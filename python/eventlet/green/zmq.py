"""The module ``zmq`` (pyzmq) with sockets, contexts and pollers that let others run meanwhile.

libzmq works in threads of its own. These tell a socket what has happened by commands in a mailbox,
whose descriptor (``zmq.FD``) is readable while there are any. The socket reads them in the course
of its operations, whatever these are; then the descriptor is no longer readable, although what it
announced (a message, room for one) may be what another green thread waits for. So every operation
here wakes the others that wait for the socket, to look for themselves; one that found nothing wakes
only those for whom there is something, or they would wake one another for ever. The hub watches the
descriptor only while somebody waits: an idle socket costs nothing and is not kept alive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack as _ExitStack
from contextlib import contextmanager as _contextmanager
from typing import TYPE_CHECKING, Any

import greenlet as _greenlet
import zmq as _zmq

from eventlet import _core, tpool
from eventlet import hubs as _hubs
from eventlet.event import Event as _Event
from eventlet.semaphore import Semaphore as _Semaphore

globals().update(
    {
        name: value
        for name, value in vars(_zmq).items()
        if not name.startswith("__") or name in _zmq.__all__
    }
)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


__all__ = [*_zmq.__all__, "LockReleaseError"]
__patched__ = ["Context", "Poller", "Socket", "device", "proxy", "select"]

_DONTWAIT: int = _zmq.DONTWAIT
_EVENTS: int = _zmq.EVENTS


class LockReleaseError(Exception):
    """A lock was released that nobody holds."""


class _QueueLock:
    """A lock for green threads, handed on in the order they came; its holder may take it again."""

    def __init__(self) -> None:
        self._free = _Semaphore(1)
        self._holder: Any = None
        self._count = 0

    def __bool__(self) -> bool:
        return self._count > 0

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_exc: object) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lock; wait until it is free."""
        current = _greenlet.getcurrent()
        if self._holder is not current:
            self._free.acquire()
            self._holder = current
        self._count += 1

    def release(self) -> None:
        """Give the lock back once.

        :raises LockReleaseError: if it is free.
        """
        if not self._count:
            raise LockReleaseError("Cannot release unacquired lock")
        self._count -= 1
        if not self._count:
            self._holder = None
            self._free.release()


class _BlockedThread:
    """A place for one green thread to wait at until it is woken."""

    def __init__(self) -> None:
        self._woken: Any = None

    def __bool__(self) -> bool:
        return self._woken is not None

    def block(self, deadline: float | None = None) -> None:
        """Wait for `wake`.

        :param deadline: when to stop waiting, by the hub's clock.
        """
        if self._woken is not None:
            raise RuntimeError("There is a green thread here already")
        timeout = None if deadline is None else max(0, deadline - _core.Hub.clock())
        self._woken = _Event()
        try:
            self._woken.wait(timeout)
        finally:
            self._woken = None

    def wake(self) -> bool:
        """Wake the green thread; return whether there is one that has not been woken yet."""
        if self._woken is None or self._woken.ready():
            return False
        self._woken.send()
        return True


class _Waiting:
    """Who waits for a socket, and for what."""

    def __init__(self) -> None:
        self.send_lock = _QueueLock()
        self.recv_lock = _QueueLock()
        self.sender = _BlockedThread()
        self.receiver = _BlockedThread()
        #: Those that wait for several sockets, each with the events of this one.
        self.pollers: list[tuple[_BlockedThread, int]] = []
        #: How many wait altogether.
        self.count = 0
        self.hub: Any = None
        self.listener: Any = None

    def wake_all(self) -> None:
        self.wake(-1)

    def wake(self, events: int) -> None:
        """Wake those who wait for one of these events."""
        if events & _zmq.POLLOUT:
            self.sender.wake()
        if events & _zmq.POLLIN:
            self.receiver.wake()
        for place, wanted in self.pollers:
            if events & wanted:
                place.wake()

    def forget_listener(self) -> None:
        listener, self.listener = self.listener, None
        if listener is not None:
            self.hub.remove(listener)


class Socket(_zmq.Socket[Any]):
    """A ``zmq.Socket`` that lets other green threads run while it waits.

    Several green threads may send and receive at the same time: their turns come in the order they
    asked, and the parts of a message stay together.
    """

    # pyzmq lets only those attributes be set that the class has.
    _eventlet: _Waiting | None = None
    _repr_cls = "eventlet.green.zmq.Socket"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._eventlet = _Waiting()

    @property
    def _waiting(self) -> _Waiting:
        waiting = self._eventlet
        assert waiting is not None
        return waiting

    def close(self, linger: int | None = None) -> None:
        """As ``zmq.Socket.close``; whoever waits for the socket gets an error."""
        waiting = self._eventlet
        if waiting is not None:
            # While the descriptor is still this socket's.
            waiting.forget_listener()
        super().close(linger)
        if waiting is not None:
            waiting.wake_all()

    # Options

    def get(self, option: int) -> Any:
        """As ``zmq.Socket.get``."""
        value = super().get(option)
        if option == _EVENTS:
            self._changed()
        return value

    getsockopt = get

    def _option(self, option: int) -> int:
        value: Any = super().get(option)
        return int(value)

    def set(self, option: int, value: Any) -> None:
        """As ``zmq.Socket.set``."""
        super().set(option, value)
        self._changed()

    setsockopt = set  # type: ignore[assignment]

    # Messages

    def send(  # type: ignore[override]
        self, data: Any, flags: int = 0, copy: bool = True, track: bool = False, **kwargs: Any
    ) -> Any:
        """As ``zmq.Socket.send``."""

        def attempt(flags: int) -> Any:
            return super(Socket, self).send(data, flags, copy, track, **kwargs)

        waiting = self._waiting
        return self._perform(
            attempt, flags, waiting.send_lock, waiting.sender, _zmq.POLLOUT, _zmq.SNDTIMEO
        )

    def recv(self, flags: int = 0, copy: bool = True, track: bool = False) -> Any:
        """As ``zmq.Socket.recv``."""

        def attempt(flags: int) -> Any:
            return super(Socket, self).recv(flags, copy, track)

        return self._receive(attempt, flags)

    if hasattr(_zmq.Socket, "recv_into"):

        def recv_into(self, buffer: Any, /, *, nbytes: int = 0, flags: int = 0) -> int:
            """As ``zmq.Socket.recv_into``."""

            def attempt(flags: int) -> Any:
                return super(Socket, self).recv_into(buffer, nbytes=nbytes, flags=flags)

            received: int = self._receive(attempt, flags)
            return received

    def send_multipart(self, msg_parts: Any, flags: int = 0, *args: Any, **kwargs: Any) -> Any:
        """As ``zmq.Socket.send_multipart``."""
        if flags & _DONTWAIT:
            return super().send_multipart(msg_parts, flags, *args, **kwargs)
        with self._waiting.send_lock:
            return super().send_multipart(msg_parts, flags, *args, **kwargs)

    def recv_multipart(self, flags: int = 0, *args: Any, **kwargs: Any) -> Any:
        """As ``zmq.Socket.recv_multipart``."""
        if flags & _DONTWAIT:
            return super().recv_multipart(flags, *args, **kwargs)
        with self._waiting.recv_lock:
            return super().recv_multipart(flags, *args, **kwargs)

    def _receive(self, attempt: Callable[[int], Any], flags: int) -> Any:
        waiting = self._waiting
        return self._perform(
            attempt, flags, waiting.recv_lock, waiting.receiver, _zmq.POLLIN, _zmq.RCVTIMEO
        )

    def _perform(
        self,
        attempt: Callable[[int], Any],
        flags: int,
        lock: _QueueLock,
        place: _BlockedThread,
        event: int,
        timeout_option: int,
    ) -> Any:
        """Call ``attempt(flags)`` until it need not wait any more."""
        if flags & _DONTWAIT:
            try:
                return attempt(flags)
            finally:
                self._changed()
        deadline: float | None = None
        with lock:
            milliseconds = self._option(timeout_option)
            if milliseconds >= 0:
                deadline = _core.Hub.clock() + milliseconds / 1000
            while True:
                try:
                    result = attempt(flags | _DONTWAIT)
                except _zmq.Again as error:
                    if deadline is not None and _core.Hub.clock() >= deadline:
                        # The same error as if it was not to wait: this tells them apart.
                        error.is_timeout = True  # type: ignore[attr-defined]
                        self._tell()
                        raise
                except BaseException:
                    self._changed()
                    raise
                else:
                    self._changed()
                    return result
                if not self._tell() & event:
                    with self._watched():
                        place.block(deadline)

    # Waiting

    def _changed(self) -> None:
        """Have those who wait look for themselves: the socket may have read commands."""
        waiting = self._eventlet
        if waiting is not None and waiting.count:
            waiting.wake_all()

    def _tell(self) -> int:
        """Have the socket read its commands, and wake those for whom there is something."""
        events = self._option(_EVENTS)
        self._waiting.wake(events)
        return events

    def _announced(self, _fileno: int) -> None:
        """There are commands to read."""
        try:
            self._tell()
        except _zmq.ZMQError:
            # Whoever waits finds out what is wrong. There is nothing more to announce.
            self._waiting.forget_listener()
            self._waiting.wake_all()

    def _lost(self, _error: BaseException) -> None:
        waiting = self._waiting
        waiting.listener = None
        waiting.wake_all()

    @_contextmanager
    def _watched(self) -> Iterator[None]:
        """Have the hub watch the socket meanwhile."""
        waiting = self._waiting
        if waiting.listener is None:
            waiting.hub = hub = _hubs.get_hub()
            fileno = self._option(_zmq.FD)
            waiting.listener = hub.add(hub.READ, fileno, self._announced, self._lost)
        waiting.count += 1
        try:
            yield
        finally:
            waiting.count -= 1
            if not waiting.count:
                waiting.forget_listener()

    @_contextmanager
    def _polled(self, place: _BlockedThread, events: int) -> Iterator[None]:
        """Have `place` woken when one of these events may have come."""
        pollers = self._waiting.pollers
        with self._watched():
            pollers.append((place, events))
            try:
                yield
            finally:
                pollers.remove((place, events))


def _waking(method: Any) -> Any:
    """Wrap a method of sockets that reads commands in passing."""

    def call(self: Socket, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        finally:
            self._changed()

    call.__name__ = call.__qualname__ = method.__name__
    call.__doc__ = method.__doc__
    return call


for _name in ("bind", "connect", "disconnect", "join", "leave", "unbind"):
    setattr(Socket, _name, _waking(getattr(_zmq.Socket, _name)))


class Context(_zmq.Context[Socket]):
    """A ``zmq.Context`` whose sockets are green."""

    # Not the same as that of ``zmq.Context``.
    _instance: Any = None
    _socket_class = Socket
    _repr_cls = "eventlet.green.zmq.Context"
    _eventlet_deleted = False

    def __del__(self) -> None:
        self._eventlet_deleted = True
        super().__del__()

    def term(self) -> None:
        """As ``zmq.Context.term``: waits until messages have been sent and sockets closed."""
        if self._eventlet_deleted or self.closed:
            super().term()
        else:
            tpool.execute(super().term)


class Poller(_zmq.Poller):
    """A ``zmq.Poller`` that lets other green threads run while it waits."""

    def poll(self, timeout: float | None = None) -> list[tuple[Any, int]]:
        """As ``zmq.Poller.poll``.

        :param timeout: milliseconds; None or a negative number waits for ever.
        :returns: the sockets and descriptors that are ready, each with its events.
        """
        deadline = None
        if timeout is not None and timeout >= 0:
            deadline = _core.Hub.clock() + timeout / 1000
        place = _BlockedThread()
        while True:
            sockets = [each for each, _ in self.sockets if isinstance(each, _zmq.Socket)]
            if any(each.closed for each in sockets):
                # libzmq would take it for a descriptor.
                raise _zmq.ZMQError(_zmq.ENOTSOCK)
            found = super().poll(0)
            for each in sockets:
                # It has read its commands.
                if isinstance(each, Socket) and each._waiting.count:
                    each._tell()
            if found or (deadline is not None and _core.Hub.clock() >= deadline):
                return found
            self._wait(place, deadline)

    def _wait(self, place: _BlockedThread, deadline: float | None) -> None:
        """Wait until something may have become ready."""
        hub = _hubs.get_hub()

        def wake(_argument: Any) -> None:
            place.wake()

        with _ExitStack() as stack:
            for each, flags in self.sockets:
                if isinstance(each, Socket):
                    stack.enter_context(each._polled(place, flags))
                    continue
                if isinstance(each, _zmq.Socket):
                    fileno, kinds = int(each.get(_zmq.FD)), [hub.READ]
                else:
                    fileno = each if isinstance(each, int) else each.fileno()
                    kinds = [hub.READ] if flags & ~_zmq.POLLOUT else []
                    kinds += [hub.WRITE] if flags & _zmq.POLLOUT else []
                for kind in kinds:
                    stack.callback(hub.remove, hub.add(kind, fileno, wake, wake))
            place.block(deadline)


Socket._poller_class = Poller


def select(
    rlist: list[Any], wlist: list[Any], xlist: list[Any], timeout: float | None = None
) -> tuple[list[Any], list[Any], list[Any]]:
    """As ``zmq.select``.

    :param timeout: seconds; None or a negative number waits for ever.
    """
    wanted: dict[Any, int] = {}
    for group, flag in ((rlist, _zmq.POLLIN), (wlist, _zmq.POLLOUT), (xlist, _zmq.POLLERR)):
        for each in group:
            wanted[each] = wanted.get(each, 0) | flag
    poller = Poller()
    for each, flags in wanted.items():
        poller.register(each, flags)
    found = poller.poll(None if timeout is None else timeout * 1000)
    readable, writable, wrong = (
        [each for each, flags in found if flags & flag]
        for flag in (_zmq.POLLIN, _zmq.POLLOUT, _zmq.POLLERR)
    )
    return readable, writable, wrong


def proxy(frontend: Any, backend: Any, capture: Any = None) -> None:
    """As ``zmq.proxy``: pass messages on between two sockets, until one of them is closed.

    :param capture: a socket that gets a copy of each message.
    :raises zmq.ZMQError: when it ends.
    """
    poller = Poller()
    poller.register(frontend, _zmq.POLLIN)
    poller.register(backend, _zmq.POLLIN)
    while True:
        for source, _ in poller.poll():
            parts = source.recv_multipart()
            (backend if source is frontend else frontend).send_multipart(parts)
            if capture is not None:
                capture.send_multipart(parts)


def device(device_type: int, frontend: Any, backend: Any) -> None:
    """As ``zmq.device``, whose type means nothing any more: see `proxy`."""
    proxy(frontend, backend)
