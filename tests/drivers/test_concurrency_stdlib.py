"""What else of the standard library runs things at once: in a patched process."""

from __future__ import annotations


def test_asyncio(http_peer, run_patched):
    code = """
import asyncio
import time
import urllib.parse
where = urllib.parse.urlsplit(given.url)

async def get(number):
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(b"GET /%d HTTP/1.1\\r\\nHost: there\\r\\nConnection: close\\r\\n\\r\\n" % number)
    head, _, body = (await reader.read()).partition(b"\\r\\n\\r\\n")
    writer.close()
    await writer.wait_closed()
    return body

async def several(count):
    loop = asyncio.get_running_loop()
    # In threads, which are green ones.
    others = [loop.run_in_executor(None, time.sleep, 0.2) for _ in range(10)]
    answers = await asyncio.gather(*map(get, range(count)), asyncio.to_thread(len, "abc"))
    await asyncio.gather(*others)
    return answers

def run(count):
    return asyncio.run(several(count))
expected = [*(b"/%d " % number for number in range(50)), 3]
assert compare(lambda: run(1), lambda: run(50)) == expected

# A loop in each of several green threads.
async def two():
    return await asyncio.gather(get(1), get(2))
assert overlap(lambda number: asyncio.run(two()), count=10) == [[b"/1 ", b"/2 "]] * 10
"""
    run_patched(code, url=http_peer)


def test_asyncio_subprocess(run_patched):
    code = """
import asyncio
import sys

async def main():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "print(input()[::-1])", stdin=-1, stdout=-1
    )
    out, _ = await asyncio.wait_for(process.communicate(b"abc\\n"), 20)
    return out, process.returncode

assert asyncio.run(main()) == (b"cba\\n", 0)
"""
    run_patched(code)


def test_thread_pool_executor(run_patched):
    code = """
import concurrent.futures
import time
with concurrent.futures.ThreadPoolExecutor(50) as executor:
    def work(number):
        return executor.submit(lambda: time.sleep(0.2) or number).result()
    assert overlap(work) == [*range(50)]
    assert [*executor.map(abs, range(-100, 0))] == [*range(100, 0, -1)]
"""
    run_patched(code)


def test_multiprocessing_pool(run_patched):
    code = """
import multiprocessing
import os
import time

def work(number):
    time.sleep(0.5)
    return number, os.getpid()

if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(25) as pool:
        results = overlap(lambda number: pool.apply(work, [number]))
        assert [number for number, _ in results] == [*range(50)]
        assert len({pid for _, pid in results} - {os.getpid()}) > 5
        assert pool.map(abs, range(-100, 0)) == [*range(100, 0, -1)]
        pool.close()
        pool.join()
"""
    run_patched(code)


def test_multiprocessing_queues_and_pipes(run_patched):
    code = """
import multiprocessing

context = multiprocessing.get_context("fork")

def child(questions, answers, end):
    for question in iter(questions.get, None):
        answers.put(question * 2)
    end.send("done")
    end.close()

questions, answers = context.Queue(), context.Queue()
here, there = context.Pipe()
process = context.Process(target=child, args=(questions, answers, there))
process.start()
ticks = []
ticker = eventlet.spawn(lambda: [ticks.append(eventlet.sleep(0.001)) for _ in range(10**6)])
for number in range(20):
    questions.put(number)
assert [answers.get() for _ in range(20)] == [number * 2 for number in range(20)]
questions.put(None)
assert here.recv() == "done"
process.join()
assert process.exitcode == 0
assert ticks
ticker.kill()
"""
    run_patched(code)
