"""Pools of things that are lent out."""

import random

import pytest

import eventlet
from eventlet import hubs
from eventlet.pools import Pool, Token, TokenPool


class Stop(Exception):
    pass


class Numbers(Pool):
    last = 0

    def create(self):
        self.last += 1
        return self.last


def test_made_when_needed():
    pool = Numbers(max_size=2)
    assert pool.free() == 2
    assert pool.current_size == 0
    assert (pool.get(), pool.get()) == (1, 2)
    assert pool.free() == 0
    pool.put(1)
    assert pool.free() == 1
    assert pool.get() == 1
    assert pool.current_size == 2


def test_made_beforehand():
    pool = Numbers(min_size=2, max_size=3)
    assert list(pool.free_items) == [1, 2]
    assert pool.free() == 3


@pytest.mark.parametrize(("stack", "order"), [(False, [1, 2, 3]), (True, [3, 2, 1])])
def test_order(stack, order):
    pool = Numbers(max_size=3, order_as_stack=stack)
    for item in [pool.get() for _ in range(3)]:
        pool.put(item)
    assert [pool.get() for _ in range(3)] == order


def test_create_function():
    assert Pool(create=lambda: "made").get() == "made"
    with pytest.raises(NotImplementedError):
        Pool().get()


def test_create_that_fails_takes_no_place():
    def create():
        raise Stop

    pool = Pool(max_size=1, create=create)
    for _ in range(2):
        with pytest.raises(Stop):
            pool.get()
    assert pool.free() == 1


def test_create_that_waits_makes_no_more_than_allowed():
    made = []

    def create():
        made.append(1)
        eventlet.sleep(0)
        return len(made)

    pool = Pool(max_size=2, create=create)

    def use():
        with pool.item():
            eventlet.sleep(0)

    for thread in [eventlet.spawn(use) for _ in range(10)]:
        thread.wait()
    assert len(made) == 2
    assert pool.free() == 2


def test_waiters_are_served_in_order():
    pool = Numbers(max_size=1)
    item = pool.get()
    got = []

    def use(name):
        with pool.item() as value:
            got.append((name, value))

    threads = [eventlet.spawn(use, name) for name in range(4)]
    eventlet.sleep(0)
    assert pool.waiting() == 4
    pool.put(item)
    for thread in threads:
        thread.wait()
    assert got == [(name, 1) for name in range(4)]
    assert (pool.waiting(), pool.free()) == (0, 1)


def test_item_gives_back_after_an_exception():
    pool = Numbers(max_size=1)
    with pytest.raises(Stop), pool.item():
        raise Stop
    assert pool.free() == 1


def test_put_when_those_who_waited_have_given_up():
    pool = Numbers(max_size=1)
    item = pool.get()
    threads = [eventlet.spawn(pool.get) for _ in range(3)]
    eventlet.sleep(0)
    for thread in threads:
        hubs.get_hub().schedule_call_global(0, thread.throw)
    pool.put(item)
    assert list(pool.free_items) == [1]
    eventlet.sleep(0)
    assert (list(pool.free_items), pool.waiting(), pool.free()) == ([1], 0, 1)


def test_killed_in_get():
    pool = Numbers(max_size=1)
    item = pool.get()
    thread = eventlet.spawn(pool.get)
    eventlet.sleep(0)
    thread.kill()
    assert pool.waiting() == 0
    pool.put(item)
    assert pool.get() == 1


def test_resize():
    pool = Numbers(max_size=2)
    items = [pool.get(), pool.get()]
    pool.resize(1)
    for item in items:
        pool.put(item)
    assert pool.free() == 1
    assert pool.current_size == 1
    pool.resize(3)
    assert pool.free() == 3


def test_tokens():
    pool = TokenPool(max_size=2)
    first, second = pool.get(), pool.get()
    assert isinstance(first, Token)
    assert first is not second
    assert pool.free() == 0


@pytest.mark.parametrize("seed", range(4))
def test_items_are_neither_lost_nor_shared(seed):
    rng = random.Random(seed)
    pool = Numbers(max_size=3)
    lent = set()

    def use():
        while True:
            with pool.item() as item:
                assert item not in lent
                lent.add(item)
                try:
                    for _ in range(rng.randrange(3)):
                        eventlet.sleep(0)
                finally:
                    lent.discard(item)
            eventlet.sleep(0)

    threads = [eventlet.spawn(use) for _ in range(8)]
    with eventlet.Timeout(30):
        for _ in range(300):
            eventlet.sleep(0)
            victim = rng.randrange(len(threads))
            if rng.random() < 0.3:
                threads[victim].kill()
                threads[victim] = eventlet.spawn(use)
        for thread in threads:
            thread.kill()
    assert pool.free() == 3
    assert pool.waiting() == 0
