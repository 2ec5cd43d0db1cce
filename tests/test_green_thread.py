"""eventlet.green.thread: the module `_thread` over green threads."""

import _thread
import sys
import threading

import greenlet
import pytest

import eventlet
import eventlet.corolocal
from eventlet.green import thread
from eventlet.lock import Lock, RLock


def test_a_thread_is_a_green_thread():
    seen = []

    def run(*args, **kwargs):
        seen.append((thread.get_ident(), threading.get_native_id(), args, kwargs))

    before = thread._count()
    first = thread.start_new_thread(run, (1, 2), {"x": 3})
    second = thread.start_new(run, ())
    assert not seen
    eventlet.sleep(0)
    native = threading.get_native_id()
    assert seen == [(first, native, (1, 2), {"x": 3}), (second, native, (), {})]
    assert first != second != thread.get_ident() == _thread.get_ident()
    assert thread._count() == before


@pytest.mark.parametrize(
    "args",
    [(None, ()), (len, []), (len, (), []), (), (len,)],
    ids=["function", "args", "kwargs", "none", "one"],
)
def test_what_makes_no_thread(args):
    for module in (_thread, thread):
        with pytest.raises(TypeError):
            module.start_new_thread(*args)


def test_it_counts_those_that_run():
    before = thread._count()
    go = eventlet.Event()
    thread.start_new_thread(go.wait, ())
    eventlet.sleep(0)
    assert thread._count() == before + 1
    go.send()
    eventlet.sleep(0)
    assert thread._count() == before


@pytest.mark.parametrize("leave", [thread.exit, thread.exit_thread, sys.exit])
def test_a_thread_may_leave(leave, capsys):
    reached = []

    def run():
        leave()
        reached.append(1)

    thread.start_new_thread(run, ())
    eventlet.sleep(0)
    assert not reached
    assert capsys.readouterr().err == ""


def test_leaving_in_other_places():
    with pytest.raises(SystemExit):
        thread.exit()
    # That would end the program.
    with pytest.raises(greenlet.GreenletExit):
        eventlet.spawn(thread.exit).wait()


def test_an_exception_is_reported(capsys):
    def fail():
        raise ValueError("seen")

    thread.start_new_thread(fail, ())
    eventlet.sleep(0)
    assert "ValueError: seen" in capsys.readouterr().err


def test_locks():
    lock = thread.allocate_lock()
    assert isinstance(lock, thread.LockType)
    assert isinstance(thread.allocate(), Lock)
    assert isinstance(thread.RLock(), RLock)
    assert lock.acquire()
    assert lock.locked()
    waiter = eventlet.spawn(lock.acquire, True, 5)
    eventlet.sleep(0)
    lock.release()
    assert waiter.wait() is True
    with pytest.raises(thread.error):
        thread.allocate_lock().release()


def test_identities_are_never_used_twice():
    idents = {eventlet.spawn(thread.get_ident).wait() for _ in range(100)}
    assert len(idents) == 100
    green = eventlet.spawn(thread.get_ident)
    assert thread.get_ident(green) == green.wait()


@pytest.mark.skipif(not hasattr(_thread, "_set_sentinel"), reason="since 3.13 there are handles")
def test_a_sentinel_is_released_at_the_end():
    locks = []

    def run():
        locks.append(thread._set_sentinel())
        locks[0].acquire()
        eventlet.sleep(0)

    thread.start_new_thread(run, ())
    eventlet.sleep(0)
    assert locks[0].locked()
    locks[0].acquire()


@pytest.mark.skipif(not hasattr(_thread, "_ThreadHandle"), reason="new in 3.13")
def test_handles():
    go = eventlet.Event()
    handle = thread._ThreadHandle()
    assert (handle.ident, handle.is_done()) == (0, False)
    with pytest.raises(RuntimeError, match="not started"):
        handle.join()
    idents = []

    def run():
        idents.append(thread.get_ident())
        with pytest.raises(RuntimeError, match="current"):
            handle.join()
        go.wait()

    assert thread.start_joinable_thread(run, handle=handle) is handle
    with pytest.raises(RuntimeError, match="already started"):
        thread.start_joinable_thread(run, handle=handle)
    handle.join(0.001)
    assert not handle.is_done()
    go.send()
    handle.join(-1)
    assert handle.is_done()
    handle.join()
    assert idents == [handle.ident]
    assert thread.start_joinable_thread(int).ident != handle.ident
    with pytest.raises(TypeError):
        thread.start_joinable_thread(None)
    eventlet.sleep(0)


def test_the_rest_is_the_standard_module():
    assert {name for name in dir(_thread) if not name.startswith("__")} <= {*dir(thread)}
    assert thread.TIMEOUT_MAX == _thread.TIMEOUT_MAX
    assert issubclass(thread._local, eventlet.corolocal.local)
    missing = [name for name in thread.__patched__ if not hasattr(_thread, name)]
    assert missing == []
