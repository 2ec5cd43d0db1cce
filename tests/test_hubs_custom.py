"""Hubs that programs write in Python, and native ones of which they replace parts."""

import gc
import os
import select
import socket
import threading
import time
import traceback

import greenlet
import pytest

import eventlet
from eventlet import debug, greenthread, hubs, wsgi
from eventlet.event import Event
from eventlet.hubs import IOClosed, epolls, hub, timer, trampoline
from eventlet.queue import Queue
from eventlet.semaphore import Semaphore


class SelectHub(hub.BaseHub):
    """A hub as programs write them: it defines how to wait."""

    def wait(self, seconds=None):
        readers, writers = self.listeners[self.READ], self.listeners[self.WRITE]
        if not readers and not writers:
            time.sleep(seconds or 0)
            return
        ready, room, _ = select.select(list(readers), list(writers), [], seconds)
        for found, listeners in ((ready, readers), (room, writers)):
            for fileno in found:
                try:
                    listeners.get(fileno, hub.noop).cb(fileno)
                except self.SYSTEM_EXCEPTIONS:
                    raise
                except BaseException as error:
                    self.squelch_exception(fileno, (type(error), error, error.__traceback__))


class CountingHub(SelectHub):
    """Notes what is asked of it."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def add(self, evtype, fileno, *args):
        self.asked.append((evtype, fileno))
        return super().add(evtype, fileno, *args)

    def remove(self, listener):
        self.asked.append(("remove", listener.fileno))
        super().remove(listener)

    def switch(self):
        self.asked.append("switch")
        return super().switch()

    def schedule_call_global(self, seconds, *args, **kw):
        self.asked.append("schedule")
        return super().schedule_call_global(seconds, *args, **kw)


class TimersOnly(hub.BaseHub):
    """Knows nothing of descriptors."""

    def wait(self, seconds=None):
        time.sleep(seconds or 0)


class Stranger:
    """A hub that owes nothing to BaseHub but what it needs."""

    READ, WRITE = "read", "write"

    def __init__(self):
        self.greenlet = greenlet.greenlet(self.run)
        self.calls = []

    def run(self, *_args):
        while True:
            calls, self.calls = self.calls, []
            for due, function, args in calls:
                if due > time.monotonic():
                    self.calls.append((due, function, args))
                else:
                    function(*args)
            time.sleep(0.0001)

    def schedule_call_global(self, seconds, function, *args):
        self.calls.append((time.monotonic() + seconds, function, args))

    def switch(self):
        current = greenlet.getcurrent()
        if self.greenlet.parent is not current:
            current.parent = self.greenlet
        return self.greenlet.switch()


class Observed(epolls.Hub):
    """A native hub that notes what is asked of it."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def add(self, evtype, fileno, *args):
        self.asked.append((evtype, fileno))
        return super().add(evtype, fileno, *args)

    def remove(self, listener):
        self.asked.append(("remove", listener.fileno))
        super().remove(listener)

    def switch(self):
        self.asked.append("switch")
        return super().switch()

    def wait(self, seconds=None):
        self.asked.append("wait")
        super().wait(seconds)

    def run(self, *args, **kw):
        self.asked.append("run")
        super().run(*args, **kw)


ALL = [SelectHub, CountingHub, TimersOnly, Stranger, Observed]
WITH_DESCRIPTORS = [SelectHub, CountingHub, Observed]


def install(kind):
    hubs.use_hub(kind)
    return hubs.get_hub()


@pytest.fixture(params=ALL)
def any_hub(request):
    yield install(request.param)
    hubs.use_hub()


@pytest.fixture(params=WITH_DESCRIPTORS)
def full_hub(request):
    own = install(request.param)
    with eventlet.Timeout(20):
        yield own
    hubs.use_hub()


@pytest.fixture
def own_hub():
    """Puts a default hub back."""
    yield
    hubs.use_hub()


@pytest.fixture
def pair():
    left, right = socket.socketpair()
    yield left, right
    left.close()
    right.close()


# ------------------------------------------------------------------------------------------------
# Everything works on them


def test_is_the_hub(any_hub):
    assert type(any_hub) in ALL
    assert hubs.get_hub() is any_hub


def test_native_hubs_are_hubs():
    for name in hubs.builtin_hub_names:
        module = __import__(f"eventlet.hubs.{name}", fromlist=["Hub"])
        assert issubclass(module.Hub, hub.BaseHub)


def test_any_class(own_hub):
    class Any:
        pass

    hubs.use_hub(Any)
    assert isinstance(hubs.get_hub(), Any)


def test_sleep(any_hub):
    started = time.monotonic()
    log = []

    def sleeper(seconds):
        eventlet.sleep(seconds)
        log.append(seconds)

    threads = [eventlet.spawn(sleeper, seconds) for seconds in (0.02, 0.001, 0)]
    eventlet.sleep(0.04)
    assert log == [0, 0.001, 0.02]
    assert time.monotonic() - started >= 0.04
    assert all(thread.dead for thread in threads)


def test_spawn_and_wait(any_hub):
    assert eventlet.spawn(int, "5").wait() == 5
    assert eventlet.spawn_after(0.001, int, "6").wait() == 6
    done = Event()
    eventlet.spawn_n(done.send, 7)
    assert done.wait() == 7
    threads = [eventlet.spawn(eventlet.sleep, 0) for _ in range(100)]
    for thread in threads:
        thread.wait()


def test_kill(any_hub):
    log = []

    def victim():
        try:
            eventlet.sleep(60)
        finally:
            log.append("victim")

    thread = eventlet.spawn(victim)
    eventlet.sleep(0)
    thread.kill()
    assert log == ["victim"]
    with pytest.raises(greenlet.GreenletExit):
        thread.wait()


def test_primitives(any_hub):
    semaphore, queue, handed = Semaphore(0), Queue(), Queue(0)

    def work():
        semaphore.acquire()
        handed.put(queue.get() + 1)

    thread = eventlet.spawn(work)
    eventlet.sleep(0)
    semaphore.release()
    queue.put(1)
    assert handed.get() == 2
    thread.wait()
    assert not semaphore.acquire(timeout=0.001)


def test_timeout(any_hub):
    with pytest.raises(eventlet.Timeout):
        with eventlet.Timeout(0.005):
            Event().wait()
    with eventlet.Timeout(0.005, False):
        eventlet.sleep(60)


def test_wake_from_a_callback_of_the_hub(any_hub):
    event = Event()
    any_hub.schedule_call_global(0.001, event.send, 5)
    assert event.wait() == 5
    done = Event()
    any_hub.schedule_call_global(0, eventlet.spawn_n, done.send, 6)
    assert done.wait() == 6


def test_blocking_in_the_hub_is_refused(any_hub):
    raised = Event()

    def wait():
        try:
            Event().wait()
        except RuntimeError as error:
            raised.send(str(error))

    any_hub.schedule_call_global(0, wait)
    assert "mainloop" in raised.wait()


def test_sockets(full_hub):
    server = eventlet.listen(("127.0.0.1", 0))

    def serve():
        sock, _ = server.accept()
        sock.sendall(sock.recv(100) * 2)
        sock.close()

    thread = eventlet.spawn(serve)
    client = eventlet.connect(server.getsockname())
    client.sendall(b"ab")
    assert client.recv(100) == b"abab"
    thread.wait()
    client.settimeout(0.001)
    assert client.recv(1) == b""
    client.close()
    server.close()
    assert not full_hub.get_readers()
    assert not full_hub.get_writers()


def test_wsgi_server(full_hub):
    def app(environ, start_response):
        eventlet.sleep(0.001)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]

    listener = eventlet.listen(("127.0.0.1", 0))
    server = eventlet.spawn(wsgi.server, listener, app, log_output=False)
    answers = []

    def ask():
        client = eventlet.connect(listener.getsockname())
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := client.recv(1000):
            answer += data
        answers.append(answer)
        client.close()

    for each in [eventlet.spawn(ask) for _ in range(5)]:
        each.wait()
    assert all(answer.endswith(b"hello") for answer in answers)
    server.kill()
    listener.close()


def test_trampoline(full_hub, pair):
    left, right = pair
    waiting = eventlet.spawn(trampoline, left, read=True)
    eventlet.sleep(0.001)
    (listener,) = full_hub.get_readers()
    assert listener.fileno == left.fileno()
    assert listener.greenlet is waiting
    right.send(b"x")
    assert waiting.wait() == left.fileno()
    assert not full_hub.get_readers()
    with pytest.raises(eventlet.Timeout):
        trampoline(right, read=True, timeout=0.001)
    trampoline(right, write=True)
    assert not full_hub.get_readers()


def test_second_reader(full_hub, pair):
    waiting = eventlet.spawn(trampoline, pair[0], read=True)
    eventlet.sleep(0.001)
    with pytest.raises(RuntimeError, match="Second simultaneous read"):
        trampoline(pair[0], read=True)
    waiting.kill()


def test_second_reader_where_that_is_allowed(full_hub, pair):
    debug.hub_prevent_multiple_readers(False)
    try:
        threads = [eventlet.spawn(trampoline, pair[0], read=True) for _ in range(3)]
        eventlet.sleep(0.001)
        assert len(full_hub.secondaries["read"][pair[0].fileno()]) == 2
        threads[1].kill()
        pair[1].send(b"x")
        threads[0].wait()
        threads[2].wait()
        assert not full_hub.secondaries["read"]
    finally:
        debug.hub_prevent_multiple_readers(True)


def test_close_wakes_the_waiter(full_hub, pair):
    waiting = eventlet.spawn(trampoline, pair[0], read=True)
    waiting.link(lambda _: None)
    full_hub.debug_exceptions = False
    eventlet.sleep(0.001)
    hubs.notify_close(pair[0].fileno())
    with pytest.raises(IOClosed):
        waiting.wait()


def test_other_os_threads(full_hub):
    event, queue = Event(), Queue()
    thread = threading.Timer(0.01, lambda: (event.send(3), queue.put(4)))
    thread.start()
    assert event.wait() == 3
    assert queue.get() == 4
    thread.join()
    called = Event()
    thread = threading.Timer(0.01, full_hub.call_soon_threadsafe, (called.send, 5))
    thread.start()
    assert called.wait() == 5
    thread.join()


def test_abort_and_restart(full_hub):
    eventlet.sleep(0.001)
    full_hub.abort(wait=True)
    assert not full_hub.running
    eventlet.sleep(0.001)
    assert eventlet.spawn(int, "5").wait() == 5


def test_an_exception_of_a_green_thread_is_reported(any_hub, capsys):
    def fail():
        raise KeyError("reported")

    with pytest.raises(KeyError):
        eventlet.spawn(fail).wait()
    assert "KeyError: 'reported'" in capsys.readouterr().err


def test_keyboard_interrupt_reaches_the_main_greenlet(full_hub):
    def interrupt():
        raise KeyboardInterrupt

    full_hub.schedule_call_global(0, interrupt)
    with pytest.raises(KeyboardInterrupt):
        eventlet.sleep(1)
    eventlet.sleep(0.001)


def test_fork(run_python, tmp_path):
    (tmp_path / "mine.py").write_text(
        """
import select
from eventlet.hubs import hub

class Hub(hub.BaseHub):
    def wait(self, seconds=None):
        readers, writers = self.listeners["read"], self.listeners["write"]
        for fds, all in zip(select.select(list(readers), list(writers), [], seconds),
                            (readers, writers)):
            for fd in fds:
                all.get(fd, hub.noop).cb(fd)

def is_available():
    return True
"""
    )
    code = """
import os, threading, warnings
warnings.simplefilter("ignore")
import eventlet
from eventlet.event import Event
eventlet.sleep(0.001)
child = os.fork()
event = Event()
threading.Timer(0.01, event.send).start()
event.wait()
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(type(eventlet.hubs.get_hub()).__module__)
"""
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    env = {"EVENTLET_HUB": "mine", "PYTHONPATH": path}
    assert run_python(code, env=env).stdout == "mine\n"


# ------------------------------------------------------------------------------------------------
# They are asked


@pytest.mark.parametrize("kind", [CountingHub, Observed])
def test_waits_go_through_the_methods(own_hub, pair, kind):
    own = install(kind)
    eventlet.sleep(0.001)
    assert "switch" in own.asked
    assert ("schedule" if kind is CountingHub else "wait") in own.asked
    own.asked.clear()
    waiting = eventlet.spawn(trampoline, pair[0], read=True)
    eventlet.sleep(0)
    pair[1].send(b"x")
    waiting.wait()
    fileno = pair[0].fileno()
    assert own.asked.index(("read", fileno)) < own.asked.index(("remove", fileno))


def test_run_that_is_replaced(own_hub):
    own = install(Observed)
    eventlet.sleep(0)
    assert own.asked[0] == "switch"
    assert "run" in own.asked


def test_default_sleep_of_the_instance():
    own = hubs.get_hub()
    calls = []
    own.default_sleep = lambda: calls.append(1) or 0.001
    try:
        thread = threading.Timer(0.02, own.call_soon_threadsafe, (eventlet.getcurrent().switch,))
        thread.start()
        own.switch()
        thread.join()
    finally:
        del own.default_sleep
    assert len(calls) > 2


# ------------------------------------------------------------------------------------------------
# Timers and listeners


def test_timers_of_a_base_hub():
    own = TimersOnly()
    log = []
    own.schedule_call_global(0, log.append, 1)
    own.schedule_call_global(0, log.append, 2)
    cancelled = own.schedule_call_global(0, log.append, 3)
    cancelled.cancel()
    assert own.get_timers_count() == 3
    own.prepare_timers()
    assert own.sleep_until() <= own.clock()
    own.fire_timers(own.clock())
    assert log == [1, 2]
    assert own.get_timers_count() == 0


def test_cancelled_timers_are_counted():
    own = hubs.get_hub()
    eventlet.sleep(0)
    count, before = own.get_timers_count(), own.timers_canceled
    timers = [own.schedule_call_global(60, int) for _ in range(10)]
    eventlet.sleep(0)
    for each in timers:
        each.cancel()
    assert own.timers_canceled == before + 10
    assert own.get_timers_count() == count + 10


def test_cancelled_timers_are_forgotten_when_they_are_many():
    own = hubs.get_hub()
    for _ in range(2000):
        each = own.schedule_call_global(60, int)
        eventlet.sleep(0)
        each.cancel()
    assert own.timers_canceled <= 1000
    assert own.get_timers_count() <= 1100


def test_timers_that_were_cancelled_at_once_are_forgotten_at_once():
    own = hubs.get_hub()
    before = own.timers_canceled
    own.schedule_call_global(60, int).cancel()
    assert own.timers_canceled == before + 1
    eventlet.sleep(0)
    assert own.timers_canceled == before


def test_views_of_timers():
    own = hubs.get_hub()
    later = own.schedule_call_global(60, int)
    soon = own.schedule_call_global(0, int)
    sleeper = eventlet.spawn(eventlet.sleep, 30)
    eventlet.sleep(0)
    assert soon.called
    assert later in [each for _, each in own.timers]
    calls = [each.tpl[0] for _, each in own.timers]
    assert sleeper.switch in calls
    assert own.sleep_until() <= own.clock() + 30
    now = own.schedule_call_global(0, int)
    assert now in [each for _, each in own.next_timers]
    sleeper.kill()
    later.cancel()


def test_local_timer():
    local = eventlet.spawn(timer.LocalTimer, 0, int).wait()
    assert not local.pending
    assert not local.called
    assert isinstance(local, timer.Timer)
    assert isinstance(hubs.get_hub().schedule_call_local(0, int), timer.LocalTimer)


def test_timer_stacks():
    timer._g_debug = True
    try:
        text = repr(hubs.get_hub().schedule_call_global(0, int))
    finally:
        timer._g_debug = False
    assert "test_timer_stacks" in text
    assert "test_timer_stacks" not in repr(hubs.get_hub().schedule_call_global(0, int))


@pytest.mark.parametrize("kind", ["epolls", SelectHub])
def test_debug_listeners(own_hub, pair, kind):
    own = install(kind)
    own.set_debug_listeners(True)
    listener = own.add(own.READ, pair[0].fileno(), print, print, None)
    assert isinstance(listener, hub.DebugListener)
    assert "test_debug_listeners" in repr(listener)
    own.remove(listener)
    own.set_debug_listeners(False)
    listener = own.add(own.READ, pair[0].fileno(), print, print, None)
    assert type(listener) is hub.FdListener
    own.remove(listener)


def test_timer_exceptions():
    own = hubs.get_hub()
    own.set_timer_exceptions(False)
    assert not own.debug_exceptions
    own.set_timer_exceptions(True)
    assert own.debug_exceptions


def test_defanged_listener(pair):
    marked = []
    listener = hub.FdListener("read", pair[0].fileno(), print, print, lambda: marked.append(1))
    listener.defang()
    listener.cb(1)
    assert listener.spent
    assert marked == [1]


def test_blocking_is_reported(capsys):
    own = hubs.get_hub()
    own.debug_blocking = True
    own.debug_blocking_resolution = 0.02

    def block():
        time.sleep(0.06)
        return "unharmed"

    try:
        assert eventlet.spawn(block).wait() == "unharmed"
    finally:
        own.debug_blocking = False
        del own.debug_blocking_resolution
    eventlet.sleep(0)
    err = capsys.readouterr().err
    assert "in block" in err
    assert "GreenThread" in err


# ------------------------------------------------------------------------------------------------
# Names and stacks of green threads


def test_names():
    first, second = eventlet.spawn(int), eventlet.spawn(int)
    assert first.name == first.name != second.name
    first.name = "mine"
    assert first.name == "mine"


def test_spawn_stacks():
    assert eventlet.spawn(int).spawn_stack is None
    debug.spawn_stacks(True)
    try:
        green_thread = eventlet.spawn(int)
    finally:
        debug.spawn_stacks(False)
    assert green_thread.spawn_stack[-1].name == "test_spawn_stacks"
    assert eventlet.spawn(int).spawn_stack is None
    assert isinstance(green_thread, greenthread.GreenThread)
    assert "test_spawn_stacks" in "".join(traceback.format_list(green_thread.spawn_stack))


def test_descriptors_of_hubs_that_were_replaced(own_hub):
    def count():
        return len(os.listdir("/proc/self/fd"))

    install(SelectHub)
    eventlet.sleep(0)
    hubs.use_hub()
    before = count()
    for _ in range(5):
        install(SelectHub)
        eventlet.sleep(0)
    hubs.use_hub()
    gc.collect()
    # One of each may be left, while the greenlet of its loop, which is the program's, is there.
    assert count() <= before + 5
