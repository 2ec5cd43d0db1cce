"""Calls in OS threads: pools of one's own, and executors over them."""

import asyncio
import concurrent.futures
import gc
import threading
import weakref

import pytest

import eventlet
from eventlet import tpool
from eventlet._os_threads import ThreadPool, current_worker
from eventlet.asyncio import spawn_for_awaitable

LONG = 20


@pytest.fixture(autouse=True)
def limit():
    """Ends what hangs in a green thread; afterwards there are no threads left."""
    with eventlet.Timeout(LONG):
        yield
        tpool.killall()


# ------------------------------------------------------------------------------------------------
# Pools of one's own


def test_thread_pools_start_threads_when_they_are_needed():
    pool = ThreadPool(2)
    gate = threading.Event()
    assert pool.execute(int) == 0
    assert pool.execute(int) == 0
    assert len(pool.threads) == 1
    calls = [eventlet.spawn(pool.execute, gate.wait, LONG) for _ in range(5)]
    eventlet.sleep(0.01)
    assert len(pool.threads) == 2
    gate.set()
    assert all(call.wait() for call in calls)
    pool.killall()


def test_thread_pools_shrink_when_idle():
    gate = threading.Event()
    pool = tpool.ThreadPool(5, idle_seconds=0.02, min_threads=1, name="mine")
    calls = [eventlet.spawn(pool.execute, gate.wait, LONG) for _ in range(5)]
    eventlet.sleep(0)
    assert sorted(worker.name for worker in pool.threads) == [f"mine_{n}" for n in range(5)]
    gate.set()
    assert all(call.wait() for call in calls)
    while len(pool.threads) > 1:
        eventlet.sleep(0.005)
    assert pool.execute(int, "7") == 7
    pool.killall()
    assert pool.threads == []


def test_calls_that_come_while_threads_leave():
    with tpool.ThreadPool(3, idle_seconds=0.0001) as pool:
        for number in range(500):
            assert pool.execute(int, number) == number
            if number % 7 == 0:
                eventlet.sleep(0.0002)


def test_resize():
    gate = threading.Event()
    with tpool.ThreadPool(1) as pool:
        calls = [eventlet.spawn(pool.execute, gate.wait, LONG) for _ in range(6)]
        eventlet.sleep(0)
        assert len(pool.threads) == 1
        pool.resize(4)
        assert len(pool.threads) == 4
        pool.resize(2)
        gate.set()
        assert all(call.wait() for call in calls)
        while len(pool.threads) > 2:
            eventlet.sleep(0.001)
        assert pool.execute(int, "7") == 7
    with pytest.raises(ValueError):
        pool.resize(0)
    with pytest.raises(ValueError):
        tpool.ThreadPool(0)


def test_a_call_within_a_call():
    with tpool.ThreadPool(1) as one, tpool.ThreadPool(1) as two:
        # In the same pool it is made on the spot, in another by another thread.
        assert one.execute(lambda: one.execute(threading.get_ident) == threading.get_ident())
        assert one.execute(lambda: two.execute(threading.get_ident) != threading.get_ident())


def test_killall_within_a_call():
    pool = tpool.ThreadPool(2)
    pool.execute(pool.killall)
    assert pool.execute(int, "7") == 7
    pool.killall()


def test_pools_are_freed():
    pool = tpool.ThreadPool(2)
    pool.execute(int)
    pool.killall()
    gone = weakref.ref(pool)
    del pool
    while gone() is not None:
        gc.collect()
        eventlet.sleep(0)


# ------------------------------------------------------------------------------------------------
# Executors


@pytest.fixture
def executor():
    with tpool.Executor(3) as executor:
        yield executor


def test_executor(executor):
    assert isinstance(executor, concurrent.futures.Executor)
    future = executor.submit(lambda a, b: (a, b, threading.get_ident()), 1, b=2)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result()[:2] == (1, 2)
    assert future.result()[2] != threading.get_ident()
    assert future.done()
    assert future.exception() is None


def test_executor_lets_others_run(executor):
    gate = threading.Event()
    future = executor.submit(gate.wait, LONG)
    waiters = [eventlet.spawn(future.result) for _ in range(3)]
    eventlet.sleep(0.01)
    assert not any(waiter.dead for waiter in waiters)
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(0.001)
    with pytest.raises(concurrent.futures.TimeoutError):
        future.exception(0)
    gate.set()
    assert [waiter.wait() for waiter in waiters] == [True] * 3


def test_executor_raises(executor):
    future = executor.submit(int, "x")
    with pytest.raises(ValueError):
        future.result()
    assert isinstance(future.exception(), ValueError)


def test_executor_map(executor):
    assert list(executor.map(lambda n: n * n, range(20))) == [n * n for n in range(20)]


def test_executor_futures_can_be_cancelled():
    gate = threading.Event()
    with tpool.Executor(1) as executor:
        first, second = executor.submit(gate.wait, LONG), executor.submit(int)
        while not first.running():
            eventlet.sleep(0)
        assert second.cancel()
        assert not first.cancel()
        with pytest.raises(concurrent.futures.CancelledError):
            second.result()
        gate.set()
        assert first.result()


def test_executor_shutdown():
    executor = tpool.Executor(1)
    gate = threading.Event()
    first, second = executor.submit(gate.wait, LONG), executor.submit(int)
    while not first.running():
        eventlet.sleep(0)
    executor.shutdown(wait=False, cancel_futures=True)
    assert second.cancelled()
    with pytest.raises(RuntimeError):
        executor.submit(int)
    waiting = eventlet.spawn(executor.shutdown)
    eventlet.sleep(0.01)
    assert not waiting.dead
    gate.set()
    waiting.wait()
    assert first.result()


def test_executor_with_the_functions_of_concurrent_futures(executor):
    futures = [executor.submit(int, n) for n in range(5)]
    done, _ = concurrent.futures.wait(futures)
    assert sorted(future.result() for future in done) == [0, 1, 2, 3, 4]
    assert {future.result() for future in concurrent.futures.as_completed(futures)} == {*range(5)}


def test_executor_for_asyncio(executor):
    async def main():
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(executor, int, "7")

    assert spawn_for_awaitable(main()).wait() == 7
    # In a loop that has its OS thread for itself.
    results = []
    thread = threading.Thread(target=lambda: results.append(asyncio.run(main())))
    thread.start()
    thread.join()
    assert results == [7]


@pytest.mark.parametrize("idle_seconds", [None, LONG])
def test_green_threads_of_a_pool_thread_run_between_calls(idle_seconds):
    with tpool.ThreadPool(1, idle_seconds) as pool:
        done = eventlet.Event()

        def later():
            for _ in range(3):
                eventlet.sleep(0.001)
            done.send(threading.get_ident())

        def call():
            eventlet.spawn(later)
            eventlet.sleep(0)
            return threading.get_ident()

        ident = pool.execute(call)
        with eventlet.Timeout(LONG):
            assert done.wait() == ident
        # And calls are made all the same.
        assert [pool.execute(int, n) for n in range(100)] == [*range(100)]
        calls = [eventlet.spawn(pool.execute, int, n) for n in range(100)]
        assert [call.wait() for call in calls] == [*range(100)]


def test_a_pool_thread_with_a_hub_ends_when_it_is_idle():
    with tpool.ThreadPool(2, 0.001) as pool:
        worker = pool.execute(lambda: eventlet.sleep(0) or current_worker())
        worker.join(LONG)
        assert not worker.is_alive()
        assert pool.execute(int, "3") == 3
