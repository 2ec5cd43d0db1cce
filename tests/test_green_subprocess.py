"""eventlet.green.subprocess, and the standard module after monkey patching."""

import io
import os
import signal
import subprocess as stdlib
import sys
import time

import pytest

import eventlet
from eventlet import greenio, hubs
from eventlet.green import subprocess

LONG = 30


@pytest.fixture(autouse=True)
def limit():
    """Ends what hangs in a green thread with a traceback that shows where."""
    with eventlet.Timeout(LONG):
        yield


@pytest.fixture
def ticks():
    """A list that grows while other green threads run."""
    found = []

    def tick():
        while True:
            found.append(time.monotonic())
            eventlet.sleep(0.005)

    ticker = eventlet.spawn(tick)
    yield found
    ticker.kill()


def python(code):
    return [sys.executable, "-c", code]


# ------------------------------------------------------------------------------------------------
# Waiting


def test_waiting_lets_others_run(clean_hub, ticks):
    with subprocess.Popen(["sleep", "0.1"]) as process:
        assert process.poll() is None
        assert process.wait() == 0
        assert process.wait() == 0
    assert len(ticks) > 1


def test_several_wait_for_one():
    process = subprocess.Popen(["sh", "-c", "sleep 0.05; exit 3"])
    waiters = [eventlet.spawn(process.wait) for _ in range(3)]
    assert [waiter.wait() for waiter in waiters] == [3, 3, 3]
    process = subprocess.Popen(["sleep", "10"])
    waiter = eventlet.spawn(process.wait)
    eventlet.sleep(0)
    process.kill()
    assert waiter.wait() == -signal.SIGKILL


def test_fifty_at_once():
    start = time.monotonic()
    processes = [subprocess.Popen(["sleep", "0.3"]) for _ in range(50)]
    started = time.monotonic() - start
    waiters = [eventlet.spawn(process.wait) for process in processes]
    assert [waiter.wait() for waiter in waiters] == [0] * 50
    # Waits of their own would add up to fifteen seconds.
    assert time.monotonic() - start < 5 + 2 * started


def test_waiting_does_not_poll(clean_hub):
    with subprocess.Popen(["sleep", "0.2"]) as process:
        before = hubs.get_hub().stats()["turns"]
        assert process.wait(timeout=10) == 0
        assert hubs.get_hub().stats()["turns"] - before < 10


def test_a_timeout(clean_hub):
    with subprocess.Popen(["sleep", "10"]) as process:
        with pytest.raises(stdlib.TimeoutExpired) as caught:
            process.wait(timeout=0.02)
        assert (caught.value.cmd, caught.value.timeout) == (["sleep", "10"], 0.02)
        with pytest.raises(stdlib.TimeoutExpired):
            process.wait(timeout=0)
        with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.02):
            process.wait()
        process.terminate()
        assert process.wait(timeout=10) == -signal.SIGTERM


def test_a_status_that_somebody_else_has_taken():
    process = subprocess.Popen(["true"])
    os.waitpid(process.pid, 0)
    assert process.wait() == 0


def test_waiting_in_the_hub_blocks():
    done = eventlet.Event()
    hubs.get_hub().schedule_call_global(
        0, lambda: done.send(subprocess.run(["echo", "hub"], stdout=subprocess.PIPE))
    )
    assert done.wait().stdout == b"hub\n"


# ------------------------------------------------------------------------------------------------
# Pipes


def test_pipes_are_green(clean_hub, ticks):
    code = "import time; time.sleep(0.1); print('late', flush=True); print(input())"
    with subprocess.Popen(
        python(code), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert isinstance(process.stdout.buffer.raw, greenio.GreenFileIO)
        ticks.clear()
        assert process.stdout.readline() == "late\n"
        assert len(ticks) > 1
        process.stdin.write("answer\n")
        process.stdin.flush()
        assert process.stdout.read() == "answer\n"


@pytest.mark.parametrize("size", [0, 1, 10_000_000])
def test_communicate_with_much(clean_hub, ticks, size):
    data = os.urandom(size)
    code = (
        "import sys; data = sys.stdin.buffer.read();"
        "sys.stderr.buffer.write(data[::-1]); sys.stdout.buffer.write(data)"
    )
    process = subprocess.Popen(
        python(code), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.communicate(data) == (data, data[::-1])
    assert ticks
    assert process.returncode == 0


def test_communicate_can_go_on_after_a_timeout(clean_hub):
    process = subprocess.Popen(
        ["sh", "-c", "echo one; sleep 0.2; echo two"], stdout=subprocess.PIPE, text=True
    )
    with pytest.raises(stdlib.TimeoutExpired) as caught:
        process.communicate(timeout=0.05)
    assert caught.value.timeout == 0.05
    assert process.communicate() == ("one\ntwo\n", None)


def test_a_child_that_does_not_read():
    process = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    process.communicate(bytes(1 << 20))
    assert process.returncode == 0
    with subprocess.Popen(["true"], stdin=subprocess.PIPE, bufsize=0) as process:
        process.wait()
        with pytest.raises(BrokenPipeError):
            process.stdin.write(bytes(1 << 20))


@pytest.mark.parametrize(
    "options", [{"text": True}, {"encoding": "utf-8"}, {"universal_newlines": True}]
)
def test_text(options):
    process = subprocess.Popen(
        ["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1, **options
    )
    with process:
        process.stdin.write("zwölf\r\n")
        assert process.stdout.readline() == "zwölf\n"
        process.stdin.close()


@pytest.mark.parametrize("bufsize", [0, -1, 100])
def test_buffers(bufsize):
    process = subprocess.Popen(
        ["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=bufsize
    )
    with process:
        kind = io.RawIOBase if bufsize == 0 else io.BufferedIOBase
        assert isinstance(process.stdin, kind)
        assert isinstance(process.stdout, kind)
        assert process.stdin.write(b"data") == 4
        process.stdin.close()
        assert process.stdout.read() == b"data"


def test_the_child_s_end_of_a_pipe_is_in_blocking_mode():
    code = "import os; print(os.get_blocking(0), os.get_blocking(1))"
    with subprocess.Popen(
        python(code), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.communicate() == ("True True\n", None)


# ------------------------------------------------------------------------------------------------
# The functions, and the arguments


def test_the_functions(clean_hub, ticks):
    assert subprocess.call(["sh", "-c", "sleep 0.05; exit 3"]) == 3
    assert subprocess.check_call(["true"]) == 0
    assert subprocess.check_output(["echo", "text"], text=True) == "text\n"
    assert subprocess.getoutput("sleep 0.05; echo text") == "text"
    assert subprocess.getstatusoutput("exit 3") == (3, "")
    done = subprocess.run(["sh", "-c", "cat; echo b >&2"], input=b"a", capture_output=True)
    assert isinstance(done, stdlib.CompletedProcess)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"a", b"b\n")
    assert len(ticks) > 1
    for function in (subprocess.check_call, subprocess.check_output):
        with pytest.raises(stdlib.CalledProcessError) as caught:
            function(["false"])
        assert caught.value.returncode == 1
    for function in (subprocess.call, subprocess.check_output, subprocess.run):
        start = time.monotonic()
        with pytest.raises(stdlib.TimeoutExpired):
            function(["sleep", "10"], timeout=0.02)
        assert time.monotonic() - start < 5


def test_a_program_that_does_not_exist(clean_hub):
    with pytest.raises(FileNotFoundError):
        subprocess.Popen(["/nowhere/to/be/found"])


def test_arguments_for_the_child(clean_hub, tmp_path):
    reader, writer = os.pipe()
    code = (
        "import os; print(os.getcwd(), os.environ['WORD'], os.getsid(0) == os.getpid());"
        f"os.write({writer}, b'passed')"
    )
    done = subprocess.run(
        python(code),
        cwd=tmp_path,
        env={**os.environ, "WORD": "word"},
        pass_fds=[writer],
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert done.stdout == f"{tmp_path} word True\n"
    assert os.read(reader, 100) == b"passed"
    os.close(reader)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_function_that_runs_in_the_child(clean_hub, tmp_path):
    def prepare():
        eventlet.sleep(0)
        os.chdir(tmp_path)

    done = subprocess.run(["pwd"], preexec_fn=prepare, stdout=subprocess.PIPE, text=True)
    assert done.stdout == f"{tmp_path}\n"


# ------------------------------------------------------------------------------------------------
# The module, and monkey patching


def test_it_is_the_standard_one_s():
    for name in ("CalledProcessError", "CompletedProcess", "SubprocessError", "TimeoutExpired"):
        assert getattr(subprocess, name) is getattr(stdlib, name)
    assert issubclass(subprocess.Popen, stdlib.Popen)
    for name in stdlib.__all__:
        assert hasattr(subprocess, name), name
    assert stdlib.Popen._wait is not subprocess.Popen._wait
    assert stdlib.io is io


@pytest.mark.parametrize("only", ["", "subprocess=True"])
def test_patching_in_place(run_python, only):
    result = run_python(
        f"""
import subprocess
from subprocess import Popen, PIPE, run
before = dict(vars(Popen)), dict(vars(subprocess))
import eventlet
eventlet.monkey_patch({only})
from eventlet import patcher
assert Popen is subprocess.Popen and run is subprocess.run
ticks = []
def tick():
    while True:
        ticks.append(None)
        eventlet.sleep(0.005)
eventlet.spawn(tick)
assert run(["sleep", "0.1"]).returncode == 0
assert len(ticks) > 1, "run blocked"
ticks.clear()
assert run(["sh", "-c", "sleep 0.1; cat"], input=b"x", capture_output=True).stdout == b"x"
assert len(ticks) > 1, "communicate blocked"
ticks.clear()
with Popen(["sh", "-c", "sleep 0.1; echo x"], stdout=PIPE) as process:
    assert process.stdout.read() == b"x\\n"
assert len(ticks) > 1, "read blocked"
ticks.clear()
real = patcher.original("subprocess")
assert real.Popen is not Popen
assert real.check_output(["sh", "-c", "sleep 0.1; echo x"]) == b"x\\n"
assert len(ticks) < 3, "the original did not block"
patcher.unpatch()
assert before == (dict(vars(Popen)), dict(vars(subprocess)))
print("end")
"""
    )
    assert result.stdout == "end\n"
