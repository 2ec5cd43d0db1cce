"""Green threads that wait for one another's results."""

import pickle

import pytest

import eventlet
from eventlet.coros import metaphore
from eventlet.dagpool import Collision, DAGPool, PropagateError


class Stop(Exception):
    pass


def collect(key, results, *args, **kw):
    return key, dict(results), args, kw


def test_a_diamond():
    log = []

    def work(key, results):
        needed = dict(results)
        log.append(key)
        return key + "".join(sorted(needed.values()))

    pool = DAGPool()
    pool.spawn_many({"d": "bc", "b": "a", "c": "a"}, work)
    assert pool.waiting_for() == {"d": {"b", "c"}, "b": {"a"}, "c": {"a"}}
    assert (pool.running(), pool.waiting()) == (3, 3)
    assert set(pool.running_keys()) == set("bcd")
    pool.spawn("a", (), work)
    assert pool.waitall() == {"a": "a", "b": "ba", "c": "ca", "d": "dbaca"}
    assert log[0] == "a"
    assert log[-1] == "d"
    assert (pool.running(), pool.waiting(), pool.waiting_for("d")) == (0, 0, set())


def test_arguments():
    pool = DAGPool({"a": 1})
    pool.spawn("b", ["a"], collect, 2, x=3)
    assert pool["b"] == ("b", {"a": 1}, (2,), {"x": 3})


@pytest.mark.parametrize("preload", [{"a": 1}, [("a", 1)], iter([("a", 1)])])
def test_preload(preload):
    pool = DAGPool(preload)
    if isinstance(preload, dict):
        preload["b"] = 2
    assert pool.waitall() == {"a": 1}
    assert (pool.keys(), pool.items()) == (("a",), (("a", 1),))
    assert pool.get("a") == 1
    assert pool.get("b", "none") == "none"


def test_results_come_as_they_become_available():
    pool = DAGPool()
    seen = []

    def consume(key, results):
        for pair in results:
            seen.append(pair)

    pool.spawn("c", "ab", consume)
    eventlet.sleep(0)
    pool.post("b", 2)
    eventlet.sleep(0)
    assert seen == [("b", 2)]
    assert pool.waiting_for("c") == {"a"}
    pool.post("a", 1)
    assert pool["c"] is None
    assert seen == [("b", 2), ("a", 1)]


def test_collisions():
    pool = DAGPool({"a": 1})
    for key in "ab":
        if key == "b":
            pool.spawn("b", "x", collect)
        with pytest.raises(Collision):
            pool.spawn(key, (), collect)
        with pytest.raises(Collision):
            pool.post(key, 1)
    pool.post("a", 2, replace=True)
    assert pool["a"] == 2


def test_a_green_thread_may_post_its_own_value():
    pool = DAGPool()

    def work(key, results):
        pool.post(key, "posted")
        eventlet.sleep(0)
        return "returned"

    pool.spawn("a", (), work)
    assert pool["a"] == "posted"
    eventlet.sleep(0)
    eventlet.sleep(0)
    assert (pool["a"], pool.running()) == ("posted", 0)


def test_failure_travels():
    def fail(key, results):
        raise Stop("reason")

    pool = DAGPool()
    pool.spawn("a", (), fail)
    pool.spawn("b", "a", collect)
    pool.spawn("c", (), collect)
    with pytest.raises(PropagateError) as caught:
        pool["b"]
    error = caught.value
    assert (error.key, error.exc.key) == ("b", "a")
    assert isinstance(error.exc.exc, Stop)
    assert str(error.exc) == "PropagateError(a): Stop: reason"
    assert dict(pool.wait_each_success())["c"] == ("c", {}, (), {})
    assert set(dict(pool.wait_each_exception())) == {"a", "b"}
    for ask in (pool.waitall, pool.items, lambda: pool.get("a"), lambda: list(pool.wait_each("a"))):
        with pytest.raises(PropagateError):
            ask()
    assert pool.wait("c") == {"c": ("c", {}, (), {})}
    assert pickle.loads(pickle.dumps(error.exc)).key == "a"


def test_kill():
    pool = DAGPool()
    with pytest.raises(KeyError):
        pool.kill("a")
    pool.spawn("a", "x", collect)
    eventlet.sleep(0)
    pool.kill("a")
    assert pool.running() == 0
    pool.spawn("b", (), collect)
    pool.kill("b")
    pool.spawn("b", (), collect)
    pool.post("a", 1)
    assert pool["a"] == 1
    assert pool["b"][0] == "b"


def test_waiting_for_an_unknown_key():
    with pytest.raises(KeyError):
        DAGPool().waiting_for("a")


def test_waiting_for_nothing():
    assert list(DAGPool().wait_each(())) == []
    assert DAGPool().waitall() == {}


def test_metaphore():
    count = metaphore()
    count.wait()
    with pytest.raises(AssertionError):
        count.inc(0)
    with pytest.raises(AssertionError):
        count.dec(0)
    count.inc(2)
    waiter = eventlet.spawn(count.wait)
    eventlet.sleep(0)
    count.dec()
    eventlet.sleep(0)
    assert not waiter.dead
    count.dec()
    waiter.wait()
    count.inc()
    assert count.counter == 1
    count.dec(5)
    assert count.counter == 0
    count.wait()
