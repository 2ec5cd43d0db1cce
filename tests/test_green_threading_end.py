"""How threads that are green threads end: by an exception, killed, with the program."""

from support.patched import PATCHED


def test_nothing_of_a_thread_is_left(run_python):
    run_python(
        PATCHED
        + """
import gc, weakref
from eventlet.green import thread as green_thread
class Watched(threading.Thread):
    def run(self):
        threading.current_thread()
def run():
    threading.current_thread()
for _ in range(100):
    eventlet.spawn(run).wait()
    thread = Watched()
    thread.start()
    thread.join()
gone = weakref.ref(thread)
del thread
gc.collect()
assert gone() is None
gc.disable()
def count():
    return len(gc.get_objects())
for _ in range(2):
    before = count()
    for _ in range(500):
        eventlet.spawn(run).wait()
    grown = count() - before
assert grown < 50, grown
assert not green_thread._running
assert len(threading._active) == 1 and not threading._limbo
assert len(getattr(threading, "_shutdown_locks", ())) <= 1  # that of the main thread
"""
    )


def test_an_exception_is_reported_as_threads_do(run_python):
    done = run_python(
        PATCHED
        + """
def fail():
    raise ValueError("seen")
def leave():
    sys.exit("unseen")
for target in (fail, leave):
    thread = threading.Thread(target=target, name="T")
    thread.start()
    thread.join()
caught = []
threading.excepthook = caught.append
thread = threading.Thread(target=fail, name="T")
thread.start()
thread.join()
(args,) = caught
assert args.exc_type is ValueError and args.thread is thread
"""
    )
    assert done.stderr.count("Exception in thread T:") == 1
    assert "ValueError: seen" in done.stderr
    assert "unseen" not in done.stderr


def test_a_killed_thread_is_quiet(run_python):
    done = run_python(
        PATCHED
        + """
def run():
    started.append(eventlet.getcurrent())
    time.sleep(60)
started = []
thread = threading.Thread(target=run)
thread.start()
time.sleep(0)
eventlet.kill(*started)
thread.join()
assert not thread.is_alive()
"""
    )
    assert done.stderr == ""


def test_an_interrupt_reaches_the_main_thread(run_python):
    run_python(
        PATCHED
        + """
import signal
def run():
    os.kill(os.getpid(), signal.SIGINT)
    while True:
        pass
thread = threading.Thread(target=run, daemon=True)
try:
    thread.start()
    thread.join()
except KeyboardInterrupt:
    pass
else:
    raise AssertionError
assert not thread.is_alive()
"""
    )


def test_the_interpreter_waits_for_threads_but_daemons(run_python):
    done = run_python(
        PATCHED
        + """
real = eventlet.patcher.original("threading")
go, last = threading.Event(), threading.Event()
def run(name, seconds):
    go.wait()
    time.sleep(seconds)
    print(name, flush=True)
    if name == "first":
        threading.Thread(target=run, args=("third", 0.01)).start()
    if name == "third":
        last.set()
threading.Thread(target=run, args=("first", 0.01)).start()
threading.Thread(target=run, args=("daemon", 60), daemon=True).start()
def run_really():
    last.wait()
    print("real", flush=True)
real.Thread(target=run_really).start()
print("main", flush=True)
go.set()
"""
    )
    assert done.stdout.split() == ["main", "first", "third", "real"]
    assert done.stderr == ""


def test_threads_that_a_pool_thread_has_started_come_to_their_end(run_python):
    done = run_python(
        PATCHED
        + """
from concurrent.futures import ThreadPoolExecutor
from eventlet import tpool
def run():
    time.sleep(0.01)
    print("thread")
def call():
    threading.Thread(target=run, daemon=False).start()
    kept.append(ThreadPoolExecutor())
    return kept[0].submit(int, "7").result()
kept = []
assert tpool.execute(call) == 7
"""
    )
    assert done.stdout == "thread\n"


def test_unpatched_green_threads_are_waited_for_too(run_python):
    done = run_python(
        """
from eventlet.green import threading, time
def run(seconds):
    time.sleep(seconds)
    print(seconds)
threading.Thread(target=run, args=(0.01,)).start()
threading.Thread(target=run, args=(60,), daemon=True).start()
"""
    )
    assert done.stdout.split() == ["0.01"]


def test_an_executor_that_nobody_shuts_down_ends_with_the_program(run_python):
    done = run_python(
        PATCHED
        + """
from concurrent.futures import ThreadPoolExecutor
executor = ThreadPoolExecutor(2)
executor.submit(time.sleep, 0.01).add_done_callback(lambda _: print("done"))
"""
    )
    assert done.stdout == "done\n"
