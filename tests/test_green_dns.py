"""Names looked up by libc: the functions of eventlet.green.socket as they are by default."""

import os
import socket as stdlib_socket
import threading

import pytest

import eventlet
from eventlet.green import _dns, socket


class Libc:
    """Stands in for one of libc's functions; a call lasts until it is let go."""

    def __init__(self, result):
        self.result = result
        self.calls = []
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()

    def __call__(self, *args):
        self.calls.append((threading.get_ident(), args))
        self.begun.release()
        assert self.go.wait(20)
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result

    def wait_for_calls(self, count):
        for _ in range(count):
            assert self.begun.acquire(timeout=20)


@pytest.fixture
def libc(monkeypatch, clean_hub):
    """A function that puts a `Libc` in the place of ``socket.<name>``."""
    made = []

    def replace(name, result):
        made.append(Libc(result))
        monkeypatch.setattr(_dns, f"_{name}", made[-1])
        return made[-1]

    yield replace
    for each in made:
        each.go.set()
    with eventlet.Timeout(20):
        while _dns._pool.busy():
            eventlet.sleep(0.001)
    assert _dns._lookups == {}


FOUND = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))]

CALLS = [
    ("getaddrinfo", ("host.test", 80), FOUND),
    ("gethostbyname", ("host.test",), "192.0.2.1"),
    ("gethostbyname_ex", ("host.test",), ("host.test", ["alias.test"], ["192.0.2.1"])),
    ("gethostbyaddr", ("192.0.2.1",), ("host.test", ["alias.test"], ["192.0.2.1"])),
    ("getnameinfo", (("192.0.2.1", 80), 0), ("host.test", "http")),
]


@pytest.mark.parametrize(("name", "args", "result"), CALLS)
def test_others_run_meanwhile(libc, name, args, result):
    slow = libc(name, result)
    looking = eventlet.spawn(getattr(socket, name), *args)
    eventlet.sleep(0)
    slow.wait_for_calls(1)
    slow.go.set()
    assert looking.wait() == result
    ((ident, _),) = slow.calls
    assert ident != threading.get_ident()


@pytest.mark.parametrize(("name", "args", "result"), CALLS)
def test_identical_lookups_are_shared(libc, name, args, result):
    slow = libc(name, result)
    looking = [eventlet.spawn(getattr(socket, name), *args) for _ in range(5)]
    eventlet.sleep(0)
    slow.wait_for_calls(1)
    slow.go.set()
    found = [each.wait() for each in looking]
    assert found == [result] * 5
    assert len(slow.calls) == 1
    # What one of them does with its result is its own business.
    lists = [each for each in found if isinstance(each, list)]
    lists += [part for each in found if isinstance(each, tuple) for part in each]
    lists = [each for each in lists if isinstance(each, list)]
    assert len(set(map(id, lists))) == len(lists)


def test_different_lookups_overlap(libc):
    slow = libc("getaddrinfo", FOUND)
    looking = [
        eventlet.spawn(socket.getaddrinfo, *args)
        for args in [
            ("host.test", 80),
            ("host.test", 81),
            ("host.test", 80, socket.AF_INET),
            ("other.test", 80),
            (b"host.test", 80),
        ]
    ]
    eventlet.sleep(0)
    slow.wait_for_calls(5)
    slow.go.set()
    for each in looking:
        each.wait()


def test_a_lookup_that_has_ended_is_not_shared(libc):
    quick = libc("gethostbyname", "192.0.2.1")
    quick.go.set()
    socket.gethostbyname("host.test")
    quick.result = "192.0.2.2"
    assert socket.gethostbyname("host.test") == "192.0.2.2"


def test_lookups_are_shared_among_os_threads(libc):
    slow = libc("gethostbyname", "192.0.2.1")
    found = []

    def look_up():
        eventlet.sleep(0)  # the thread has a hub from now on
        found.append(socket.gethostbyname("host.test"))

    threads = [threading.Thread(target=look_up) for _ in range(3)]
    looking = eventlet.spawn(socket.gethostbyname, "host.test")
    eventlet.sleep(0)
    slow.wait_for_calls(1)
    for each in threads:
        each.start()
    (lookup,) = _dns._lookups.values()
    with eventlet.Timeout(20):
        while lookup.waiters < 4:
            eventlet.sleep(0.001)
    slow.go.set()
    assert looking.wait() == "192.0.2.1"
    for each in threads:
        each.join()
    assert found == ["192.0.2.1"] * 3
    assert len(slow.calls) == 1


def test_everybody_gets_an_error_of_their_own(libc):
    slow = libc("getaddrinfo", stdlib_socket.gaierror(socket.EAI_NONAME, "unknown"))
    looking = [eventlet.spawn(socket.getaddrinfo, "host.test", 80) for _ in range(3)]
    eventlet.sleep(0)
    slow.go.set()
    errors = []
    for each in looking:
        with pytest.raises(stdlib_socket.gaierror) as caught:
            each.wait()
        errors.append(caught.value)
    assert {(each.errno, each.strerror) for each in errors} == {(socket.EAI_NONAME, "unknown")}
    assert len(set(map(id, errors))) == 3
    assert len(slow.calls) == 1


def test_timeout_ends_the_wait_and_not_the_lookup(libc):
    slow = libc("gethostbyname", "192.0.2.1")
    with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.02):
        socket.gethostbyname("host.test")
    slow.wait_for_calls(1)
    # The next one to ask does not occupy another thread.
    looking = eventlet.spawn(socket.gethostbyname, "host.test")
    eventlet.sleep(0)
    slow.go.set()
    assert looking.wait() == "192.0.2.1"
    assert len(slow.calls) == 1


def test_timeout_of_one_leaves_the_others_alone(libc):
    slow = libc("gethostbyname", "192.0.2.1")
    looking = eventlet.spawn(socket.gethostbyname, "host.test")
    eventlet.sleep(0)
    with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.02):
        socket.gethostbyname("host.test")
    killed = eventlet.spawn(socket.gethostbyname, "host.test")
    eventlet.sleep(0)
    killed.kill()
    slow.go.set()
    assert looking.wait() == "192.0.2.1"


def test_lookups_that_nobody_waits_for_are_not_begun(libc):
    slow = libc("gethostbyname", "192.0.2.1")
    threads = _dns._pool.max_threads
    busy = [eventlet.spawn(socket.gethostbyname, f"busy{i}.test") for i in range(threads)]
    eventlet.sleep(0)
    slow.wait_for_calls(threads)
    with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.02):
        socket.gethostbyname("late.test")
    slow.go.set()
    for each in busy:
        each.wait()
    assert socket.gethostbyname("later.test") == "192.0.2.1"
    assert ("late.test",) not in [args for _, args in slow.calls]


NUMERIC = [
    ("getaddrinfo", ("127.0.0.1", 80)),
    ("getaddrinfo", (b"127.0.0.1", 80)),
    ("getaddrinfo", ("::1", "80")),
    ("getaddrinfo", ("::1%1", None)),
    ("getaddrinfo", ("127.1", 80)),
    ("getaddrinfo", (None, 80)),
    ("gethostbyname", ("127.0.0.1",)),
    ("gethostbyname_ex", ("127.0.0.1",)),
    ("getnameinfo", (("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)),
]


@pytest.mark.parametrize(("name", "args"), NUMERIC)
def test_numbers_need_no_thread(monkeypatch, name, args):
    def submit(*_args):
        raise AssertionError("in a thread")

    monkeypatch.setattr(_dns._pool, "submit", submit)
    assert getattr(socket, name)(*args) == getattr(stdlib_socket, name)(*args)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("getaddrinfo", ("127.0.0.1 host.test", 80)),
        ("getaddrinfo", ("127.0.0.1", "http")),
        ("getaddrinfo", ("host.test", 80)),
        ("getaddrinfo", ("1.2.3.4.5", 80)),
        ("gethostbyname", ("localhost",)),
        ("getnameinfo", (("127.0.0.1", 80), socket.NI_NUMERICHOST)),
        ("getnameinfo", (("localhost", 80), 0)),
    ],
)
def test_everything_else_does(libc, name, args):
    libc(name, "result").go.set()
    assert getattr(socket, name)(*args) == "result"


@pytest.mark.parametrize(
    ("name", "args", "error"),
    [
        ("getaddrinfo", ("a" * 70 + ".test", 80), UnicodeError),
        ("getaddrinfo", ("ho\0st", 80), Exception),
        ("getaddrinfo", (3, 80), TypeError),
        ("getaddrinfo", ("host.test", []), (TypeError, OSError)),
        ("gethostbyname", ([],), TypeError),
        ("gethostbyaddr", ([],), TypeError),
        ("getnameinfo", ("host.test", 0), TypeError),
        ("getnameinfo", ((), 0), TypeError),
        ("getnameinfo", (("127.0.0.1", 80, []), 0), TypeError),
    ],
)
def test_wrong_arguments(name, args, error):
    with pytest.raises(error) as expected:
        getattr(stdlib_socket, name)(*args)
    with pytest.raises(expected.type):
        getattr(socket, name)(*args)


def test_same_answers_as_libc():
    assert socket.getaddrinfo("localhost", 80) == stdlib_socket.getaddrinfo("localhost", 80)
    assert socket.gethostbyname("localhost") == stdlib_socket.gethostbyname("localhost")
    with pytest.raises(stdlib_socket.gaierror) as caught:
        socket.getaddrinfo("127.0.0.1", "no-such-service")
    assert caught.value.errno == socket.EAI_SERVICE


def test_in_the_hub_itself(libc, monkeypatch, hub):
    """As a signal handler may do, whatever looks up names."""
    libc("gethostbyname", "192.0.2.1").go.set()
    monkeypatch.setattr(_dns, "_resolver", object())
    found = eventlet.Event()

    def call():
        try:
            found.send(socket.gethostbyname("host.test"))
        except BaseException as error:
            found.send(exc=error)

    hub.schedule_call_global(0, call)
    assert found.wait() == "192.0.2.1"


def test_in_an_os_thread_without_green_threads(libc):
    quick = libc("gethostbyname", "192.0.2.1")
    quick.go.set()
    thread = threading.Thread(target=socket.gethostbyname, args=("host.test",))
    thread.start()
    thread.join()
    assert [ident for ident, _ in quick.calls] == [thread.ident]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_asks_again(run_python):
    done = run_python(
        """
import os
import threading
import eventlet
from eventlet.green import _dns, socket

parent = os.getpid()
begun = threading.Semaphore(0)
go = threading.Event()

def slow(name):
    if os.getpid() == parent:
        begun.release()
        go.wait(20)
        return "parent"
    return "child"

_dns._gethostbyname = slow
looking = eventlet.spawn(socket.gethostbyname, "host.test")
eventlet.sleep(0)
begun.acquire(timeout=20)
pid = os.fork()
if pid == 0:
    with eventlet.Timeout(20):
        os._exit(0 if looking.wait() == "child" else 1)
go.set()
assert looking.wait() == "parent"
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    )
    assert done.stdout == "0\n"


def test_the_number_of_threads_can_be_set(run_python):
    done = run_python(
        "from eventlet.green import _dns; print(_dns._pool.max_threads)",
        env={"EVENTLET_DNS_THREADS": "3"},
    )
    assert done.stdout == "3\n"


def test_connecting_looks_names_up_in_a_thread(libc, listener):
    slow = libc("getaddrinfo", [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))])
    port = listener.getsockname()[1]

    def connect():
        with socket.socket() as sock:
            sock.connect(("host.test", port))

    connecting = eventlet.spawn(connect)
    eventlet.sleep(0)
    slow.wait_for_calls(1)
    slow.go.set()
    accepted, _ = listener.accept()
    accepted.close()
    connecting.wait()
