"""Attributes that each green thread has for itself."""

import gc
import sys
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


def test_attributes_that_refer_to_their_green_thread_end_with_it():
    class Thing:
        pass

    data = local()
    seen = []

    def other():
        data.me = eventlet.getcurrent()
        data.thing = Thing()
        seen.append(weakref.ref(data.thing))

    for spawn in (eventlet.spawn, eventlet.spawn_n):
        thread = spawn(other)
        eventlet.sleep(0)
        # At once, and though somebody still has the green thread.
        assert thread.dead
        assert seen.pop()() is None


def test_links_of_a_green_thread_see_its_attributes():
    data = local()
    seen = []
    thread = eventlet.spawn(setattr, data, "x", 1)
    thread.link(lambda _thread: seen.append(data.x))
    thread.wait()
    eventlet.sleep(0)
    assert seen == [1]


def test_attributes_end_with_the_local_in_all_green_threads():
    class Thing:
        pass

    seen = []
    locals_ = [local()]

    def other():
        data = locals_[0]
        data.thing = Thing()
        seen.append(weakref.ref(data.thing))
        del data
        eventlet.sleep(10)

    threads = [eventlet.spawn(other) for _ in range(3)]
    eventlet.sleep(0)
    assert all(ref() for ref in seen)
    locals_.clear()
    assert not any(ref() for ref in seen)
    for thread in threads:
        thread.kill()


def test_a_destructor_that_uses_the_local():
    data = local()

    class Thing:
        def __del__(self):
            data.count = getattr(data, "count", 0) + 1
            eventlet.sleep(0)
            data.count += 1

    def other():
        data.thing = Thing()
        data.thing = None
        eventlet.sleep(0)
        data.thing = Thing()
        count = data.count
        del data.thing
        return count, data.count

    threads = [eventlet.spawn(other) for _ in range(3)]
    assert [thread.wait() for thread in threads] == [(2, 4)] * 3
    assert not hasattr(data, "count")


def test_a_green_thread_does_not_see_what_one_at_the_same_address_left():
    data = local()
    kept = []

    def other():
        kept.append(vars(eventlet.getcurrent()))
        found = vars(data).copy()
        data.x = 1
        return found

    for _ in range(20):
        # Raw greenlets: what they have ends when they are freed.
        assert greenlet(other).switch() == {}


def test_the_dictionary():
    data = local()
    data.x = 1
    assert vars(data) == data.__dict__ == {"x": 1}
    assert elsewhere(lambda: vars(data)) == {}
    vars(data)["y"] = 2
    assert data.y == 2
    with pytest.raises(AttributeError, match="read-only"):
        data.__dict__ = {}
    with pytest.raises(AttributeError, match="read-only"):
        del data.__dict__
    assert data.y == 2


def test_slots_and_attributes_of_the_class():
    class Data(local):
        __slots__ = ("common",)
        default = 5

        def __getattr__(self, name):
            return name.upper()

    data = Data()
    data.common = 1
    assert elsewhere(lambda: data.common) == 1
    assert data.default == 5
    data.default = 6
    assert elsewhere(lambda: data.default) == 5
    assert data.missing == "MISSING"
    with pytest.raises(TypeError):
        data[1]


def test_many_short_green_threads_leave_nothing():
    data = local()
    main = vars(eventlet.getcurrent())
    for _ in range(500):
        elsewhere(lambda: setattr(data, "x", [1]))
    for _ in range(500):
        local().x = 1
    keeper = main["_eventlet_locals"]
    assert gc.get_referents(data).count({"x": [1]}) == 0
    assert sys.getrefcount(keeper) == 3


def test_a_local_is_collected_with_what_refers_to_it():
    class Data(local):
        def __init__(self, note):
            self.note = note

    note = []
    data = Data(note)
    note.append(data)
    data.self = data
    weak = weakref.ref(data)
    del data, note
    gc.collect()
    assert weak() is None
