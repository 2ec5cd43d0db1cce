"""The standard asyncio in a patched process: its loop is one green thread among others."""

import sys

import pytest

BEGIN = """
import sys
if {early}:
    import asyncio, asyncio.subprocess, concurrent.futures, selectors
import eventlet
eventlet.monkey_patch()
import asyncio, selectors, socket, threading, time

ticks = []

def tick():
    while True:
        ticks.append(None)
        time.sleep(0.005)

eventlet.spawn(tick)

def others_ran(least=2):
    found = len(ticks) >= least
    ticks.clear()
    return found
"""


@pytest.fixture(params=["early", "late"])
def run_program(request, run_python):
    """Runs a program in which asyncio was imported before or after patching."""

    def run(code):
        return run_python(
            BEGIN.format(early=request.param == "early") + code,
            # On the asyncio hub there is one loop for the OS thread, and it is the hub's.
            env={"EVENTLET_HUB": ""},
        )

    return run


def test_other_green_threads_run(run_program):
    result = run_program(
        """
async def main():
    assert type(asyncio.get_running_loop()._selector) is selectors.DefaultSelector
    await asyncio.sleep(0.1)
    assert others_ran(), "the loop blocked"
    return await asyncio.gather(*(later(number) for number in range(10)))

async def later(number):
    await asyncio.sleep(0.01)
    return number

print(asyncio.run(main()))
"""
    )
    assert result.stdout == f"{[*range(10)]}\n"


def test_a_busy_loop_lets_others_run(run_program):
    result = run_program(
        """
async def main():
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        await asyncio.sleep(0)

asyncio.run(main())
assert others_ran()
print("end")
"""
    )
    assert result.stdout == "end\n"


def test_streams(run_program):
    result = run_program(
        """
async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()

async def ask(address, number):
    reader, writer = await asyncio.open_connection(*address, limit=1 << 20)
    writer.write(b"x" * 200_000 + b"%d\\n" % number)
    await writer.drain()
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return int(answer.lstrip(b"x"))

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20)
    address = server.sockets[0].getsockname()
    found = await asyncio.gather(*(ask(address, number) for number in range(20)))
    # A green thread is a client too, of a loop in the same OS thread.
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    def client():
        with socket.create_connection(address) as sock:
            sock.sendall(b"green\\n")
            done.set_result(sock.recv(100))
    eventlet.spawn(client)
    answer = await asyncio.wait_for(done, 10)
    server.close()
    return found == [*range(20)], answer

print(asyncio.run(main()))
"""
    )
    assert result.stdout == "(True, b'green\\n')\n"


def test_executors(run_program):
    result = run_program(
        """
at_once = threading.Barrier(5)

def block(seconds):
    at_once.wait(20)
    time.sleep(seconds)
    return seconds

async def main():
    loop = asyncio.get_running_loop()
    found = await asyncio.gather(
        *(loop.run_in_executor(None, block, 0.1) for _ in range(4)),
        asyncio.to_thread(block, 0.1),
    )
    assert others_ran()
    infos = await loop.getaddrinfo("localhost", 80)
    assert infos
    return found

print(asyncio.run(main()))
"""
    )
    assert result.stdout == "[0.1, 0.1, 0.1, 0.1, 0.1]\n"


def test_subprocesses(run_program):
    result = run_program(
        """
async def main():
    process = await asyncio.create_subprocess_exec(
        "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    data = b"x" * 3_000_000
    out, _ = await process.communicate(data)
    assert out == data and process.returncode == 0
    ticks.clear()
    process = await asyncio.create_subprocess_shell("sleep 0.1; exit 3")
    assert await process.wait() == 3
    assert others_ran(), "wait blocked"
    process = await asyncio.create_subprocess_exec("sleep", "100")
    try:
        await asyncio.wait_for(process.wait(), 0.05)
    except asyncio.TimeoutError:
        process.kill()
    return await process.wait()

print(asyncio.run(main()))
"""
    )
    assert result.stdout == "-9\n"


def test_loops_in_several_green_threads(run_program):
    result = run_program(
        """
async def count(number):
    async def generate():
        for index in range(5):
            await asyncio.sleep(0.01)
            yield index
    loop = asyncio.get_running_loop()
    found = 0
    async for index in generate():
        assert asyncio.get_running_loop() is loop
        assert asyncio.current_task(loop) is not None
        found += index
    return number, found

def run(number):
    return asyncio.run(count(number))

green = [eventlet.spawn(run, number) for number in range(3)]
print([thread.wait() for thread in green])
results = []
threads = [
    threading.Thread(target=lambda number=number: results.append(run(number)))
    for number in range(2)
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sorted(results))
assert sys.get_asyncgen_hooks() == (None, None)
"""
    )
    assert result.stdout == "[(0, 10), (1, 10), (2, 10)]\n[(0, 10), (1, 10)]\n"


def test_loops_in_several_os_threads(run_program):
    result = run_program(
        """
from eventlet import patcher, tpool

async def main(number):
    loop = asyncio.get_running_loop()
    other.append(loop)
    await asyncio.sleep(0.05)
    return number, len({id(found) for found in other})

other = []
results = []
real = patcher.original("threading")
def run(number):
    results.append(asyncio.run(main(number)))
threads = [real.Thread(target=run, args=(number,)) for number in range(2)]
for thread in threads:
    thread.start()
waiting = eventlet.spawn(run, 2)
# A thread of the pool waits for the others: this OS thread has green threads to run.
for thread in threads:
    tpool.execute(thread.join)
waiting.wait()
print(sorted(results))
"""
    )
    assert result.stdout == "[(0, 3), (1, 3), (2, 3)]\n"


def test_calls_from_other_threads(run_program):
    result = run_program(
        """
from eventlet import patcher, tpool

async def main():
    loop = asyncio.get_running_loop()
    found = asyncio.Queue()
    eventlet.spawn_after(0.02, loop.call_soon_threadsafe, found.put_nowait, "green")
    first = await asyncio.wait_for(found.get(), 10)
    real = patcher.original("threading")
    real.Timer(0.02, lambda: loop.call_soon_threadsafe(found.put_nowait, "os")).start()
    second = await asyncio.wait_for(found.get(), 10)
    async def answer():
        return "coroutine"
    def ask():
        return asyncio.run_coroutine_threadsafe(answer(), loop).result(10)
    third = await asyncio.to_thread(ask)
    return first, second, third

print(asyncio.run(main()))
"""
    )
    assert result.stdout == "('green', 'os', 'coroutine')\n"


def test_pipes_and_signals(run_program):
    result = run_program(
        """
import os, signal

async def main():
    loop = asyncio.get_running_loop()
    reader_fd, writer_fd = os.pipe()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await loop.connect_read_pipe(lambda: protocol, os.fdopen(reader_fd, "rb"))
    transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(writer_fd, "wb"))
    transport.write(b"line\\n" + b"x" * 300_000)
    assert await reader.readline() == b"line\\n"
    assert len(await reader.readexactly(300_000)) == 300_000
    transport.close()
    assert await reader.read() == b""
    came = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, came.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.wait_for(came.wait(), 10)
    return "end"

print(asyncio.run(main()))
"""
    )
    assert result.stdout == "end\n"


def test_an_interrupt(run_program):
    result = run_program(
        """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)

async def main():
    asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGINT)
    try:
        await asyncio.sleep(100)
    except asyncio.CancelledError:
        print("cancelled")
        raise

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
"""
    )
    expected = "cancelled\ninterrupted\n" if sys.version_info >= (3, 11) else "interrupted\n"
    assert result.stdout.endswith(expected)


def test_a_loop_that_was_made_before_patching(run_python):
    result = run_python(
        """
import asyncio
loop = asyncio.new_event_loop()
import eventlet
eventlet.monkey_patch()
ran = []
eventlet.spawn_after(0.01, ran.append, True)

async def main():
    loop.call_soon_threadsafe(lambda: None)
    await asyncio.sleep(0.05)
    return ran

print(loop.run_until_complete(main()))
loop.close()
"""
    )
    assert result.stdout == "[True]\n"
