"""The standard multiprocessing in a patched process: nothing of it blocks the green threads."""

import pytest

#: What every program begins with. `early` decides what is imported first.
BEGIN = """
import sys
if {early}:
    import multiprocessing.connection, multiprocessing.pool, multiprocessing.managers
    import concurrent.futures.process
import eventlet
eventlet.monkey_patch()
import multiprocessing, os, threading, time

ticks = []

def tick():
    while True:
        ticks.append(None)
        time.sleep(0.005)

def others_ran(least=2):
    "Tell whether other green threads have run since the last call."
    found = len(ticks) >= least
    ticks.clear()
    return found

def let_others_run(wait):
    # A busy machine may stop them all for as long as a short wait takes, but not each time.
    for _ in range(20):
        ticks.clear()
        wait()
        if others_ran():
            return True
    return False

def square(number):
    time.sleep(0.02)
    return number * number

def echo(connection):
    while True:
        received = connection.recv_bytes()
        if not received:
            break
        time.sleep(0.05)
        connection.send_bytes(received)

def hold(lock, taken, enough):
    with lock:
        taken.set()
        assert enough.wait(20)

def produce(queue, number):
    time.sleep(0.1)
    for index in range(number):
        queue.put((index, os.urandom(1000)))

def fail():
    raise SystemExit(7)
"""

METHODS = ["fork", "spawn", "forkserver"]

every_method = pytest.mark.parametrize("method", METHODS)
early_or_late = pytest.mark.parametrize("early", [True, False])


@pytest.fixture
def run_program(tmp_path, run_python):
    """A function that runs a program from a file: `spawn` imports it again in the children."""

    def run(code, method, *, early=True, timeout=50):
        body = "".join(f"    {line}\n" for line in code.strip().splitlines())
        program = (
            BEGIN.format(early=early)
            + 'if __name__ == "__main__":\n'
            + "    eventlet.spawn(tick)\n"
            + f"    context = multiprocessing.get_context({method!r})\n"
            + body
        )
        (tmp_path / "program.py").write_text(program)
        return run_python(
            "import runpy, sys; sys.path.insert(0, '.'); sys.argv = ['program.py'];"
            "runpy.run_path('program.py', run_name='__main__')",
            env={"PYTHONWARNINGS": "ignore", "PYTHONPATH": str(tmp_path)},
            timeout=timeout,
        )

    return run


@every_method
@early_or_late
def test_a_process_and_a_pipe(run_program, method, early):
    result = run_program(
        """
one, two = context.Pipe()
child = context.Process(target=echo, args=(two,), daemon=True)
child.start()
ticks.clear()
one.send_bytes(b"x" * 100_000)
assert one.recv_bytes() == b"x" * 100_000
assert others_ran(), "the pipe blocked"
assert not one.poll(0)
one.send_bytes(b"y")
assert one.poll(10)
assert others_ran(), "poll blocked"
one.recv_bytes()
one.send_bytes(b"")
child.join()
assert child.exitcode == 0
child = context.Process(target=fail, daemon=True)
child.start()
child.join(10)
assert child.exitcode == 7
child = context.Process(target=time.sleep, args=(100,), daemon=True)
child.start()
assert let_others_run(lambda: child.join(0.1)), "join blocked"
assert child.is_alive()
child.terminate()
child.join()
print(child.exitcode)
""",
        method,
        early=early,
    )
    assert result.stdout == "-15\n"


@every_method
def test_a_pool(run_program, method):
    result = run_program(
        """
with context.Pool(4) as pool:
    ticks.clear()
    assert pool.map(square, range(40)) == [number * number for number in range(40)]
    assert others_ran(), "map blocked"
    pending = [pool.apply_async(square, (number,)) for number in range(10)]
    assert [found.get() for found in pending] == [number * number for number in range(10)]
    assert sorted(pool.imap_unordered(square, range(10), 2)) == [n * n for n in range(10)]
    try:
        pool.apply(divmod, (1, 0))
    except ZeroDivisionError:
        print("divided")
    pool.close()
    pool.join()
print("end")
""",
        method,
    )
    assert result.stdout == "divided\nend\n"


@every_method
def test_queues(run_program, method):
    result = run_program(
        """
queue = context.Queue()
children = [context.Process(target=produce, args=(queue, 100), daemon=True) for _ in range(2)]
for child in children:
    child.start()
ticks.clear()
found = []
readers = [eventlet.spawn(lambda: [found.append(queue.get()) for _ in range(50)]) for _ in range(4)]
for reader in readers:
    reader.wait()
assert others_ran(), "get blocked"
for child in children:
    child.join()
assert sorted(index for index, _ in found) == sorted([*range(100)] * 2)
import queue as queues
try:
    queue.get(timeout=0.05)
except queues.Empty:
    print("empty")
queue.put(1)
assert queue.get() == 1
simple = context.SimpleQueue()
child = context.Process(target=produce, args=(simple, 3), daemon=True)
child.start()
ticks.clear()
assert [simple.get()[0] for _ in range(3)] == [0, 1, 2]
assert others_ran(), "SimpleQueue blocked"
child.join()
joinable = context.JoinableQueue()
joinable.put(1)
waiter = eventlet.spawn(joinable.join)
eventlet.sleep(0.02)
assert not waiter.dead
joinable.get(), joinable.task_done()
waiter.wait()
print("end")
""",
        method,
    )
    assert result.stdout == "empty\nend\n"


@every_method
@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore"])
def test_locks(run_program, method, kind):
    result = run_program(
        f"""
lock, taken, enough = context.{kind}(), context.Event(), context.Event()
child = context.Process(target=hold, args=(lock, taken, enough), daemon=True)
child.start()
assert taken.wait(20)
assert not lock.acquire(False)
assert not lock.acquire(timeout=0.05)
assert let_others_run(lambda: lock.acquire(timeout=0.05)), "a timeout blocked"
try:
    with eventlet.Timeout(0.02):
        lock.acquire()
except eventlet.Timeout:
    pass
eventlet.spawn_after(0.05, enough.set)
ticks.clear()
with lock:
    assert others_ran(), "acquire blocked"
    # Those of one process exclude each other too.
    other = eventlet.spawn(lock.acquire)
    eventlet.sleep(0.05)
    assert not other.dead
assert other.wait() is True
if {kind!r} == "RLock":
    try:
        lock.release()
    except AssertionError:
        print("not mine")
child.join()
print("end")
""",
        method,
    )
    assert result.stdout.splitlines()[-1] == "end"
    assert ("not mine" in result.stdout) == (kind == "RLock")


def test_conditions_and_events(run_program):
    result = run_program(
        """
condition, event = context.Condition(), context.Event()
order = []

def waiter(number):
    with condition:
        condition.wait()
        order.append(number)

waiters = [eventlet.spawn(waiter, number) for number in range(3)]
eventlet.sleep(0.05)
with condition:
    condition.notify()
while not order:
    eventlet.sleep(0.005)
eventlet.sleep(0.05)
assert len(order) == 1, order
with condition:
    condition.notify_all()
for found in waiters:
    found.wait()
assert sorted(order) == [0, 1, 2]
assert not event.wait(0.1)
assert let_others_run(lambda: event.wait(0.1)), "Event.wait blocked"
eventlet.spawn_after(0.02, event.set)
assert event.wait()
barrier = context.Barrier(3)
parties = [eventlet.spawn(barrier.wait) for _ in range(3)]
assert sorted(party.wait() for party in parties) == [0, 1, 2]
with condition:
    assert not condition.wait(0.02)
print("end")
""",
        "fork",
    )
    assert result.stdout == "end\n"


@every_method
def test_a_manager(run_program, method):
    result = run_program(
        """
with context.Manager() as manager:
    table, items = manager.dict(), manager.list(range(3))
    table["key"] = "value"
    assert dict(table) == {"key": "value"} and list(items) == [0, 1, 2]
    queue = manager.Queue()
    getters = [eventlet.spawn(queue.get) for _ in range(3)]
    ticks.clear()
    eventlet.sleep(0.05)
    for number in range(3):
        queue.put(number)
    assert sorted(getter.wait() for getter in getters) == [0, 1, 2]
    assert others_ran()
print("end")
""",
        method,
    )
    assert result.stdout == "end\n"


@every_method
def test_an_executor_of_processes(run_program, method):
    result = run_program(
        """
from concurrent.futures import ProcessPoolExecutor
with ProcessPoolExecutor(2, mp_context=context) as executor:
    ticks.clear()
    assert list(executor.map(square, range(20))) == [number * number for number in range(20)]
    assert others_ran()
    assert isinstance(executor.submit(divmod, 1, 0).exception(), ZeroDivisionError)
print("end")
""",
        method,
    )
    assert result.stdout == "end\n"


def test_listener_and_client(run_program):
    result = run_program(
        """
from multiprocessing.connection import Client, Listener, wait
with Listener(("127.0.0.1", 0), authkey=b"key") as listener:
    server = eventlet.spawn(listener.accept)
    client = Client(listener.address, authkey=b"key")
    accepted = server.wait()
    getter = eventlet.spawn(accepted.recv)
    eventlet.sleep(0)
    client.send(["object"])
    assert getter.wait() == ["object"]
    assert wait([client, accepted], 0.1) == []
    assert let_others_run(lambda: wait([client, accepted], 0.1)), "wait blocked"
    client.send(1)
    assert wait([client, accepted]) == [accepted]
    client.close(), accepted.close()
print("end")
""",
        "fork",
    )
    assert result.stdout == "end\n"


def test_a_forked_child_goes_on_alone(run_program):
    result = run_program(
        """
def child():
    before = len(ticks)
    import greenlet
    time.sleep(0.05)
    assert len(ticks) == before, "the parent's green threads run here"
    assert threading.active_count() == 1, threading.enumerate()
    # But it may have its own.
    assert eventlet.spawn(square, 3).wait() == 9
    thread = threading.Thread(target=square, args=(3,))
    thread.start()
    thread.join()

def sleeper():
    time.sleep(100)

for start in (lambda function: function(), lambda function: eventlet.spawn(function).wait()):
    threading.Thread(target=sleeper, daemon=True).start()
    def run():
        process = context.Process(target=child, daemon=True)
        process.start()
        process.join()
        return process.exitcode
    print(start(run))
assert others_ran()
""",
        "fork",
    )
    assert result.stdout == "0\n0\n"


def test_all_is_put_back(run_python):
    result = run_python(
        """
import multiprocessing.connection, _multiprocessing
cls = multiprocessing.connection.Connection
before = dict(vars(cls)), _multiprocessing.SemLock
import eventlet
eventlet.monkey_patch()
assert before != (dict(vars(cls)), _multiprocessing.SemLock)
from eventlet import patcher
patcher.unpatch()
assert before == (dict(vars(cls)), _multiprocessing.SemLock)
print("end")
"""
    )
    assert result.stdout == "end\n"
