"""eventlet.green.os: child processes."""

import os as stdlib
import signal

import pytest

import eventlet
from eventlet import _children, hubs
from eventlet.green import os

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:.*use of fork:DeprecationWarning", "ignore:.*multi-threaded:DeprecationWarning"
    ),
    pytest.mark.usefixtures("limit"),
]


def fork(child):
    """Start a process that runs a function; return its number. Its exit status is the result."""
    pid = stdlib.fork()
    if pid:
        return pid
    status = 1
    try:
        status = child() or 0
    finally:
        stdlib._exit(status)


@pytest.fixture
def waiting_child():
    """Makes child processes that end with a status once they are told to."""
    children = []

    def make(status=0):
        reader, writer = stdlib.pipe()

        def child():
            stdlib.close(writer)
            stdlib.read(reader, 1)
            return status

        pid = fork(child)
        stdlib.close(reader)
        children.append(writer)
        return pid, lambda: stdlib.write(writer, b"x")

    yield make
    for writer in children:
        stdlib.close(writer)


def by_waitpid(pid):
    return os.waitpid(pid, 0)


def by_wait4(pid):
    found = os.wait4(pid, 0)
    assert found[2].ru_utime >= 0
    return found[:2]


def by_waitid(pid):
    found = os.waitid(os.P_PID, pid, os.WEXITED)
    assert found.si_code == os.CLD_EXITED
    return found.si_pid, found.si_status << 8


@pytest.mark.parametrize("way", [by_waitpid, by_wait4, by_waitid])
def test_waiting_for_a_child_lets_others_run(waiting_child, way):
    pid, end = waiting_child(7)
    waiter = eventlet.spawn(way, pid)
    for _ in range(5):
        eventlet.sleep(0.002)
        assert not waiter.dead
    end()
    assert waiter.wait() == (pid, 7 << 8)
    with pytest.raises(ChildProcessError):
        stdlib.waitpid(pid, 0)


@pytest.mark.parametrize("way", [by_waitpid, by_wait4, by_waitid])
def test_a_wait_that_is_interrupted_leaves_the_status_alone(waiting_child, way):
    pid, end = waiting_child(3)
    with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.02):
        way(pid)
    end()
    # Whatever waited has had its chance to take it.
    eventlet.sleep(0.05)
    assert way(pid) == (pid, 3 << 8)


def test_without_process_descriptors(waiting_child, monkeypatch):
    monkeypatch.setattr(_children, "_pidfd_open", None)
    monkeypatch.setattr(_children, "_kqueue", None)
    pid, end = waiting_child(7)
    with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.02):
        os.waitpid(pid, 0)
    waiters = [eventlet.spawn(os.waitpid, pid, 0) for _ in range(3)]
    eventlet.sleep(0.01)
    assert len(_children._followed) == 1, "they should share a thread"
    end()
    results = []
    for waiter in waiters:
        try:
            results.append(waiter.wait())
        except ChildProcessError:
            results.append(None)
    assert sorted(results, key=bool) == [None, None, (pid, 7 << 8)]
    assert not _children._followed


def test_with_process_descriptors_alone(waiting_child, monkeypatch):
    if _children._pidfd_open is None and _children._kqueue is None:
        pytest.skip("there are none")
    monkeypatch.setattr(_children, "_waitid", None)
    assert not _children.can_wait_for(_children.P_ALL, _children.WEXITED)
    pid, end = waiting_child(7)
    eventlet.spawn_after(0.01, end)
    assert os.waitpid(pid, 0) == (pid, 7 << 8)


#: For programs that wait for any child: this process may have some of its own.
ANY_CHILD = """
import eventlet
from eventlet.green import os

def child(status=0):
    "Start a child that ends with a status once it is told to."
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(reader)
        return pid, writer
    os.close(writer)
    # At the end of the pipe.
    while os.read(reader, 1):
        pass
    os._exit(status)
"""


@pytest.mark.parametrize(
    "call", ["wait()", "wait3(0)[:2]", "waitpid(-1, 0)", "waitpid(0, 0)", "wait4(-1, 0)[:2]"]
)
def test_any_of_several_children(run_python, call):
    result = run_python(
        f"""{ANY_CHILD}
made = dict(child(status) for status in range(4))
try:
    with eventlet.Timeout(0.02):
        os.{call}
except eventlet.Timeout:
    print("interrupted")
waiters = [eventlet.spawn(lambda: os.{call}) for _ in made]
eventlet.sleep(0.02)
assert not any(waiter.dead for waiter in waiters)
for writer in made.values():
    os.close(writer)
found = dict(waiter.wait() for waiter in waiters)
print([found[pid] >> 8 for pid in made])
try:
    os.{call}
except ChildProcessError:
    print("none left")
""",
        env={"PYTHONWARNINGS": "ignore"},
    )
    assert result.stdout == "interrupted\n[0, 1, 2, 3]\nnone left\n"


def test_not_a_child():
    for call in (
        lambda: os.waitpid(stdlib.getpid(), 0),
        lambda: os.wait4(stdlib.getpid(), 0),
        lambda: os.waitid(os.P_PID, stdlib.getpid(), os.WEXITED),
    ):
        with pytest.raises(ChildProcessError):
            call()


def test_not_waiting(waiting_child):
    pid, end = waiting_child()
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    assert os.wait4(pid, os.WNOHANG)[0] == 0
    assert os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is None
    end()
    assert os.waitpid(pid, 0) == (pid, 0)


def test_looking_without_taking(waiting_child):
    pid, end = waiting_child(5)
    waiter = eventlet.spawn(os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    eventlet.sleep(0.01)
    end()
    assert waiter.wait().si_status == 5
    assert os.waitpid(pid, 0) == (pid, 5 << 8)


def test_a_child_that_stops(waiting_child):
    pid, end = waiting_child()
    waiter = eventlet.spawn(os.waitpid, pid, os.WUNTRACED)
    eventlet.sleep(0.01)
    assert not waiter.dead
    stdlib.kill(pid, signal.SIGSTOP)
    assert stdlib.WIFSTOPPED(waiter.wait()[1])
    stdlib.kill(pid, signal.SIGCONT)
    end()
    assert os.waitpid(pid, 0) == (pid, 0)


def test_waiting_in_the_hub_blocks(waiting_child):
    pid, end = waiting_child(2)
    end()
    done = eventlet.Event()
    hubs.get_hub().schedule_call_global(0, lambda: done.send(os.waitpid(pid, 0)))
    assert done.wait() == (pid, 2 << 8)


def test_system(tmp_path):
    ran = []
    eventlet.spawn(ran.append, True)
    assert os.system("sleep 0.05; exit 3") == 3 << 8
    assert ran, "nobody else ran"
    assert os.system("kill -9 $$") == 9
    assert os.system(f"echo done > {tmp_path}/out") == 0
    assert (tmp_path / "out").read_text() == "done\n"


def test_popen(tmp_path):
    ran = []
    eventlet.spawn(ran.append, True)
    with os.popen("sleep 0.05; echo one; echo two") as file:
        assert list(file) == ["one\n", "two\n"]
    assert ran, "nobody else ran"
    file = os.popen(f"cat > {tmp_path}/out; exit 4", "w")
    file.write("text")
    assert file.close() == 4 << 8
    assert (tmp_path / "out").read_text() == "text"
    for arguments in (("true", "rw"), ("true", "r", 0)):
        with pytest.raises(ValueError):
            os.popen(*arguments)
    with pytest.raises(TypeError):
        os.popen(["true"])
