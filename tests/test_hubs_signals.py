"""Signals that reach a hub which sleeps, and the wake-up descriptor of the program."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import eventlet
from eventlet.asyncio import spawn_for_awaitable
from eventlet.event import Event
from eventlet.hubs import trampoline

LONG = 20
SIGNAL = signal.SIGUSR1


@pytest.fixture
def handle() -> Iterator[Callable[[Any], None]]:
    """A function that has the signal handled."""
    previous = signal.getsignal(SIGNAL)
    yield lambda handler: signal.signal(SIGNAL, handler)
    signal.signal(SIGNAL, previous)


@pytest.fixture
def wakeup() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a channel, of which the second is the program's wake-up descriptor."""
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        assert signal.set_wakeup_fd(writer.fileno()) == -1
        yield reader, writer
        signal.set_wakeup_fd(-1)


@pytest.fixture
def sleeps(hub: Any) -> Iterator[Callable[[], None]]:
    """A function for other OS threads that waits until the hub sleeps, and not only for a moment.

    The hub asks how long to sleep before its first, short sleep, and again before the long one.
    """
    asked: list[int] = []

    def default_sleep() -> float:
        asked.append(1)
        return LONG

    def wait() -> None:
        deadline = time.monotonic() + LONG
        while len(asked) < 2 or not hub._progress()[1]:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    hub.default_sleep = default_sleep
    yield wait
    del hub.default_sleep


@contextlib.contextmanager
def os_thread(function: Callable[[], None]) -> Iterator[None]:
    """Call it in another OS thread meanwhile."""
    thread = threading.Thread(target=function)
    thread.start()
    yield
    thread.join()


def in_this_thread() -> None:
    signal.pthread_kill(threading.get_ident(), SIGNAL)


def test_another_os_thread_receives_it(handle, sleeps):
    woken = Event()
    handle(lambda *_: woken.send("woken"))
    begun = time.monotonic()
    with os_thread(lambda: (sleeps(), in_this_thread())):
        assert woken.wait() == "woken"
    # At once, not when the sleep was over.
    assert time.monotonic() - begun < LONG / 2


def test_another_os_thread_receives_it_in_a_short_sleep(handle, hub):
    woken = Event()
    handle(lambda *_: woken.send("woken"))
    timer = hub.schedule_call_global(LONG, int)

    def send() -> None:
        while not hub._progress()[1]:
            pass
        in_this_thread()

    begun = time.monotonic()
    with os_thread(send):
        assert woken.wait() == "woken"
    assert time.monotonic() - begun < LONG / 2
    timer.cancel()


def test_many_in_a_row(handle, run_python):
    """One after the other, each as soon as the one before has been handled: none is missed."""
    done = run_python(
        """
import os, signal, sys, time
import eventlet
from eventlet.event import Event

read, write = os.pipe()
child = os.fork()
if child == 0:
    while os.read(read, 1) == b"x":
        os.kill(os.getppid(), signal.SIGUSR1)
    os._exit(0)

events = []
signal.signal(signal.SIGUSR1, lambda *_: events.pop().send("handled"))
begun = time.monotonic()
for _ in range(2000):
    event = Event()
    events.append(event)
    os.write(write, b"x")
    assert event.wait() == "handled"
assert time.monotonic() - begun < 20
os.write(write, b".")
os.waitpid(child, 0)
print("fine")
"""
    )
    assert done.stdout == "fine\n"


def test_the_program_sees_nothing_of_it(handle, sleeps):
    found = []
    woken = Event()

    def handler(*_args: Any) -> None:
        found.append(signal.set_wakeup_fd(-1))
        woken.send()

    handle(handler)
    with os_thread(lambda: (sleeps(), in_this_thread())):
        woken.wait()
    found.append(signal.set_wakeup_fd(-1))
    assert found == [-1, -1]


@pytest.mark.parametrize("where", ["main thread", "other thread"])
def test_the_programs_descriptor_gets_the_numbers(handle, sleeps, wakeup, where):
    reader, writer = wakeup
    calls = []
    handle(lambda *_: calls.append(1))

    def send() -> None:
        sleeps()
        if where == "main thread":
            signal.pthread_kill(threading.main_thread().ident, SIGNAL)
        else:
            in_this_thread()

    with os_thread(send):
        trampoline(reader, read=True)
    assert reader.recv(10) == bytes([SIGNAL])
    assert calls == [1]
    assert signal.set_wakeup_fd(writer.fileno()) == writer.fileno()


def test_a_descriptor_that_is_set_on_the_way_to_sleep(hub, wakeup):
    _, writer = wakeup
    signal.set_wakeup_fd(-1)
    asked = []

    def default_sleep() -> float:
        asked.append(1)
        if len(asked) == 2:
            signal.set_wakeup_fd(writer.fileno())
            hub.call_soon_threadsafe(woken.send)
        return LONG

    woken = Event()
    hub.default_sleep = default_sleep
    try:
        woken.wait()
    finally:
        del hub.default_sleep
    assert len(asked) == 2
    assert signal.set_wakeup_fd(writer.fileno()) == writer.fileno()


def test_a_sleep_within_the_way_to_sleep(hub, handle, wakeup):
    """What is called then may wait itself, in the hub."""
    reader, writer = wakeup
    asked = []

    def default_sleep() -> float:
        asked.append(1)
        if len(asked) == 2:
            signal.set_wakeup_fd(signal.set_wakeup_fd(-1))
            hub._turn(0.05)
            signal.raise_signal(SIGNAL)
            hub._turn(0.05)
            hub.call_soon_threadsafe(woken.send)
        return LONG

    handle(lambda *_: None)
    woken = Event()
    hub.default_sleep = default_sleep
    try:
        woken.wait()
    finally:
        del hub.default_sleep
    assert len(asked) > 2
    assert signal.set_wakeup_fd(writer.fileno()) == writer.fileno()
    assert reader.recv(10) == bytes([SIGNAL])


def test_a_descriptor_that_the_program_has_closed(handle):
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno())
    reader.close()
    writer.close()
    eventlet.sleep(0.03)
    assert signal.set_wakeup_fd(-1) == -1


def test_handlers_of_asyncio(handle, sleeps):
    async def main() -> str:
        import asyncio

        loop = asyncio.get_running_loop()
        called = asyncio.Event()
        loop.add_signal_handler(SIGNAL, called.set)
        try:
            await called.wait()
        finally:
            loop.remove_signal_handler(SIGNAL)
        return "called"

    handle(signal.SIG_DFL)
    begun = time.monotonic()
    with os_thread(lambda: (sleeps(), os.kill(os.getpid(), SIGNAL))):
        assert spawn_for_awaitable(main()).wait() == "called"
    assert time.monotonic() - begun < LONG / 2
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork_while_the_main_thread_sleeps(run_python):
    """The only thread of the child is its main thread, with the descriptor that the program set."""
    done = run_python(
        """
import os, signal, socket, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import eventlet
from eventlet import hubs
from eventlet.event import Event

reader, writer = socket.socketpair()
reader.setblocking(False)
writer.setblocking(False)
signal.set_wakeup_fd(writer.fileno())
hub = hubs.get_hub()
asked = []
hub.default_sleep = lambda: asked.append(1) or 20

def child():
    assert signal.set_wakeup_fd(-1) == writer.fileno()
    calls = Event()
    signal.signal(signal.SIGUSR1, lambda *_: calls.send("handled"))
    sender = threading.Thread(
        target=lambda: signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
    )
    eventlet.spawn(sender.start)
    begun = time.monotonic()
    assert calls.wait() == "handled"
    assert time.monotonic() - begun < 10

def fork():
    while len(asked) < 2 or not hub._progress()[1]:
        time.sleep(0.001)
    pid = os.fork()
    if pid == 0:
        try:
            child()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status.append(os.waitpid(pid, 0)[1])
    ended.send()

status = []
ended = Event()
thread = threading.Thread(target=fork)
thread.start()
ended.wait()
thread.join()
assert status == [0]
assert signal.set_wakeup_fd(-1) == writer.fileno()
# What the child was sent is not the parent's.
try:
    reader.recv(1)
except BlockingIOError:
    print("fine")
"""
    )
    assert (done.stdout, done.stderr) == ("fine\n", "")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it knows Linux' mutexes")
def test_another_thread_receives_it_while_green_threads_keep_the_hub_busy(run_python):
    """Nothing of that thread's, which waits for a mutex, tells the interpreter of the signal."""
    run_python(
        """
import ctypes, signal, threading
import eventlet

libc = ctypes.CDLL(None)
keeps_gil = ctypes.PyDLL(None)
mutex = ctypes.create_string_buffer(64)
assert libc.pthread_mutex_lock(mutex) == 0
thread = threading.Thread(target=libc.pthread_mutex_lock, args=[mutex], daemon=True)
thread.start()
state = None
while state != "S":
    with open(f"/proc/self/task/{thread.native_id}/stat") as file:
        state = file.read().rpartition(") ")[2][0]
calls = []
signal.signal(signal.SIGUSR1, lambda *_: calls.append(1))
with eventlet.Timeout(20):
    for n in range(1, 4):
        assert keeps_gil.pthread_kill(ctypes.c_ulong(thread.ident), int(signal.SIGUSR1)) == 0
        while len(calls) < n:
            eventlet.sleep(0)
libc.pthread_mutex_unlock(mutex)
thread.join()
"""
    )
