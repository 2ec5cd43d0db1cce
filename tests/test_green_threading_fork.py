"""Forking with threads that are green threads: which of them the child has."""

import pytest

from support.patched import PATCHED


def test_fork_keeps_green_threads(run_python):
    run_python(
        PATCHED
        + """
def work():
    while go_on:
        time.sleep(0.001)
    ended.append(threading.current_thread().name)
go_on, ended = True, []
threads = [threading.Thread(target=work, name=f"t{n}") for n in range(3)]
for thread in threads:
    thread.start()
spawned = eventlet.spawn(threading.current_thread).wait()
pid = os.fork()
in_child = not pid
assert threading.enumerate()[1:] == threads, threading.enumerate()
assert threading.current_thread() is threading.main_thread() is threading.enumerate()[0]
assert threading.main_thread().native_id == threading.get_native_id()
go_on = False
for thread in threads:
    thread.join(5)
    assert not thread.is_alive()
assert sorted(ended) == ["t0", "t1", "t2"]
more = threading.Thread(target=ended.append, args=("more",))
more.start()
more.join()
assert ended[-1] == "more" and threading.active_count() == 1
if in_child:
    sys.exit(7)
_, status = os.waitpid(pid, 0)
assert os.waitstatus_to_exitcode(status) == 7
"""
    )


@pytest.mark.parametrize("how", ["threading.Thread(target=fork).start()", "eventlet.spawn(fork)"])
def test_fork_in_a_green_thread(run_python, how):
    run_python(
        PATCHED
        + f"""
def wait():
    assert done.wait(5)
    woken.append(1)
def fork():
    lock.acquire()
    pid = os.fork()
    assert threading.current_thread().ident == threading.get_ident()
    lock.release()
    if pid:
        _, status = os.waitpid(pid, 0)
        statuses.append(status)
    forked.append(pid)
    done.set()
statuses, forked, woken = [], [], []
lock = threading.RLock()
done = threading.Event()
waiter = threading.Thread(target=wait)
waiter.start()
{how}
assert done.wait(5)
waiter.join(5)
assert woken == [1] and not waiter.is_alive()
assert threading.current_thread() is threading.main_thread()
with lock:
    pass
if forked[0]:
    assert statuses == [0]
"""
    )


def test_threads_of_other_os_threads_are_gone_in_a_child(run_python):
    run_python(
        PATCHED
        + """
real = eventlet.patcher.original("threading")
go = True
def green():
    while go:
        time.sleep(0.001)
def os_thread():
    theirs.append(threading.Thread(target=green, name="theirs"))
    theirs[0].start()
    started.set()
    theirs[0].join()
theirs = []
started = threading.Event()
thread = real.Thread(target=os_thread)
thread.start()
started.wait()
mine = threading.Thread(target=green, name="mine")
mine.start()
pid = os.fork()
if pid == 0:
    assert theirs[0] not in threading.enumerate() and mine in threading.enumerate()
    assert not theirs[0].is_alive()
    theirs[0].join(5)
    go = False
    mine.join(5)
    os._exit(0)
assert theirs[0] in threading.enumerate() and theirs[0].is_alive()
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
go = False
thread.join()
mine.join()
assert threading.active_count() == 1
"""
    )


def test_fork_in_another_os_thread(run_python):
    run_python(
        PATCHED
        + """
from eventlet import tpool
def fork():
    pid = os.fork()
    if pid == 0:
        ok = mine not in threading.enumerate()
        thread = threading.Thread(target=lambda: ran.append(1))
        thread.start()
        thread.join()
        os._exit(0 if ok and ran == [1] else 1)
    return os.waitpid(pid, 0)[1]
ran = []
go = threading.Event()
mine = threading.Thread(target=go.wait)
mine.start()
assert tpool.execute(fork) == 0
assert mine.is_alive()
go.set()
mine.join()
""",
        timeout=20,
    )
