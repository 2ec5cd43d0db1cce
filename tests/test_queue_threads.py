"""Queues that several OS threads use."""

import threading

import pytest

import eventlet
from eventlet.queue import Queue
from support.queues import FIFO


def across(work_here, work_there):
    """Run the one here and the other in an OS thread with a hub of its own."""
    outcome = []

    def run():
        try:
            outcome.append(work_there())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        with eventlet.Timeout(30):
            result = work_here()
            while thread.is_alive():
                eventlet.sleep(0)
    finally:
        thread.join(10)
    return result, outcome[0]


@pytest.mark.parametrize("cls", FIFO)
@pytest.mark.parametrize("maxsize", [None, 0, 1, 3])
def test_across_os_threads(cls, maxsize):
    queue = cls(maxsize)
    count = 300

    def put():
        for item in range(count):
            queue.put(item)

    def get():
        return [queue.get() for _ in range(count)]

    assert across(put, get)[1] == list(range(count))
    assert across(get, put)[0] == list(range(count))


def test_many_on_both_sides_of_two_os_threads():
    queue = Queue(2)
    back = Queue()
    each, workers = 60, 3

    def run(first):
        def put(start):
            for item in range(start, start + each):
                queue.put(item)

        def get():
            for _ in range(each):
                back.put(queue.get())

        threads = []
        for number in range(workers):
            threads.append(eventlet.spawn(put, first + number * each))
            threads.append(eventlet.spawn(get))
        for thread in threads:
            thread.wait()

    across(lambda: run(0), lambda: run(workers * each))
    total = 2 * workers * each
    assert sorted(back.get_nowait() for _ in range(total)) == list(range(total))
    assert queue.empty()
    assert back.empty()
    assert queue.getting() == queue.putting() == 0


def test_an_os_thread_without_a_hub_may_wait():
    queue = Queue()
    assert across(lambda: queue.put("x"), queue.get) == (None, "x")
