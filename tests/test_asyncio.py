"""Green threads that wait for coroutines, and coroutines that wait for green threads."""

import asyncio
import contextlib
import gc
import socket
import threading
import weakref

import greenlet
import pytest

import eventlet
from eventlet import hubs
from eventlet.asyncio import spawn_for_awaitable
from eventlet.event import Event
from eventlet.hubs.hub import BaseHub


@pytest.fixture(params=["asyncio", "epolls", "selects"], autouse=True)
def hub(request):
    """A new hub of each kind, with a time limit."""
    hubs.use_hub(request.param)
    hub = hubs.get_hub()
    hub.debug_exceptions = False
    with eventlet.Timeout(20):
        yield hub
    hubs.use_hub()


async def double(value):
    await asyncio.sleep(0.001)
    return 2 * value


async def fail():
    await asyncio.sleep(0)
    raise ZeroDivisionError


def test_result():
    assert spawn_for_awaitable(double(4)).wait() == 8


def test_exception():
    with pytest.raises(ZeroDivisionError):
        spawn_for_awaitable(fail()).wait()


def test_any_awaitable():
    class Awaitable:
        def __await__(self):
            return double(3).__await__()

    async def task():
        return await asyncio.create_task(double(4))

    assert spawn_for_awaitable(Awaitable()).wait() == 6
    assert spawn_for_awaitable(task()).wait() == 8


def test_future(hub):
    async def make():
        return asyncio.get_running_loop().create_future()

    future = spawn_for_awaitable(make()).wait()
    green_thread = spawn_for_awaitable(future)
    eventlet.sleep(0.001)
    assert not green_thread.dead
    future.set_result(5)
    assert green_thread.wait() == 5


def test_many():
    green_threads = [spawn_for_awaitable(double(value)) for value in range(200)]
    assert [each.wait() for each in green_threads] == [2 * value for value in range(200)]


def test_neither_starves_the_other():
    turns = {"green": 0, "async": 0}

    async def coroutine():
        for _ in range(50):
            turns["async"] += 1
            await asyncio.sleep(0)

    def green():
        for _ in range(50):
            turns["green"] += 1
            eventlet.sleep(0)

    greens = [eventlet.spawn(green), eventlet.spawn(green)]
    spawn_for_awaitable(coroutine()).wait()
    assert turns["green"] > 10
    assert turns["async"] == 50
    for each in greens:
        each.wait()


def test_streams_and_green_sockets_talk():
    server = eventlet.listen(("127.0.0.1", 0))

    def serve():
        sock, _ = server.accept()
        sock.sendall(sock.recv(100).upper())
        sock.close()

    async def ask():
        reader, writer = await asyncio.open_connection(*server.getsockname())
        writer.write(b"hello")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    served = eventlet.spawn(serve)
    assert spawn_for_awaitable(ask()).wait() == b"HELLO"
    served.wait()
    server.close()


def test_work_of_other_os_threads():
    async def thread():
        return await asyncio.to_thread(threading.get_ident)

    async def address():
        loop = asyncio.get_running_loop()
        return await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)

    assert spawn_for_awaitable(thread()).wait() != threading.get_ident()
    assert spawn_for_awaitable(address()).wait()[0][4] == ("127.0.0.1", 80)


@pytest.mark.parametrize("begun", [True, False])
def test_to_kill_the_green_thread_cancels_the_coroutine(begun):
    cancelled = Event()

    async def wait():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.send(True)
            raise

    green_thread = spawn_for_awaitable(wait())
    eventlet.sleep(0.002 if begun else 0)
    green_thread.kill()
    with pytest.raises(greenlet.GreenletExit):
        green_thread.wait()
    if begun:
        assert cancelled.wait(5)
    eventlet.sleep(0.002)


def test_await():
    def green(value):
        eventlet.sleep(0.001)
        return value / 2

    async def go():
        return [
            await eventlet.spawn(green, 8),
            await eventlet.spawn(int, 7),
            await asyncio.ensure_future(eventlet.spawn(green, 4)),
            await asyncio.gather(eventlet.spawn(green, 2), double(1)),
        ]

    assert spawn_for_awaitable(go()).wait() == [4, 7, 2, [1, 2]]


@pytest.mark.parametrize("delay", [0, 0.001])
def test_await_one_that_fails(delay):
    def green():
        eventlet.sleep(delay)
        raise ZeroDivisionError

    async def go():
        with pytest.raises(ZeroDivisionError):
            await eventlet.spawn(green)
        return "went on"

    assert spawn_for_awaitable(go()).wait() == "went on"


def test_await_one_that_is_killed():
    victim = eventlet.spawn(eventlet.sleep, 60)

    async def go():
        with pytest.raises(asyncio.CancelledError):
            await victim
        return "went on"

    waiting = spawn_for_awaitable(go())
    eventlet.sleep(0.002)
    victim.kill()
    assert waiting.wait() == "went on"


def test_to_cancel_the_coroutine_kills_the_green_thread():
    victim = eventlet.spawn(eventlet.sleep, 60)

    async def go():
        task = asyncio.ensure_future(victim)
        await asyncio.sleep(0.002)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    spawn_for_awaitable(go()).wait()
    eventlet.sleep(0.002)
    assert victim.dead


def test_await_outside_of_a_loop():
    with pytest.raises(RuntimeError, match="no running event loop"):
        next(eventlet.spawn(int).__await__())


def test_the_loops_own_listeners_are_not_shown(hub):
    spawn_for_awaitable(double(1)).wait()
    assert not hub.get_readers()
    assert not hub.get_writers()


def test_the_asyncio_hub():
    hubs.use_hub("asyncio")
    hub = hubs.get_hub()
    assert isinstance(hub, BaseHub)
    assert isinstance(hub.loop, asyncio.AbstractEventLoop)
    seen = []
    hub.loop.call_soon(lambda: seen.append(asyncio.get_running_loop()))
    eventlet.sleep(0.001)
    assert seen == [hub.loop]
    hub.abort(wait=True)
    assert not hub.running
    assert eventlet.spawn(int, "5").wait() == 5


@pytest.mark.parametrize("name", ["asyncio", "epolls"])
def test_each_os_thread_has_its_loop(name):
    found = []

    def run():
        hubs.use_hub(name)
        found.append(spawn_for_awaitable(double(2)).wait())

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [4, 4, 4]


@pytest.mark.parametrize("name", ["asyncio", ""])
def test_fork(run_python, name):
    code = """
import asyncio, os, eventlet
from eventlet.asyncio import spawn_for_awaitable

async def double(value):
    await asyncio.sleep(0.001)
    return value * 2

assert spawn_for_awaitable(double(1)).wait() == 2
child = os.fork()
assert spawn_for_awaitable(double(2)).wait() == 4
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print("fine")
"""
    assert run_python(code, env={"EVENTLET_HUB": name}).stdout == "fine\n"


def test_a_loop_ends_with_its_hub(hub):
    """At once, as the garbage collector may take its time."""

    def run():
        hubs.use_hub(type(hub))
        assert spawn_for_awaitable(double(4)).wait() == 8
        loops.append(spawn_for_awaitable(running_loop()).wait())
        references.append(weakref.ref(hubs.get_hub()))

    async def running_loop():
        return asyncio.get_running_loop()

    loops, references = [], []
    gc.disable()
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert references[0]() is None
        assert loops[0].is_closed()
    finally:
        gc.enable()


@pytest.mark.parametrize("name", ["asyncio", "epolls"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_patched_process(run_python, name, when):
    """Coroutines have what is not patched, as they must never wait for a green thread."""
    done = run_python(
        f"""
import sys
import eventlet
if {when == "before"}:
    eventlet.monkey_patch()
import asyncio
from eventlet.asyncio import spawn_for_awaitable
if {when == "after"}:
    spawn_for_awaitable(asyncio.sleep(0)).wait()
    eventlet.monkey_patch()
from eventlet.patcher import original

def blocks(barrier):
    barrier.wait(10)

async def main():
    # Two OS threads at once, which no green threads could be.
    barrier = original("threading").Barrier(2)
    await asyncio.gather(*(asyncio.to_thread(blocks, barrier) for _ in range(2)))
    loop = asyncio.get_running_loop()
    assert (await loop.getaddrinfo("127.0.0.1", 80))[0][4] == ("127.0.0.1", 80)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "print(input())", stdin=-1, stdout=-1
    )
    assert await process.communicate(b"x") == (b"x\\n", None)

    async def serve(reader, writer):
        writer.write(await reader.readline())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"hello\\n")
    assert await reader.readline() == b"hello\\n"
    writer.close()
    server.close()
    await loop.shutdown_default_executor()

with eventlet.Timeout(20):
    ticks = []
    ticker = eventlet.spawn(lambda: [(ticks.append(1), eventlet.sleep(0)) for _ in range(100)])
    spawn_for_awaitable(main()).wait()
    ticker.wait()
print("fine")
""",
        env={"EVENTLET_HUB": name},
    )
    assert (done.stdout, done.stderr) == ("fine\n", "")


def test_the_executor_of_a_loop_does_not_hold_up_green_threads(hub):
    async def main():
        barrier = threading.Barrier(2)
        await asyncio.gather(*(asyncio.to_thread(barrier.wait, 10) for _ in range(2)))
        return threading.current_thread() is threading.main_thread()

    assert spawn_for_awaitable(main()).wait()
