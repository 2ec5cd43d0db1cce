"""What is made of locks from before patching: conditions, queues, executors, logging."""

from __future__ import annotations


def test_conditions_and_what_is_made_of_them(program):
    program(
        """
def wait(condition, got):
    with condition:
        got.append(condition.wait(10))
for each in (condition, threading.Condition(plain), threading.Condition(threading.RLock())):
    for notify in ("notify_all", "notify"):
        got = []
        threads = [eventlet.spawn(wait, each, got) for _ in range(3)]
        until(lambda: len(each._waiters) == 3)
        each.acquire()
        if notify == "notify":
            each.notify(3)
        else:
            each.notify_all()
        each.release()
        for thread in threads:
            thread.wait()
        assert got == [True] * 3
        with each:
            assert each.wait(0.001) is False
    works(each)

getters = [eventlet.spawn(items.get) for _ in range(3)]
eventlet.sleep(0)
for number in range(3):
    items.put(number)
assert sorted(getter.wait() for getter in getters) == [0, 1, 2]

waiters = [eventlet.spawn(event.wait) for _ in range(3)]
eventlet.sleep(0)
event.set()
assert [waiter.wait() for waiter in waiters] == [True] * 3
"""
    )


def test_simple_queues(program):
    program(
        """
getters = [eventlet.spawn(simple.get) for _ in range(4)]
eventlet.sleep(0)
for number in range(3):
    simple.put(number)
assert simple.qsize() == 3
other = Thread(target=simple.put_nowait, args=(3,))
other.start()
assert [getter.wait() for getter in getters] == [0, 1, 2, 3]
other.join()
for call in (simple.get_nowait, simple.get):
    args = (False,) if call == simple.get else ()
    raises(queue.Empty, call, *args)
raises(queue.Empty, simple.get, True, 0.001)
raises(queue.Empty, simple.get, True, 0)
raises(ValueError, simple.get, True, -1)
simple.put(4, block=False, timeout=-1)
assert simple.get(block=True, timeout=None) == 4
killed = eventlet.spawn(simple.get)
late = eventlet.spawn(raises, queue.Empty, simple.get, True, 0.001)
last = eventlet.spawn(simple.get)
late.wait()
simple.put(5)
killed.kill()
assert last.wait() == 5
got = []
def native():
    while (item := simple.get()) is not None:
        got.append(item)
def green():
    for thread in [eventlet.spawn(native) for _ in range(2)]:
        thread.wait()
others = [Thread(target=native), Thread(target=green)]
for thread in others:
    thread.start()
own = eventlet.spawn(native)
for number in range(200):
    simple.put(number)
    if number % 7 == 0:
        eventlet.sleep(0)
for _ in range(4):
    simple.put(None)
own.wait()
until(lambda: not any(thread.is_alive() for thread in others))
assert sorted(got) == [*range(200)]
"""
    )


def test_an_executor_from_before(program):
    program(
        """
import concurrent.futures
executor = concurrent.futures.ThreadPoolExecutor(2)
executor.submit(int).result()
patch(True)
futures = [executor.submit(time.sleep, 0.01) for _ in range(4)]
ticks = []
def tick():
    while True:
        ticks.append(1)
        eventlet.sleep(0.001)
thread = eventlet.spawn(tick)
for future in futures:
    eventlet.spawn(future.result).wait()
thread.kill()
assert len(ticks) > 3
eventlet.spawn(executor.shutdown).wait()
""",
        patch=False,
    )


def test_attributes_of_conditions(program):
    program(
        """
class Own(threading.Condition):
    def _is_owned(self):
        return super()._is_owned()
own = Own()
with own:
    own.notify()
own.acquire = len
assert own.acquire is len
del own.acquire
raises(AttributeError, getattr, own, "acquire")
raises(AttributeError, delattr, own, "acquire")
raises(AttributeError, getattr, threading.Condition, "acquire")
assert callable(threading.Condition._is_owned)
assert condition.release == condition._lock.release
"""
    )


def test_logging_to_a_handler_that_waits(program):
    program(
        """
lines, most = [], [0]
class Slow(logging.Handler):
    inside = 0
    def emit(self, record):
        self.inside += 1
        most[0] = max(most[0], self.inside)
        eventlet.sleep(0)
        lines.append(record.getMessage())
        self.inside -= 1
logging.basicConfig(handlers=[Slow()], level=logging.INFO)
patch(True)
threads = [eventlet.spawn(logging.info, "%d", number) for number in range(10)]
other = Thread(target=logging.info, args=("other",))
other.start()
for thread in threads:
    thread.wait()
until(lambda: not other.is_alive())
assert most == [1]
assert sorted(lines) == sorted([*map(str, range(10)), "other"])
child = os.fork() if hasattr(os, "fork") else None
if child == 0:
    logging.info("child")
    os._exit(lines[-1] != "child")
if child:
    assert os.waitpid(child, 0)[1] == 0
""",
        patch=False,
    )
