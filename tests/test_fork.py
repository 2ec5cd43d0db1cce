"""Forks of programs in full swing: the child works, and the parent loses nothing."""

from __future__ import annotations

import os
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

# A program with everything that a fork can harm. `busy` holds what goes on, `check()` says that all
# of it has come to its proper end, in the process that calls it.
PROGRAM = """
import os, sys, threading, warnings
# "This process is multi-threaded": that is what is being tested.
warnings.simplefilter("ignore", DeprecationWarning)
import eventlet
from eventlet import hubs, lock, queue, semaphore, tpool

LONG = 20
limit = eventlet.Timeout(LONG)
listener = eventlet.listen(("127.0.0.1", 0))

class Busy:
    def __init__(self):
        self.woken = []
        self.go = eventlet.Event()
        self.items = queue.Queue(1)
        self.held = lock.Lock()
        self.held.acquire()
        self.places = semaphore.Semaphore(0)
        self.ours = eventlet.connect(listener.getsockname())
        self.theirs, _ = listener.accept()
        self.threads = [
            eventlet.spawn(self.wait, "sleep", eventlet.sleep, 0.01),
            eventlet.spawn(self.wait, "event", self.go.wait),
            eventlet.spawn(self.wait, "get", self.items.get),
            eventlet.spawn(self.wait, "lock", self.held.acquire),
            eventlet.spawn(self.wait, "semaphore", self.places.acquire),
            eventlet.spawn_after(0.01, self.wait, "later", int),
        ]
        self.reader = eventlet.spawn(self.ours.recv, 1)
        self.timers = []
        hubs.get_hub().schedule_call_global(0.01, self.timers.append, 1)
        # They wait, all of them.
        eventlet.sleep(0)
        eventlet.sleep(0)

    def wait(self, name, function, *args):
        function(*args)
        self.woken.append(name)

    def check(self, with_socket):
        self.go.send()
        self.items.put("item")
        self.held.release()
        self.places.release()
        for thread in self.threads:
            thread.wait()
        assert sorted(self.woken) == ["event", "get", "later", "lock", "semaphore", "sleep"]
        assert self.timers == [1]
        # The socket is one for both processes: what is sent reaches the one that reads.
        if with_socket:
            self.theirs.sendall(b"x")
            assert self.reader.wait() == b"x"
        else:
            self.reader.kill()

def works():
    "What any program should be able to do."
    with eventlet.Timeout(LONG):
        assert eventlet.spawn(lambda: 7).wait() == 7
        assert tpool.execute(int, "7") == 7
        server = eventlet.listen(("127.0.0.1", 0))
        accepted = eventlet.spawn(server.accept)
        client = eventlet.connect(server.getsockname())
        conn, _ = accepted.wait()
        client.sendall(b"hello")
        assert conn.recv(5) == b"hello"
        for sock in (server, client, conn):
            sock.close()
        found = []
        event = eventlet.Event()
        other = threading.Thread(target=lambda: event.send(eventlet.spawn(int, "8").wait()))
        other.start()
        assert event.wait() == 8
        other.join()

def ended(child):
    "Wait for a child without holding up the others; it must have ended well."
    _, status = tpool.execute(os.waitpid, child, 0)
    assert status == 0, status

def in_child(function, *args):
    "Do it and end, with status 0 if all was well."
    try:
        function(*args)
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
"""


@pytest.fixture
def program(run_python):
    """A function that runs the program above with some more lines; stderr must stay empty."""

    def run(code, **options):
        done = run_python(PROGRAM + code + "\nprint('fine')\n", timeout=50, **options)
        assert (done.stdout, done.stderr) == ("fine\n", "")

    return run


HUBS = ["epolls", "poll", "selects"] if sys.platform.startswith("linux") else ["poll", "selects"]


@pytest.mark.parametrize("hub", HUBS)
@pytest.mark.parametrize("reader", ["parent", "child"])
@pytest.mark.parametrize("where", ["main", "green thread"])
def test_everything_goes_on_in_both(program, hub, reader, where):
    program(
        f"""
busy = Busy()
# One of the two reads from the socket; the other has to be out of its way before.
left, leave = os.pipe()
def fork():
    child = os.fork()
    if child == 0:
        if {reader == "child"}:
            os.read(left, 1)
        in_child(lambda: (busy.check({reader == "child"}), works()))
    return child
child = fork() if {where == "main"} else eventlet.spawn(fork).wait()
if {reader == "child"}:
    busy.reader.kill()
    os.write(leave, b"x")
else:
    ended(child)
busy.check({reader == "parent"})
works()
if {reader == "child"}:
    ended(child)
""",
        env={"EVENTLET_HUB": hub},
    )


def test_the_child_may_end_as_programs_do(program):
    """Not by os._exit: what runs at the end of an interpreter runs in the child, too."""
    program(
        """
busy = Busy()
assert tpool.execute(int, "1") == 1
child = os.fork()
if child == 0:
    busy.check(False)
    works()
    limit.cancel()
    sys.exit(0)
ended(child)
busy.check(True)
"""
    )


def test_a_fork_before_any_hub(program):
    program(
        """
hubs._core.set_hub(None)
child = os.fork()
if child == 0:
    in_child(works)
ended(child)
works()
"""
    )


def test_a_fork_in_an_os_thread_that_has_a_hub(program):
    program(
        """
busy = Busy()
results = []
def run():
    mine = eventlet.spawn(eventlet.sleep, 0.01)
    child = os.fork()
    if child == 0:
        in_child(lambda: (mine.wait(), works()))
    mine.wait()
    results.append(child)
thread = threading.Thread(target=run)
thread.start()
while thread.is_alive():
    eventlet.sleep(0.001)
thread.join()
ended(results[0])
busy.check(True)
works()
"""
    )


@pytest.mark.parametrize("where", ["main", "other"])
def test_a_fork_beside_hubs_of_other_os_threads(program, where):
    """The hub of the thread that forks goes on in the child, though the other threads end there."""
    program(
        f"""
ready = threading.Barrier(4)
leave = threading.Event()
def run():
    eventlet.sleep(0)
    ready.wait()
    leave.wait(LONG)
    eventlet.sleep(0)
threads = [threading.Thread(target=run) for _ in range(3)]
for thread in threads:
    thread.start()
ready.wait()
def fork():
    hub = hubs.get_hub()
    mine = eventlet.spawn(eventlet.sleep, 0.01)
    child = os.fork()
    if child == 0:
        def check():
            assert hubs.get_hub() is hub and hub.running
            mine.wait()
            works()
        in_child(check)
    mine.wait()
    return child
def run_fork():
    results.append(eventlet.spawn(fork).wait())
results = []
if {where == "main"}:
    run_fork()
else:
    thread = threading.Thread(target=run_fork)
    thread.start()
    threads.append(thread)
    while not results:
        eventlet.sleep(0.001)
ended(results[0])
leave.set()
for thread in threads:
    thread.join()
works()
"""
    )


def test_a_fork_in_a_thread_of_tpool(program):
    program(
        """
busy = Busy()
def fork():
    child = os.fork()
    if child == 0:
        in_child(works)
    return child
ended(tpool.execute(fork))
busy.check(True)
works()
"""
    )


def test_calls_under_way_in_tpool_stay_with_the_parent(program):
    program(
        """
gate = threading.Event()
tpool.set_num_threads(2)
calls = [eventlet.spawn(tpool.execute, gate.wait, LONG) for _ in range(5)]
eventlet.sleep(0)
pool = tpool.ThreadPool(2)
assert pool.execute(int, "1") == 1
executor = tpool.Executor(2)
futures = [executor.submit(gate.wait, LONG) for _ in range(4)]
child = os.fork()
if child == 0:
    def check():
        works()
        assert pool.execute(int, "2") == 2
        assert executor.submit(int, "3").result() == 3
        # Nobody makes these calls here, and nobody waits for ever to end.
        assert not any(call.dead for call in calls)
        tpool.killall()
    in_child(check)
ended_later = eventlet.spawn(os.waitpid, child, 0)
gate.set()
assert all(call.wait() for call in calls)
assert all(future.result() for future in futures)
assert ended_later.wait()[1] == 0
assert pool.execute(int, "2") == 2
tpool.killall()
"""
    )


def test_what_other_threads_sent_just_before(program):
    """A message that the hub has not read yet is not lost, and the child's copy does no harm."""
    program(
        """
event = eventlet.Event()
waiter = eventlet.spawn(event.wait)
eventlet.sleep(0)
calls = []
hub = hubs.get_hub()
def send():
    event.send("sent")
    hub.call_soon_threadsafe(calls.append, 1)
thread = threading.Thread(target=send)
thread.start()
thread.join()
child = os.fork()
def check():
    assert waiter.wait() == "sent"
    eventlet.sleep(0)
    assert calls == [1]
    works()
if child == 0:
    in_child(check)
check()
ended(child)
"""
    )


def test_locks_that_other_os_threads_hold(program):
    """Such a lock stays locked in the child, where a fork hook may make it new."""
    program(
        """
held = lock.Lock()
taken = threading.Event()
leave = threading.Event()
def hold():
    with held:
        taken.set()
        leave.wait(LONG)
thread = threading.Thread(target=hold)
thread.start()
taken.wait(LONG)
os.register_at_fork(after_in_child=held._at_fork_reinit)
child = os.fork()
if child == 0:
    in_child(lambda: (held.acquire(timeout=LONG) or os._exit(2), works()))
waiter = eventlet.spawn(held.acquire)
eventlet.sleep(0)
leave.set()
assert waiter.wait()
thread.join()
ended(child)
"""
    )


def test_hubs_of_other_os_threads_end_without_taking_this_one_along(program):
    program(
        """
ready, leave = threading.Event(), threading.Event()
def other():
    eventlet.sleep(0)
    ready.set()
    leave.wait(LONG)
thread = threading.Thread(target=other)
thread.start()
ready.wait(LONG)
busy = Busy()
before = hubs.get_hub()
child = os.fork()
if child == 0:
    in_child(lambda: (busy.check(False), before is hubs.get_hub() or os._exit(2)))
busy.check(True)
leave.set()
thread.join()
ended(child)
"""
    )


def test_children_of_children(program):
    program(
        """
busy = Busy()
def descend(depth):
    child = os.fork()
    if child == 0:
        in_child(lambda: (depth and descend(depth - 1), busy.check(False), works()))
    ended(child)
descend(3)
busy.check(True)
"""
    )


def test_many_forks(program):
    """Workers as a pre-forking server has them: all accept from one listener."""
    program(
        """
pids = []
shared = eventlet.listen(("127.0.0.1", 0))
for _ in range(4):
    pid = os.fork()
    if pid == 0:
        def serve():
            while True:
                conn, _ = shared.accept()
                conn.sendall(b"%d" % os.getpid())
                conn.close()
        in_child(serve)
    pids.append(pid)
seen = set()
for _ in range(50):
    conn = eventlet.connect(shared.getsockname())
    seen.add(int(conn.makefile().read()))
    conn.close()
assert seen and seen <= {*pids}, (seen, pids)
import signal
for pid in pids:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
works()
"""
    )


def test_descriptors_do_not_pile_up(program):
    program(
        """
import pathlib
works()
def count():
    return len([*pathlib.Path("/proc/self/fd").iterdir()]) if os.path.exists("/proc") else 0
before = count()
def descend(depth):
    child = os.fork()
    if child == 0:
        def check():
            works()
            # The hub has made its own descriptors again, and closed its parent's.
            assert count() <= before, (count(), before)
            if depth:
                descend(depth - 1)
        in_child(check)
    ended(child)
descend(4)
assert count() <= before
"""
    )


# multiprocessing and posix_spawn

WORKER = """
def square(number):
    import eventlet
    return eventlet.spawn(lambda: number * number).wait()

def talk(connection):
    import eventlet
    from eventlet import tpool
    while True:
        got = tpool.execute(connection.recv)
        if got is None:
            return
        eventlet.sleep(0)
        connection.send(got + 1)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(tmp_path, run_python, method):
    (tmp_path / "worker.py").write_text(WORKER)
    done = run_python(
        f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
{PROGRAM}
import multiprocessing
import worker

def main():
    busy = Busy()
    context = multiprocessing.get_context({method!r})
    ours, theirs = context.Pipe()
    process = context.Process(target=worker.talk, args=(theirs,))
    process.start()
    theirs.close()
    for number in range(5):
        tpool.execute(ours.send, number)
        assert tpool.execute(ours.recv) == number + 1
    tpool.execute(ours.send, None)
    tpool.execute(process.join)
    assert process.exitcode == 0
    with context.Pool(2) as pool:
        assert tpool.execute(pool.map, worker.square, range(10)) == [n * n for n in range(10)]
    busy.check(True)
    works()
    print("fine")

if __name__ == "__main__":
    main()
""",
        timeout=50,
    )
    assert (done.stdout, done.stderr) == ("fine\n", "")


@pytest.mark.skipif(not hasattr(os, "posix_spawn"), reason="no posix_spawn here")
def test_posix_spawn(program):
    program(
        """
busy = Busy()
tpool.execute(int)
code = "import eventlet; assert eventlet.spawn(int, '7').wait() == 7"
child = os.posix_spawn(sys.executable, [sys.executable, "-c", code], os.environ)
ended(child)
busy.check(True)
works()
"""
    )


def test_subprocess(program):
    program(
        """
import subprocess
busy = Busy()
code = "import eventlet; print(eventlet.spawn(int, '7').wait())"
for options in ({}, {"preexec_fn": lambda: eventlet.spawn(int)}):
    done = tpool.execute(
        subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True, **options
    )
    assert (done.returncode, done.stdout) == (0, "7\\n"), done
busy.check(True)
works()
"""
    )


def test_daemon_threads_with_hubs_do_not_disturb_the_end(program):
    """The interpreter ends while green threads of other OS threads do all kinds of things."""
    program(
        """
import time
def turns():
    while True:
        eventlet.sleep(0)
def ticks():
    while True:
        eventlet.sleep(0.0001)
def naps():
    while True:
        time.sleep(0.0001)
def computes():
    while True:
        pass
def run(function, started):
    def body():
        started.set()
        function()
    eventlet.spawn(body).wait()
threads = []
sleeps = lambda: eventlet.sleep(1000)
for function in (turns, ticks, naps, computes, sleeps, threading.Event().wait):
    started = threading.Event()
    threading.Thread(target=run, args=(function, started), daemon=True).start()
    assert started.wait(LONG)
time.sleep(0.05)
limit.cancel()
"""
    )


def test_a_fork_waits_for_threads_that_are_ending(run_python):
    """The end of an OS thread takes a lock of greenlet's that the child would never get."""
    done = run_python(
        """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)
left = []
# What is registered first is called last.
os.register_at_fork(before=lambda: left.append(len(_os_threads._ending)))
import eventlet
from eventlet import _os_threads, tpool
pool = tpool.ThreadPool(8, idle_seconds=0)
ended = 0
for _ in range(50):
    for thread in [eventlet.spawn(pool.execute, int) for _ in range(8)]:
        thread.wait()
    ended += len(_os_threads._ending)
    child = os.fork()
    if not child:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
assert ended > 0, "no thread has ended"
print(*set(left))
"""
    )
    assert (done.stdout, done.stderr) == ("0\n", "")
