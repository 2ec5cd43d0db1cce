"""asyncio and green threads: each may wait for the other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Generator
from typing import Any, TypeVar

from greenlet import GreenletExit

from eventlet.event import Event
from eventlet.greenthread import GreenThread, spawn
from eventlet.hubs import _loop, get_hub

__all__ = ["spawn_for_awaitable"]

_T = TypeVar("_T")


def spawn_for_awaitable(coroutine: Awaitable[Any]) -> GreenThread:
    """Return a green thread that stands for a coroutine, a future, or anything else to await.

    Its ``wait()`` returns the result or raises the exception; to kill it is to cancel the future.

    The coroutine runs in a loop of asyncio: that of the hub if it is the asyncio hub, else one that
    runs in a green thread of its own. Coroutines of one loop do not run in green threads of their
    own, so one that waits otherwise than by ``await`` keeps the others waiting too.
    """
    loop = _loop.loop_of(get_hub())
    future = asyncio.ensure_future(_future_of(coroutine, loop), loop=loop)
    green_thread: GreenThread = spawn(_wait_for, future)
    # However it ends, begun or not.
    green_thread.link(_cancel, future)
    return green_thread


def _cancel(_green_thread: GreenThread, future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.cancel()


def _future_of(awaitable: Any, loop: asyncio.AbstractEventLoop) -> Any:
    if asyncio.isfuture(awaitable) or asyncio.iscoroutine(awaitable):
        return awaitable

    async def wrapper() -> Any:
        return await awaitable

    return wrapper()


def _wait_for(future: asyncio.Future[_T]) -> _T:
    ended = Event()

    def done(_future: asyncio.Future[_T]) -> None:
        ended.send()

    future.add_done_callback(done)
    try:
        ended.wait()
    finally:
        future.remove_done_callback(done)
    return future.result()


def await_green_thread(green_thread: GreenThread) -> Generator[Any, None, Any]:
    """Wait for a green thread, in a coroutine. To cancel the coroutine is to kill it."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    thread = threading.get_ident()

    def resolve(ended: GreenThread) -> None:
        if future.done():
            return
        try:
            result = ended.wait()
        except (GreenletExit, asyncio.CancelledError):
            future.cancel()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    def done(ended: GreenThread) -> None:
        if threading.get_ident() == thread:
            resolve(ended)
        else:
            loop.call_soon_threadsafe(resolve, ended)

    green_thread.link(done)
    try:
        return (yield from future)
    except asyncio.CancelledError:
        if not green_thread.unlink(done):
            raise
        green_thread.kill()
        raise
