"""Green threads that hand work to and fro without a break keep nobody else from running."""

import os
import signal
import socket
import threading

import pytest

import eventlet
from eventlet import hubs
from eventlet.event import Event
from eventlet.queue import Queue
from eventlet.semaphore import Semaphore


@pytest.fixture
def busy():
    """Two green threads that pass a ball for as long as the test lasts, never through the hub."""
    there, back = Queue(), Queue()
    passes = [0]

    def echo():
        while True:
            back.put(there.get())

    def ask():
        while True:
            there.put(1)
            back.get()
            passes[0] += 1

    threads = [eventlet.spawn(echo), eventlet.spawn(ask)]
    with eventlet.Timeout(10):
        while passes[0] < 10:
            eventlet.sleep(0)
        yield passes
    for thread in threads:
        thread.kill()


def test_turns_and_polls_go_on(busy):
    hub = hubs.get_hub()
    before, passed = hub.stats(), busy[0]
    while busy[0] < passed + 100:
        eventlet.sleep(0)
    after = hub.stats()
    # A pass takes two rounds, and each round has its poll.
    assert after["turns"] - before["turns"] >= 100
    assert after["polls"] - before["polls"] >= 100


def test_timers_fire(busy):
    event = Event()
    hubs.get_hub().schedule_call_global(0.005, event.send, "x")
    assert event.wait() == "x"
    eventlet.sleep(0.005)


def test_new_green_threads_start(busy):
    assert eventlet.spawn(lambda: 5).wait() == 5


def test_descriptors_are_polled(busy):
    left, right = socket.socketpair()
    with left, right:
        right.send(b"x")
        hubs.trampoline(left, read=True, timeout=5)
        assert left.recv(1) == b"x"


def test_calls_from_other_os_threads_arrive(busy):
    event = Event()
    thread = threading.Thread(target=event.send, args=("x",))
    thread.start()
    assert event.wait() == "x"
    thread.join()


def test_a_callback_that_resumes_a_green_thread_goes_on(busy):
    """It runs in the hub, which must get back to it although there is always something to do."""
    log = []
    semaphore = Semaphore(0)

    def waiter():
        eventlet.getcurrent().parent.switch()
        log.append("resumed")
        semaphore.acquire()

    green_thread = eventlet.spawn(waiter)
    eventlet.sleep(0)

    def callback():
        passed = busy[0]
        green_thread.switch()
        log.append(busy[0] - passed)

    hubs.get_hub().schedule_call_global(0, callback)
    while len(log) < 2:
        eventlet.sleep(0)
    assert log[0] == "resumed"
    assert log[1] <= 2
    green_thread.kill()


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs SIGUSR1")
def test_signals_are_handled(busy):
    event = Event()
    old = signal.signal(signal.SIGUSR1, lambda *_: event.send("x"))
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert event.wait() == "x"
    finally:
        signal.signal(signal.SIGUSR1, old)


def test_interrupt_reaches_the_main_greenlet(busy):
    hubs.get_hub().schedule_call_global(0.005, signal.raise_signal, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        eventlet.sleep(5)


def test_abort_ends_the_loop():
    there, back = Queue(), Queue()
    ended = []

    def run():
        hub = hubs.get_hub()

        def echo():
            while True:
                back.put(there.get())

        def ask():
            for number in range(10**9):
                there.put(number)
                back.get()
                if number == 50:
                    hub.abort()

        threads = [eventlet.spawn(echo), eventlet.spawn(ask)]
        hub.run()
        ended.append(hub.running)
        for thread in threads:
            thread.kill()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(10)
    assert ended == [False]


def test_order_within_rounds():
    """What is woken in a round runs in the next, after what was queued for that before."""
    log = []
    semaphores = [Semaphore(0) for _ in range(3)]

    def work(number):
        for turn in range(3):
            semaphores[number].acquire()
            log.append((turn, number))
            semaphores[number].release()
            eventlet.sleep(0)

    threads = [eventlet.spawn(work, number) for number in range(3)]
    eventlet.sleep(0)
    for semaphore in semaphores:
        semaphore.release()
    for thread in threads:
        thread.wait()
    assert log == [(turn, number) for turn in range(3) for number in range(3)]
