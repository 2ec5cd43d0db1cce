"""Names looked up by libc: the functions of eventlet.green.socket as they are by default."""

import os
import socket as stdlib_socket
import subprocess
import sys
import threading

import pytest

import eventlet
from eventlet import _core
from eventlet.green import _dns, socket
from support import slow_names

pytestmark = pytest.mark.usefixtures("clean_hub")

# What the programs below begin with.
PRELUDE = """
import os
import socket as stdlib_socket
import sys
import threading

sys.path.insert(0, {tests!r})
import eventlet
from eventlet import _core
from eventlet.green import socket
from support.slow_names import SlowNames

names = SlowNames()
eventlet.sleep(0)  # the thread has a hub from now on


def under_way():
    threads, under_way, in_line, waiters = _core.resolver_activity()
    return under_way


def waiters():
    return _core.resolver_activity()[3]
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The library that makes lookups slow."""
    if not sys.platform.startswith("linux"):
        pytest.skip("LD_PRELOAD is Linux")
    built = slow_names.build(tmp_path_factory.mktemp("slow_names"))
    if built is None:
        pytest.skip("there is no C compiler")
    return built


@pytest.fixture
def run_slow(library, run_python):
    """A function that runs a program whose lookups are slow; see `SlowNames`."""

    def run(code, **env):
        tests = os.path.dirname(os.path.abspath(__file__))
        env = {"LD_PRELOAD": str(library), "EVENTLET_NO_GREENDNS": "yes", **env}
        done = run_python(PRELUDE.format(tests=tests) + code, env=env)
        assert done.stderr == ""
        return done

    return run


ADDRESSES = [
    (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80)),
    (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("192.0.2.1", 80)),
    (socket.AF_INET, socket.SOCK_RAW, 0, "", ("192.0.2.1", 80)),
]

CALLS = [
    ("getaddrinfo", ("host.test", 80), ADDRESSES),
    ("gethostbyname", ("host.test",), "192.0.2.1"),
    ("gethostbyname_ex", ("host.test",), ("192.0.2.1", [], ["192.0.2.1"])),
    ("gethostbyaddr", ("192.0.2.1",), ("192.0.2.1", [], ["192.0.2.1"])),
    ("gethostbyaddr", ("host.test",), ("192.0.2.1", [], ["192.0.2.1"])),
    ("getnameinfo", (("192.0.2.1", 80), 0), ("host.test", "http")),
]


@pytest.mark.parametrize(("name", "args", "result"), CALLS)
def test_others_run_meanwhile(run_slow, name, args, result):
    run_slow(
        f"""
looking = [eventlet.spawn(socket.{name}, *{args!r}) for _ in range(5)]
names.wait_for_calls(1)
names.wait_until(lambda: waiters() == 5)
assert len(names.calls) == 1, "identical lookups are shared"
assert names.threads[0] != threading.get_native_id()
names.open()
found = [each.wait() for each in looking]
assert found == [{result!r}] * 5, found
# The standard library finds the same, in objects of the same types.
expected = stdlib_socket.{name}(*{args!r})
assert repr(found[0]) == repr(expected), found
# What one of them does with its result is its own business.
lists = [each for each in found if isinstance(each, list)]
lists += [part for each in found if isinstance(each, tuple) for part in each]
lists = [each for each in lists if isinstance(each, list)]
assert len(set(map(id, lists))) == len(lists)
""".replace("<AddressFamily.AF_INET: 2>", "2")
        .replace("<SocketKind.SOCK_STREAM: 1>", "1")
        .replace("<SocketKind.SOCK_DGRAM: 2>", "2")
        .replace("<SocketKind.SOCK_RAW: 3>", "3")
    )


def test_different_lookups_overlap(run_slow):
    run_slow(
        """
looking = [
    eventlet.spawn(socket.getaddrinfo, *args)
    for args in [
        ("host.test", 80),
        ("host.test", 81),
        ("host.test", 80, socket.AF_INET),
        ("host.test", 80, 0, socket.SOCK_STREAM),
        ("other.test", 80),
        (b"other.test", "80"),
    ]
]
names.wait_for_calls(5)
names.wait_until(lambda: waiters() == 6)
assert sorted(names.calls) == ["host.test"] * 4 + ["other.test"]
assert len(set(names.threads)) == 5
names.open()
for each in looking:
    each.wait()
"""
    )


def test_a_lookup_that_has_ended_is_not_shared(run_slow):
    run_slow(
        """
names.open()
assert socket.gethostbyname("host.test") == "192.0.2.1"
assert socket.gethostbyname("host.test") == "192.0.2.1"
assert names.calls == ["host.test"] * 2
"""
    )


def test_lookups_are_shared_among_os_threads(run_slow):
    run_slow(
        """
found = []

def look_up():
    eventlet.sleep(0)
    found.append(socket.gethostbyname("host.test"))

threads = [threading.Thread(target=look_up) for _ in range(3)]
looking = eventlet.spawn(socket.gethostbyname, "host.test")
names.wait_for_calls(1)
for each in threads:
    each.start()
names.wait_until(lambda: waiters() == 4)
names.open()
assert looking.wait() == "192.0.2.1"
for each in threads:
    each.join()
assert found == ["192.0.2.1"] * 3
assert len(names.calls) == 1
"""
    )


def test_everybody_gets_an_error_of_their_own(run_slow):
    run_slow(
        """
def error_of(function, *args):
    try:
        function(*args)
    except stdlib_socket.gaierror as error:
        return error

looking = [eventlet.spawn(error_of, socket.getaddrinfo, "missing.test", 80) for _ in range(3)]
names.wait_until(lambda: waiters() == 3)
names.open()
errors = [each.wait() for each in looking]
expected = error_of(stdlib_socket.getaddrinfo, "missing.test", 80).args
assert [error.args for error in errors] == [expected] * 3
assert len(set(map(id, errors))) == 3
assert len(names.calls) == 2
for name in ["gethostbyname", "gethostbyname_ex", "gethostbyaddr"]:
    assert error_of(getattr(socket, name), "missing.test").args == expected, name
"""
    )


def test_timeout_ends_the_wait_and_not_the_lookup(run_slow):
    run_slow(
        """
try:
    with eventlet.Timeout(0.02):
        socket.gethostbyname("host.test")
except eventlet.Timeout:
    pass
else:
    raise AssertionError
names.wait_for_calls(1)
assert waiters() == 0
# The next one to ask does not occupy another thread.
looking = eventlet.spawn(socket.gethostbyname, "host.test")
names.wait_until(lambda: waiters() == 1)
names.open()
assert looking.wait() == "192.0.2.1"
assert len(names.calls) == 1
"""
    )


def test_timeout_of_one_leaves_the_others_alone(run_slow):
    run_slow(
        """
looking = eventlet.spawn(socket.gethostbyname, "host.test")
killed = eventlet.spawn(socket.gethostbyname, "host.test")
names.wait_until(lambda: waiters() == 2)
try:
    with eventlet.Timeout(0.02):
        socket.gethostbyname("host.test")
except eventlet.Timeout:
    pass
else:
    raise AssertionError
killed.kill()
assert waiters() == 1
names.open()
assert looking.wait() == "192.0.2.1"
"""
    )


def test_one_who_is_resumed_early_asks_on(run_slow):
    run_slow(
        """
from eventlet import greenthread

looking = eventlet.spawn(socket.gethostbyname, "host.test")
names.wait_for_calls(1)
eventlet.hubs.get_hub().schedule_call_global(0, looking.switch)
eventlet.sleep(0.01)
assert not looking.dead
names.wait_until(lambda: waiters() == 1)
names.open()
assert looking.wait() == "192.0.2.1"
assert len(names.calls) == 1
"""
    )


def test_lookups_that_nobody_waits_for_are_not_begun(run_slow):
    run_slow(
        """
busy = [eventlet.spawn(socket.gethostbyname, f"busy{i}.test") for i in range(3)]
names.wait_for_calls(3)
assert _core.resolver_activity()[0] == 3, "EVENTLET_DNS_THREADS"
try:
    with eventlet.Timeout(0.02):
        socket.gethostbyname("late.test")
except eventlet.Timeout:
    pass
else:
    raise AssertionError
names.open()
for each in busy:
    each.wait()
assert socket.gethostbyname("later.test") == "192.0.2.1"
assert "late.test" not in names.calls
assert under_way() == 0
""",
        EVENTLET_DNS_THREADS="3",
    )


def test_in_the_hub_itself(run_slow):
    """As a signal handler may do, whatever looks up names."""
    run_slow(
        """
from eventlet.green import _dns

names.open()
_dns.install(object())
found = eventlet.Event()

def call():
    try:
        found.send(socket.gethostbyname("host.test"))
    except BaseException as error:
        found.send(exc=error)

eventlet.hubs.get_hub().schedule_call_global(0, call)
assert found.wait() == "192.0.2.1"
assert names.threads == [threading.get_native_id()]
"""
    )


def test_in_an_os_thread_without_green_threads(run_slow):
    run_slow(
        """
names.open()
thread = threading.Thread(target=socket.gethostbyname, args=("host.test",))
thread.start()
thread.join()
assert names.threads == [thread.native_id]
assert _core.resolver_activity() == (0, 0, 0, 0)
"""
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_asks_again(run_slow):
    run_slow(
        """
import warnings

# Python 3.12 warns of forks in a process with threads.
warnings.simplefilter("ignore", DeprecationWarning)
looking = eventlet.spawn(socket.gethostbyname, "host.test")
more = eventlet.spawn(socket.gethostbyname, "other.test")
names.wait_for_calls(2)
pid = os.fork()
names.open()
if pid == 0:
    with eventlet.Timeout(20):
        assert looking.wait() == "192.0.2.1"
        assert more.wait() == "192.0.2.1"
        assert len(names.calls) == 4
        assert under_way() == 0
        os._exit(7)
assert looking.wait() == "192.0.2.1"
assert more.wait() == "192.0.2.1"
assert len(names.calls) == 2
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
"""
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_forks_amid_lookups_that_end(run_slow):
    """A child is never the worse for what the threads of its parent were doing."""
    run_slow(
        """
import warnings

# Python 3.12 warns of forks in a process with threads.
warnings.simplefilter("ignore", DeprecationWarning)
names.open()
going = True

def look_up(number):
    while going:
        socket.gethostbyname(f"host{number}.test")

looking = [eventlet.spawn(look_up, number) for number in range(8)]
for _ in range(100):
    eventlet.sleep(0.0001)
    pid = os.fork()
    if pid == 0:
        with eventlet.Timeout(20):
            going = False
            for each in looking:
                each.wait()
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
going = False
for each in looking:
    each.wait()
"""
    )


def test_the_program_ends_amid_a_lookup(run_slow):
    run_slow(
        """
looking = eventlet.spawn(socket.gethostbyname, "host.test")
names.wait_for_calls(1)
"""
    )


def test_connecting_looks_names_up_in_a_thread(run_slow):
    run_slow(
        """
listener = eventlet.listen(("127.0.0.1", 0))
client = eventlet.spawn(eventlet.connect, ("local.test", listener.getsockname()[1]))
names.wait_for_calls(1)
assert not client.dead
names.open()
accepted, _ = listener.accept()
assert client.wait().getpeername() == listener.getsockname()
assert names.threads[0] != threading.get_native_id()
"""
    )


def test_auditing_hooks_hear_of_lookups(run_slow):
    run_slow(
        """
names.open()
heard = []
sys.addaudithook(lambda *event: heard.append(event) if event[0].startswith("socket.g") else None)
for name, *args in [
    ("getaddrinfo", "host.test", 80, 0, 1),
    ("gethostbyname", "host.test"),
    ("gethostbyname_ex", "host.test"),
    ("gethostbyaddr", "192.0.2.1"),
]:
    del heard[:]
    getattr(socket, name)(*args)
    green = heard[0]
    del heard[:]
    getattr(stdlib_socket, name)(*args)
    assert green == heard[0], (green, heard)
"""
    )


NUMERIC = [
    ("getaddrinfo", ("127.0.0.1", 80)),
    ("getaddrinfo", (b"127.0.0.1", 80)),
    ("getaddrinfo", ("::1", "80")),
    ("getaddrinfo", ("::1%1", None)),
    ("getaddrinfo", ("127.1", 80)),
    ("getaddrinfo", (None, 80)),
    ("gethostbyname", ("127.0.0.1",)),
    ("gethostbyname", ("",)),
    ("gethostbyname", ("<broadcast>",)),
    ("gethostbyname_ex", ("127.0.0.1",)),
    ("getnameinfo", (("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)),
]


@pytest.mark.parametrize(("name", "args"), NUMERIC)
def test_numbers_need_no_thread(monkeypatch, name, args):
    def look_up(*_args):
        raise AssertionError("in a thread")

    for each in ["getaddrinfo", "gethostbyname_ex", "getnameinfo"]:
        monkeypatch.setattr(_core, each, look_up)
    eventlet.sleep(0)
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
        ("getnameinfo", (("::1", 80), 0)),
    ],
)
def test_everything_else_does(monkeypatch, name, args):
    class InAThread(Exception):
        pass

    def look_up(*_args):
        raise InAThread

    for each in ["getaddrinfo", "gethostbyname_ex", "getnameinfo"]:
        monkeypatch.setattr(_core, each, look_up)
    eventlet.sleep(0)
    with pytest.raises(InAThread):
        getattr(socket, name)(*args)


@pytest.mark.parametrize(
    ("name", "args", "error"),
    [
        ("getaddrinfo", ("a" * 70 + ".test", 80), UnicodeError),
        ("getaddrinfo", ("localhost\0", 80), Exception),
        ("getaddrinfo", (3, 80), TypeError),
        ("getaddrinfo", ("localhost", []), (TypeError, OSError)),
        ("getaddrinfo", ("localhost", True), (TypeError, OSError)),
        ("getaddrinfo", ("localhost", 1 << 70), (OverflowError, OSError)),
        ("getaddrinfo", ("localhost", 80, "x"), TypeError),
        ("getaddrinfo", ("localhost", 80, 1 << 40), OverflowError),
        ("getaddrinfo", ("localhost", 80, -4), OSError),
        ("getaddrinfo", ("localhost", "no-such-service"), OSError),
        ("gethostbyname", ([],), TypeError),
        ("gethostbyname", ("localhost\0",), Exception),
        ("gethostbyaddr", ([],), TypeError),
        ("gethostbyaddr", ("",), OSError),
        ("getnameinfo", ("host.test", 0), TypeError),
        ("getnameinfo", ((), 0), TypeError),
        ("getnameinfo", (("127.0.0.1", 80, []), 0), TypeError),
        ("getnameinfo", (("localhost", 80), 0), OSError),
    ],
)
def test_wrong_arguments(name, args, error):
    eventlet.sleep(0)
    expected = outcome(getattr(stdlib_socket, name), *args)
    # Not every version minds all of them.
    if isinstance(expected, BaseException):
        assert isinstance(expected, error)
    found = outcome(getattr(socket, name), *args)
    assert type(found) is type(expected)
    assert getattr(found, "errno", None) == getattr(expected, "errno", None)


def outcome(function, *args):
    """Return what `function` returns or raises."""
    try:
        return function(*args)
    except Exception as error:
        return error


SAME = [
    ("getaddrinfo", ("localhost", 80)),
    ("getaddrinfo", (b"localhost", b"80")),
    ("getaddrinfo", ("localhost", "http", 0, socket.SOCK_STREAM)),
    ("getaddrinfo", ("localhost", None, socket.AF_INET, 0, 0, socket.AI_CANONNAME)),
    ("gethostbyname", ("localhost",)),
    ("gethostbyname", (bytearray(b"localhost"),)),
    ("gethostbyname_ex", ("localhost",)),
    ("gethostbyaddr", ("127.0.0.1",)),
    ("gethostbyaddr", ("localhost",)),
    ("gethostbyaddr", ("127.1",)),
    ("getnameinfo", (("127.0.0.1", 80), 0)),
    ("getnameinfo", (("127.0.0.1", 80), socket.NI_NUMERICSERV)),
    ("getnameinfo", (("::1", 80, 0, 0), socket.NI_NUMERICHOST)),
]


@pytest.mark.parametrize(("name", "args"), SAME)
def test_same_answers_as_libc(name, args):
    eventlet.sleep(0)
    expected = getattr(stdlib_socket, name)(*args)
    assert repr(getattr(socket, name)(*args)) == repr(expected)


@pytest.mark.parametrize("name", ["localhost", b"localhost", "", b"", "<broadcast>"])
def test_bytes_and_strings_are_never_compared(name):
    """As `python -bb` wants it, where that is an error."""
    code = f"""
import eventlet
eventlet.monkey_patch()
eventlet.sleep(0)
import socket
print(socket.gethostbyname({name!r}))
"""
    command = [sys.executable, "-bb", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    expected = stdlib_socket.gethostbyname(name)
    assert (done.stderr, done.stdout) == ("", f"{expected}\n")


def test_getfqdn():
    eventlet.sleep(0)
    assert socket.getfqdn("127.0.0.1") == stdlib_socket.getfqdn("127.0.0.1")


def test_many_lookups_at_once():
    pile = [eventlet.spawn(socket.getaddrinfo, "localhost", port) for port in range(1, 100)]
    for port, lookup in enumerate(pile, 1):
        assert lookup.wait() == stdlib_socket.getaddrinfo("localhost", port)
    assert _core.resolver_activity()[1:] == (0, 0, 0)


def test_resolvers_are_not_asked_about_numbers(monkeypatch):
    class Resolver:
        def getaddrinfo(self, *args):
            return args

    monkeypatch.setattr(_dns, "_resolver", Resolver())
    assert socket.getaddrinfo("127.0.0.1", 80) == stdlib_socket.getaddrinfo("127.0.0.1", 80)
    assert socket.getaddrinfo("host.test", 80) == ("host.test", 80, 0, 0, 0, 0)


def test_native_functions_refuse_what_is_no_name():
    eventlet.sleep(0)
    with pytest.raises(ValueError, match="NUL"):
        _core.getaddrinfo(b"local\0host", None)
    with pytest.raises(ValueError, match="not a numeric address"):
        _core.gethostbyaddr("localhost")
    with pytest.raises(RuntimeError, match="mainloop"):
        in_the_hub(lambda: _core.getaddrinfo(b"host.invalid", None))


def in_the_hub(function):
    """Call a function in the hub."""
    done = eventlet.Event()

    def call():
        try:
            done.send(function())
        except BaseException as error:
            done.send(exc=error)

    eventlet.hubs.get_hub().schedule_call_global(0, call)
    return done.wait()


def test_threads_without_a_hub_get_one_for_native_functions():
    found = []
    thread = threading.Thread(target=lambda: found.extend(_core.getaddrinfo(b"localhost", b"80")))
    thread.start()
    thread.join()
    assert [each[4][1] for each in found] == [80] * len(found)
    assert found
