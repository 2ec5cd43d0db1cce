"""Choosing a hub."""

import gc
import os
import types
import weakref

import pytest

import eventlet
from eventlet import _core, hubs
from eventlet.event import Event
from eventlet.hubs import IOClosed
from eventlet.hubs.hub import BaseHub
from support.hubs import AVAILABLE, BACKENDS, Failure


@pytest.fixture
def own_hub():
    """Puts a default hub back."""
    yield
    hubs.use_hub()


@pytest.mark.parametrize("name", AVAILABLE)
def test_use_hub_forms(own_hub, name):
    module = __import__(f"eventlet.hubs.{name}").hubs
    module = getattr(module, name)
    for form in (
        name,
        f" {name} ",
        module,
        module.Hub,
        module.__name__,
        f"eventlet.hubs.{name}:Hub",
    ):
        before = hubs.get_hub()
        hubs.use_hub(form)
        hub = hubs.get_hub()
        assert type(hub) is module.Hub
        assert hub is not before
        assert hub is hubs.get_hub()
        assert hub.backend == BACKENDS[name]
        assert f"eventlet.hubs.{name}.Hub" in repr(hub)
        assert eventlet.spawn(int, "1").wait() == 1


def test_use_hub_by_default(own_hub, monkeypatch):
    default = hubs.get_default_hub()
    assert isinstance(default, types.ModuleType)
    monkeypatch.delenv("EVENTLET_HUB", raising=False)
    hubs.use_hub()
    assert type(hubs.get_hub()) is default.Hub
    monkeypatch.setenv("EVENTLET_HUB", "selects")
    hubs.use_hub()
    assert hubs.get_hub().backend == "select"
    monkeypatch.setenv("EVENTLET_HUB", "")
    hubs.use_hub()
    assert type(hubs.get_hub()) is default.Hub


def test_use_hub_with_a_class_of_the_program(own_hub):
    class Mine(hubs.get_default_hub().Hub):
        reported = ()

        def squelch_generic_exception(self, exc_info):
            self.reported += (exc_info,)

    def fail():
        raise Failure

    hubs.use_hub(Mine)
    hub = hubs.get_hub()
    assert type(hub) is Mine
    assert isinstance(hub, BaseHub)
    with pytest.raises(Failure):
        eventlet.spawn(fail).wait()
    ((kind, value, traceback),) = hub.reported
    assert (kind, type(value)) == (Failure, Failure)
    assert traceback is not None


@pytest.mark.parametrize("wrong", ["", "  ", "nonsense", "no.such:Hub", 5, types.ModuleType("m")])
def test_use_hub_with_nonsense(own_hub, wrong):
    before = hubs.get_hub()
    with pytest.raises((RuntimeError, AttributeError)):
        hubs.use_hub(wrong)
    assert hubs.get_hub() is before


def test_use_hub_that_is_not_available(own_hub):
    for name in set(BACKENDS) - set(AVAILABLE):
        with pytest.raises(RuntimeError):
            hubs.use_hub(name)
        with pytest.raises(ValueError, match="this platform has no"):
            _core.Hub(BACKENDS[name])


@pytest.mark.parametrize("name", AVAILABLE)
def test_environment_variable(run_python, name):
    code = """
from eventlet import hubs
import eventlet
print(type(hubs.get_hub()).__module__, eventlet.spawn(int, "5").wait())
"""
    done = run_python(code, env={"EVENTLET_HUB": name})
    assert done.stdout.split() == [f"eventlet.hubs.{name}", "5"]


def test_environment_variable_with_nonsense(run_python):
    code = """
import eventlet
try:
    eventlet.sleep(0)
except RuntimeError as error:
    print(error)
"""
    done = run_python(code, env={"EVENTLET_HUB": "nonsense"})
    assert "'nonsense'" in done.stdout


def test_names():
    for name in hubs.builtin_hub_names:
        assert name in BACKENDS
    assert issubclass(IOClosed, OSError)
    assert BaseHub.READ == "read"
    assert BaseHub.WRITE == "write"


def test_attributes_may_be_replaced(hub, monkeypatch):
    calls = []
    monkeypatch.setattr(hub, "mark_as_reopened", calls.append)
    hubs.notify_opened(7)
    assert calls == [7]
    assert weakref.ref(hub)() is hub


def test_green_threads_of_a_hub_that_was_replaced(own_hub):
    # Timers are lost, as documented. Who waits for another green thread finds the new hub.
    event = Event()
    log = []

    def waiter():
        log.append(event.wait())
        eventlet.sleep(0.001)
        log.append(eventlet.getcurrent().parent is hubs.get_hub().greenlet)
        return "over"

    old = eventlet.spawn(waiter)
    sleeper = eventlet.spawn(eventlet.sleep, 0.001)
    eventlet.sleep(0)
    hubs.use_hub()
    new = eventlet.spawn(event.wait)
    eventlet.sleep(0)
    event.send(5)
    assert new.wait() == 5
    assert old.wait() == "over"
    assert log == [5, True]
    eventlet.sleep(0.005)
    assert not sleeper.dead
    sleeper.kill()
    assert sleeper.dead


def test_replacing_the_hub_from_a_green_thread(own_hub):
    log = []

    def replace():
        hubs.use_hub()
        eventlet.sleep(0.001)
        log.append(eventlet.getcurrent().parent is hubs.get_hub().greenlet)
        main.switch()

    main = eventlet.getcurrent()
    eventlet.spawn(replace)
    eventlet.sleep(60)
    assert log == [True]


def test_replaced_hubs_are_freed(own_hub):
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        hubs.use_hub()
        eventlet.spawn(int).wait()
        hubs.get_hub().schedule_call_global(60, print)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 2
