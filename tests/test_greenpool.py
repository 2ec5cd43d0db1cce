"""Pools of green threads: how many run, who waits, and the order of results."""

import random

import pytest

import eventlet
from eventlet import greenpool
from eventlet.greenpool import GreenMap, GreenPile, GreenPool


class Stop(Exception):
    pass


def blocked(pool, count, event):
    return [pool.spawn(event.wait) for _ in range(count)]


def test_size_is_checked():
    assert GreenPool().size == 1000
    assert GreenPool(1e3).size == 1000
    assert GreenPool(0).size == 0
    with pytest.raises(TypeError):
        GreenPool("many")
    with pytest.raises(ValueError):
        GreenPool(-1)


def test_spawn():
    pool = GreenPool(2)
    threads = [pool.spawn(lambda a, b=0: a + b, number, b=1) for number in range(5)]
    assert [thread.wait() for thread in threads] == [1, 2, 3, 4, 5]
    assert (pool.running(), pool.free(), pool.waiting()) == (0, 2, 0)


def test_no_more_than_so_many_at_a_time():
    pool = GreenPool(3)
    running = most = 0

    def work():
        nonlocal running, most
        running += 1
        most = max(most, running)
        eventlet.sleep(0)
        running -= 1

    for _ in range(20):
        pool.spawn_n(work)
    pool.waitall()
    assert (most, running) == (3, 0)


def test_counts():
    pool = GreenPool(2)
    done = eventlet.Event()
    threads = blocked(pool, 2, done)
    assert (pool.running(), pool.free(), pool.waiting()) == (2, 0, 0)
    assert pool.coroutines_running == set(threads)
    spawner = eventlet.spawn(pool.spawn, done.wait)
    eventlet.sleep(0)
    assert pool.waiting() == 1
    done.send(None)
    spawner.wait().wait()
    assert (pool.running(), pool.free(), pool.waiting()) == (0, 2, 0)


def test_spawners_are_served_in_order():
    pool = GreenPool(1)
    done = eventlet.Event()
    blocked(pool, 1, done)
    order = []
    spawners = [eventlet.spawn(pool.spawn, order.append, number) for number in range(5)]
    eventlet.sleep(0)
    done.send(None)
    for spawner in spawners:
        spawner.wait()
    pool.waitall()
    assert order == list(range(5))


def test_member_of_a_full_pool_calls_inline():
    pool = GreenPool(1)

    def outer():
        current = eventlet.getcurrent()
        inner = pool.spawn(lambda: eventlet.getcurrent())
        seen = []
        pool.spawn_n(seen.append, 1)
        return inner.wait() is current, seen

    assert pool.spawn(outer).wait() == (True, [1])


def test_inline_call_that_fails():
    pool = GreenPool(1)

    def fail():
        raise Stop

    def outer():
        with pytest.raises(Stop):
            pool.spawn(fail).wait()
        return "on"

    assert pool.spawn(outer).wait() == "on"


def test_member_of_a_pool_with_room_does_not():
    pool = GreenPool(2)

    def outer():
        return pool.spawn(eventlet.getcurrent).wait() is eventlet.getcurrent()

    assert pool.spawn(outer).wait() is False


def test_failure_frees_the_place(capsys):
    pool = GreenPool(1)

    def fail():
        raise Stop

    with pytest.raises(Stop):
        pool.spawn(fail).wait()
    pool.spawn_n(fail)
    pool.waitall()
    assert pool.free() == 1


def test_debug_decides_whether_failures_are_printed(capsys, monkeypatch):
    def fail():
        raise Stop("the reason")

    pool = GreenPool(1)
    pool.spawn_n(fail)
    pool.waitall()
    assert "the reason" in capsys.readouterr().err
    monkeypatch.setattr(greenpool, "DEBUG", False)
    pool.spawn_n(fail)
    pool.waitall()
    assert capsys.readouterr().err == ""


def test_killed_before_it_began_frees_the_place():
    pool = GreenPool(2)
    thread = pool.spawn(eventlet.sleep)
    pool.spawn_n(eventlet.sleep)
    for member in list(pool.coroutines_running):
        eventlet.kill(member)
    assert (pool.running(), pool.free()) == (0, 2)
    assert thread.dead
    pool.waitall()


def test_killed_while_running_frees_the_place():
    pool = GreenPool(1)
    thread = pool.spawn(eventlet.Event().wait)
    eventlet.sleep(0)
    thread.kill()
    assert (pool.running(), pool.free()) == (0, 1)


def test_killed_while_waiting_in_spawn():
    pool = GreenPool(1)
    done = eventlet.Event()
    blocked(pool, 1, done)
    spawner = eventlet.spawn(pool.spawn, done.wait)
    eventlet.sleep(0)
    spawner.kill()
    assert pool.waiting() == 0
    done.send(None)
    pool.waitall()
    assert (pool.running(), pool.free()) == (0, 1)


def test_killed_in_spawn_after_a_place_became_free():
    pool = GreenPool(1)
    done = eventlet.Event()
    (first,) = blocked(pool, 1, done)
    spawner = eventlet.spawn(pool.spawn, done.wait)
    eventlet.sleep(0)
    waiting = eventlet.spawn(pool.waitall)
    eventlet.sleep(0)
    done.send(None)
    first.wait()
    spawner.kill()
    with eventlet.Timeout(10):
        waiting.wait()
    assert (pool.running(), pool.free()) == (0, 1)


def test_waitall():
    pool = GreenPool(2)
    pool.waitall()
    log = []

    def work(number):
        eventlet.sleep(0)
        log.append(number)

    for number in range(4):
        pool.spawn(work, number)
    pool.waitall()
    assert log == [0, 1, 2, 3]
    pool.spawn(work, 4)
    pool.waitall()
    assert log[-1] == 4


def test_waitall_waits_for_those_who_wait_to_begin():
    pool = GreenPool(1)
    log = []

    def work(number):
        eventlet.sleep(0)
        log.append(number)

    pool.spawn_n(work, 0)
    spawners = [eventlet.spawn(pool.spawn_n, work, number) for number in (1, 2)]
    eventlet.sleep(0)
    pool.waitall()
    assert log == [0, 1, 2]
    for spawner in spawners:
        spawner.wait()


def test_waitall_of_a_member():
    pool = GreenPool(2)
    with pytest.raises(AssertionError):
        pool.spawn(pool.waitall).wait()


def test_resize_up_lets_waiters_go_on():
    pool = GreenPool(1)
    done = eventlet.Event()
    blocked(pool, 1, done)
    spawners = [eventlet.spawn(pool.spawn, done.wait) for _ in range(3)]
    eventlet.sleep(0)
    pool.resize(3)
    assert pool.size == 3
    for spawner in spawners[:2]:
        spawner.wait()
    assert (pool.running(), pool.waiting()) == (3, 1)
    done.send(None)
    spawners[2].wait()
    pool.waitall()
    assert pool.free() == 3


def test_resize_down():
    pool = GreenPool(3)
    done = eventlet.Event()
    blocked(pool, 3, done)
    pool.resize(1)
    assert pool.free() == -2
    done.send(None)
    pool.waitall()
    assert pool.free() == 1


def test_the_counter_of_the_semaphore_may_be_changed():
    pool = GreenPool(3)
    pool.sem.counter -= 2
    assert pool.free() == 1
    pool.spawn(eventlet.sleep)
    pool.waitall()
    pool.sem.counter += 2
    assert pool.free() == 3


def test_imap_and_starmap():
    pool = GreenPool(3)
    assert list(pool.imap(lambda a, b: a * b, range(10), range(10))) == [n * n for n in range(10)]
    assert list(pool.starmap(lambda a, b: (b, a), [(1, 2), (3, 4)])) == [(2, 1), (4, 3)]
    assert list(pool.imap(None, range(3))) == [(0,), (1,), (2,)]
    results = pool.imap(str, [])
    assert isinstance(results, GreenMap)
    for _ in range(2):
        with pytest.raises(StopIteration):
            results.next()


def test_imap_keeps_the_order():
    pool = GreenPool(4)
    rng = random.Random(1)

    def work(number):
        for _ in range(rng.randrange(4)):
            eventlet.sleep(0)
        return number

    assert list(pool.imap(work, range(100))) == list(range(100))


def test_imap_goes_on_after_an_exception():
    def work(number):
        if number % 3 == 1:
            raise Stop(number)
        return number

    results = GreenPool(2).imap(work, range(6))
    seen = []
    while True:
        try:
            seen.append(next(results))
        except Stop:
            seen.append("stop")
        except StopIteration:
            break
    assert seen == [0, "stop", 2, 3, "stop", 5]


def test_imap_of_an_iterable_that_fails():
    def numbers():
        yield 1
        raise Stop

    results = GreenPool(2).imap(int, numbers())
    assert next(results) == 1
    with pytest.raises(Stop):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_imap_reads_no_more_than_it_needs():
    read = 0

    def numbers():
        nonlocal read
        while True:
            read += 1
            yield read

    results = GreenPool(3).imap(int, numbers())
    for _ in range(20):
        eventlet.sleep(0)
    before = read
    assert before <= 8
    assert [next(results) for _ in range(10)] == list(range(1, 11))
    for _ in range(20):
        eventlet.sleep(0)
    assert read <= before + 10


def test_pile():
    pile = GreenPile(3)
    for number in range(10):
        pile.spawn(lambda n: n * 2, number)
    assert list(pile) == [number * 2 for number in range(10)]
    assert pile.counter == 0
    assert list(pile) == []


def test_piles_share_a_pool():
    pool = GreenPool(2)
    piles = [GreenPile(pool), GreenPile(pool)]
    for number in range(4):
        for pile in piles:
            pile.spawn(int, number)
    assert piles[0].pool is piles[1].pool is pool
    assert [list(pile) for pile in piles] == [[0, 1, 2, 3]] * 2


def test_pile_after_a_spawn_that_was_interrupted():
    pile = GreenPile(1)
    done = eventlet.Event()
    pile.spawn(done.wait)
    with pytest.raises(Stop):
        with eventlet.Timeout(0.001, Stop):
            pile.spawn(int)
    assert pile.counter == 1
    done.send("x")
    assert list(pile) == ["x"]


def test_pile_raises_in_its_place():
    pile = GreenPile(2)

    def fail():
        raise Stop

    pile.spawn(fail)
    pile.spawn(int)
    with pytest.raises(Stop):
        pile.next()
    assert pile.next() == 0
    with pytest.raises(StopIteration):
        pile.next()


@pytest.mark.parametrize("seed", range(4))
def test_places_are_neither_lost_nor_made(seed):
    rng = random.Random(seed)
    pool = GreenPool(3)
    running = 0

    def work():
        nonlocal running
        running += 1
        assert running <= 3
        try:
            for _ in range(rng.randrange(4)):
                eventlet.sleep(0)
        finally:
            running -= 1

    def spawner():
        while True:
            rng.choice([pool.spawn, pool.spawn_n])(work)

    spawners = [eventlet.spawn(spawner) for _ in range(4)]
    with eventlet.Timeout(30):
        for _ in range(300):
            eventlet.sleep(0)
            if rng.random() < 0.3:
                victim = rng.randrange(4)
                spawners[victim].kill()
                spawners[victim] = eventlet.spawn(spawner)
            if rng.random() < 0.2 and pool.coroutines_running:
                eventlet.kill(rng.choice(list(pool.coroutines_running)))
            assert 0 <= pool.free() <= 3
        for thread in spawners:
            thread.kill()
        pool.waitall()
    assert (running, pool.running(), pool.free(), pool.waiting()) == (0, 0, 3, 0)
