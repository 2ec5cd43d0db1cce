"""Threads, and modules and names of threading, from before a program was patched."""


def test_names_imported_before_patching_are_green(run_python):
    run_python(
        """
from threading import Barrier, Condition, Event, Semaphore, Thread, Timer
from queue import Queue
early = Thread(target=lambda: order.append("early"))
import eventlet, warnings
eventlet.monkey_patch()
import time
order = []
event, queue, condition = Event(), Queue(), Condition()
def wait():
    assert event.wait(5)
    order.append(queue.get(timeout=5))
    with condition:
        condition.notify()
thread = Thread(target=wait)
thread.start()
Timer(0.001, event.set).start()
with condition:
    queue.put("item")
    assert condition.wait(5)
thread.join()
early.start()
early.join()
assert order == ["item", "early"]
assert not early.is_alive()
"""
    )


def test_current_thread_imported_before_patching(run_python):
    run_python(
        """
from threading import current_thread
import threading, warnings
warnings.simplefilter("ignore")
import eventlet
eventlet.monkey_patch()
def look():
    assert current_thread() is threading.current_thread()
    return current_thread()
first, second = (eventlet.spawn(look).wait() for _ in range(2))
assert first is not second and first.ident != second.ident
assert look() is threading.main_thread()
assert threading.enumerate() == [threading.main_thread()]
"""
    )


def test_threads_from_before_patching_are_found_afterwards(run_python):
    run_python(
        """
from eventlet.green import threading as green
go, here = green.Event(), []
def work():
    go.wait()
    here.append(threading.current_thread())
    os.fork() or os._exit(0)
early = green.Thread(target=work)
early.start()
import eventlet
eventlet.monkey_patch()
import os, threading
assert early in threading.enumerate() and green.enumerate() == threading.enumerate()
late = threading.Thread(target=work)
late.start()
go.set()
for thread in (early, late):
    thread.join()
assert here == [early, late]
assert threading.enumerate() == [threading.main_thread()]
assert threading.current_thread() is threading.main_thread() is green.main_thread()
os.wait(), os.wait()
"""
    )


def test_joining_an_os_thread_from_before_patching(run_python):
    run_python(
        """
import threading, time, _thread
go = _thread.allocate_lock()
go.acquire()
def work():
    go.acquire()
early = threading.Thread(target=work)
early.start()
import eventlet
eventlet.monkey_patch()
ran = []
def other():
    ran.append(1)
    time.sleep(0.01)
    go.release()
eventlet.spawn(other)
early.join(0.001)
assert early.is_alive() and early in threading.enumerate()
early.join()
assert ran and not early.is_alive()
early.join()
assert threading.enumerate() == [threading.main_thread()]
eventlet.patcher.unpatch()
assert not early.is_alive() and threading.main_thread().is_alive()
""",
        timeout=20,
    )
