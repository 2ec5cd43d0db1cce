"""Attributes that each green thread has for itself."""

import gc
import threading
import weakref

import pytest
from greenlet import greenlet

import eventlet
from eventlet.corolocal import get_ident, local


def elsewhere(function):
    return eventlet.spawn(function).wait()


def test_each_green_thread_has_its_own():
    data = local()
    data.x = 1
    assert elsewhere(lambda: hasattr(data, "x")) is False

    def other():
        data.x = 2
        eventlet.sleep(0)
        return data.x, data.__dict__

    thread = eventlet.spawn(other)
    eventlet.sleep(0)
    assert data.x == 1
    assert thread.wait() == (2, {"x": 2})
    del data.x
    with pytest.raises(AttributeError):
        data.x  # noqa: B018
    with pytest.raises(AttributeError):
        del data.x


def test_each_os_thread_has_its_own():
    data = local()
    data.x = 1
    seen = []
    thread = threading.Thread(target=lambda: seen.append(hasattr(data, "x")))
    thread.start()
    thread.join()
    assert seen == [False]


def test_subclass():
    class Data(local):
        shared = []

        def __init__(self, start, *, step):
            self.value = start
            self.step = step
            self.shared.append(get_ident())

        def next(self):
            self.value += self.step
            return self.value

        @property
        def double(self):
            return 2 * self.value

    data = Data(1, step=2)
    assert [data.next(), data.next()] == [3, 5]
    assert elsewhere(data.next) == 3
    assert data.double == 10
    assert len(Data.shared) == 2
    assert isinstance(data, local)


def test_arguments_need_an_init():
    with pytest.raises(TypeError):
        local(1)

    class Plain(local):
        pass

    with pytest.raises(TypeError):
        Plain(x=1)


def test_attributes_end_with_their_green_thread():
    class Thing:
        pass

    data = local()
    seen = []

    def other():
        data.thing = Thing()
        seen.append(weakref.ref(data.thing))

    elsewhere(other)
    eventlet.sleep(0)
    gc.collect()
    assert seen[0]() is None


def test_locals_do_not_mix():
    one, two = local(), local()
    one.x = 1
    two.x = 2
    assert (one.x, two.x) == (1, 2)


def test_get_ident():
    assert get_ident() == get_ident() == threading.get_ident()
    assert get_ident(eventlet.getcurrent()) == get_ident(None) == get_ident()
    numbers = [elsewhere(get_ident) for _ in range(20)]
    # No number is used twice, though the memory of a green thread is.
    assert numbers == sorted({*numbers})
    assert get_ident() not in numbers
    with pytest.raises(TypeError):
        get_ident("main")


def test_get_ident_of_another():
    thread = eventlet.spawn(get_ident)
    number = get_ident(thread)
    assert thread.wait() == number == get_ident(thread)
    foreign = greenlet(get_ident)
    number = get_ident(foreign)
    assert foreign.switch() == number
    weak = weakref.ref(foreign)
    del foreign
    assert weak() is None


def test_get_ident_of_other_os_threads():
    greenlets = {}
    done = threading.Event()

    def run(hub):
        if hub:
            eventlet.hubs.get_hub()
        greenlets[hub] = eventlet.getcurrent(), get_ident()
        done.wait()

    threads = [threading.Thread(target=run, args=(hub,)) for hub in (False, True)]
    for thread in threads:
        thread.start()
    try:
        while len(greenlets) < 2:
            eventlet.sleep(0)
        main, number = greenlets[True]
        assert get_ident(main) == number == threads[True].ident
        main, number = greenlets[False]
        assert number == threads[False].ident
        with pytest.raises(ValueError, match="another OS thread"):
            get_ident(main)
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_an_init_that_fails_is_run_again():
    class Data(local):
        fail = False

        def __init__(self):
            if self.fail:
                raise ValueError
            self.value = 1

    data = Data()
    Data.fail = True

    def other():
        for _ in range(2):
            with pytest.raises(ValueError):
                data.value  # noqa: B018
        Data.fail = False
        return data.value

    assert elsewhere(other) == 1
