"""Switches that help to find mistakes, and views of what a program is doing."""

from __future__ import annotations

import gc
import io
import queue as real_queue
import sys
import threading

import pytest

import eventlet
from eventlet import debug, event, greenpool, hubs, tpool

pytestmark = pytest.mark.usefixtures("limit")

LONG = 20


# Tracing


def traced(capsys, **options):
    """Return what is printed while a function runs under `spew`."""

    def add(first, second):
        total = first + second
        return total

    old = sys.gettrace()
    debug.spew(**options)
    try:
        add(1, "x" if options.get("fail") else 2)
    finally:
        debug.unspew()
        sys.settrace(old)
    return capsys.readouterr().out


def test_spew(capsys):
    out = traced(capsys, trace_names=[__name__])
    assert f"{__name__}:" in out
    assert "total = first + second\n" in out
    assert "first=1" not in out


def test_spew_shows_values(capsys):
    out = traced(capsys, trace_names=[__name__], show_values=True)
    assert "first=1 second=2" in out


def test_spew_of_other_modules_only(capsys):
    assert traced(capsys, trace_names=["somewhere.else"]) == ""


def test_unspew():
    old = sys.gettrace()
    debug.spew()
    assert isinstance(sys.gettrace(), debug.Spew)
    debug.unspew()
    assert sys.gettrace() is None
    sys.settrace(old)


def test_spew_of_code_without_a_file(capsys):
    tracer = debug.Spew()
    frame = eval("__import__('sys')._getframe()", {})
    assert tracer(frame, "line", None) is tracer
    out = capsys.readouterr().out
    assert "[unknown]:1: " in out


def test_spew_of_objects_that_cannot_be_shown(capsys):
    class Shy:
        def __repr__(self):
            raise ValueError

    shy = Shy()
    frame = sys._getframe()
    tracer = debug.Spew()
    assert tracer(frame, "line", shy) is tracer
    assert "shy=<Shy whose repr() raises ValueError>" in capsys.readouterr().out


# Views


def waits_for_data(sock):
    sock.recv(1)


def sleeps_for_long():
    eventlet.sleep(1000)


@pytest.fixture
def waiting(listener):
    """A green thread that waits to read, and its descriptor."""
    ours = eventlet.connect(listener.getsockname())
    theirs, _ = listener.accept()
    thread = eventlet.spawn(waits_for_data, ours)
    eventlet.sleep(0)
    yield thread, ours.fileno()
    thread.kill()
    ours.close()
    theirs.close()


def test_format_hub_listeners(waiting):
    fileno = waiting[1]
    text = debug.format_hub_listeners()
    lines = text.splitlines()
    assert lines[0] == "READERS:"
    assert "WRITERS:" in lines
    assert any(str(fileno) in line for line in lines[1 : lines.index("WRITERS:")])
    assert "waits_for_data" not in text


def test_hub_listener_stacks(waiting):
    debug.hub_listener_stacks(True)
    try:
        assert "in waits_for_data" in debug.format_hub_listeners()
    finally:
        debug.hub_listener_stacks(False)
    assert "in waits_for_data" not in debug.format_hub_listeners()


def test_format_hub_timers():
    timer = hubs.get_hub().schedule_call_global(1000, print)
    debug.hub_timer_stacks(True)
    try:
        assert debug.format_hub_timers().startswith("TIMERS:")
    finally:
        debug.hub_timer_stacks(False)
        timer.cancel()


def test_format_threads_info():
    assert debug.format_threads_info().startswith("THREADS:")
    assert "MainThread" in debug.format_threads_info()


def test_format_asyncio_info(run_python):
    done = run_python(
        """
import asyncio
from eventlet import debug

async def main():
    task = asyncio.ensure_future(asyncio.sleep(0, "x"))
    text = debug.format_asyncio_info()
    await task
    return text

text = asyncio.run(main())
assert text.startswith("TASKS:"), text
assert "EVENTLOOP: <" in text and "main()" in text and "sleep()" in text, text
assert "EVENTLOOP: None" in debug.format_asyncio_info()
""",
        env={"EVENTLET_HUB": ""},  # one that has no loop of its own
    )
    assert done.stderr == ""


def test_dump_greenthreads(waiting, capsys):
    sleeper = eventlet.spawn(sleeps_for_long)
    # Its stack is native all the way down.
    native = eventlet.spawn(event.Event().wait)
    eventlet.sleep(0)
    unstarted = eventlet.spawn(sleeps_for_long)
    debug.dump_greenthreads()
    text = capsys.readouterr().err
    assert f"{waiting[0]!r}: waiting\n" in text
    assert "in waits_for_data" in text
    assert f"{sleeper!r}: waiting\n" in text
    assert "in sleeps_for_long" in text
    assert f"{native!r}: waiting\n" in text
    assert f"{unstarted!r}: not started\n" in text
    assert ": running\n" in text
    assert "in test_dump_greenthreads" in text
    assert ": hub\n" in text
    assert "MainThread (" in text
    file = io.StringIO()
    debug.dump_greenthreads(file)
    assert "in sleeps_for_long" in file.getvalue()
    for thread in (sleeper, native, unstarted):
        thread.kill()


def test_dump_greenthreads_from_another_thread(waiting):
    found = []
    thread = threading.Thread(target=lambda: found.append(debug.format_greenthreads()))
    thread.start()
    thread.join()
    assert "in waits_for_data" in found[0]


def test_dump_greenthreads_after_a_freeze():
    def sleeps_before():
        eventlet.sleep(1000)

    sleeper = eventlet.spawn(sleeps_before)
    eventlet.sleep(0)
    gc.freeze()
    try:
        text = debug.format_greenthreads()
    finally:
        gc.unfreeze()
    assert text.count(f"{sleeper!r}: waiting\n") == 1
    assert "in sleeps_before" in text
    assert text.count(": running\n") == text.count(": hub\n") == 1
    sleeper.kill()


# Switches


def test_hub_exceptions(capsys):
    hub = hubs.get_hub()
    was = hub.debug_exceptions
    try:
        for on in (True, False):
            debug.hub_exceptions(on)
            assert greenpool.DEBUG is on
            thread = eventlet.spawn(lambda: {}["missing"])
            with pytest.raises(KeyError):
                thread.wait()
            assert ("KeyError: 'missing'" in capsys.readouterr().err) == on
    finally:
        debug.hub_exceptions(was)


def test_tpool_exceptions(capsys):
    debug.tpool_exceptions(True)
    try:
        with pytest.raises(ValueError):
            tpool.execute(int, "x")
        assert "ValueError: invalid literal" in capsys.readouterr().err
    finally:
        debug.tpool_exceptions(False)
    with pytest.raises(ValueError):
        tpool.execute(int, "x")
    assert capsys.readouterr().err == ""


def test_hub_prevent_multiple_readers(listener):
    ours = eventlet.connect(listener.getsockname())
    theirs, _ = listener.accept()
    first = eventlet.spawn(ours.recv, 1)
    eventlet.sleep(0)
    with pytest.raises(RuntimeError, match="Second simultaneous read"):
        ours.recv(1)
    debug.hub_prevent_multiple_readers(False)
    try:
        second = eventlet.spawn(ours.recv, 1)
        eventlet.sleep(0)
        theirs.sendall(b"xy")
        assert {first.wait(), second.wait()} == {b"x", b"y"}
    finally:
        debug.hub_prevent_multiple_readers(True)
    ours.close()
    theirs.close()


# Blocking


class Reports:
    """Collects the reports of the watchdog."""

    def __init__(self):
        self.queue = real_queue.Queue()

    def next(self):
        """Return the next one, holding up this OS thread until it comes."""
        return self.queue.get(True, LONG)


@pytest.fixture
def reports():
    reports = Reports()
    sleeper = eventlet.spawn(sleeps_for_long)
    eventlet.sleep(0)
    debug.hub_blocking_detection(True, 0.02, reports.queue.put)
    yield reports
    debug.hub_blocking_detection(False)
    sleeper.kill()


def blocks_until_reported(reports):
    """What no green thread should do: wait for another OS thread, and the whole hub with it."""
    return reports.next()


def test_who_blocks_is_reported(reports):
    thread = eventlet.spawn(blocks_until_reported, reports)
    report = thread.wait()
    assert report.greenlet is thread
    assert report.seconds >= 0.02
    assert "in blocks_until_reported" in report.stack
    assert (report.thread_ident, report.thread_name) == (threading.get_ident(), "MainThread")
    assert "has blocked the hub of MainThread" in str(report)
    assert repr(thread) in str(report)


def test_a_busy_loop_is_reported(reports):
    def spins():
        while reports.queue.empty():
            pass

    thread = eventlet.spawn(spins)
    thread.wait()
    report = reports.next()
    assert report.greenlet is thread
    assert "in spins" in report.stack


def test_the_main_greenlet_blocks_as_well(reports):
    report = blocks_until_reported(reports)
    assert report.greenlet is eventlet.getcurrent()


def test_a_callback_of_the_hub_blocks_as_well(reports):
    found = event.Event()
    hubs.get_hub().schedule_call_global(0, lambda: found.send(blocks_until_reported(reports)))
    report = found.wait()
    assert report.greenlet is None
    assert "in blocks_until_reported" in report.stack


def test_it_is_reported_again_as_it_goes_on(reports):
    first, second = reports.next(), reports.next()
    assert second.seconds >= 2 * 0.02
    assert second.seconds > first.seconds


def test_who_waits_blocks_nobody(reports):
    eventlet.sleep(0.1)
    threads = [eventlet.spawn(eventlet.sleep, 0.001 * n) for n in range(50)]
    for thread in threads:
        thread.wait()
    assert reports.queue.empty()


def test_nothing_is_reported_without_anybody_else(run_python):
    done = run_python(
        """
import time
from eventlet import debug
debug.hub_blocking_detection(True, 0.01)
time.sleep(0.2)
"""
    )
    assert done.stderr == ""


def test_it_is_reported_to_stderr_and_raises_nothing(run_python):
    done = run_python(
        """
import time, eventlet
from eventlet import debug
debug.hub_blocking_detection(True, resolution=0.05)
def blocker():
    time.sleep(0.5)
    return "unharmed"
other = eventlet.spawn(eventlet.sleep, 0.01)
print(eventlet.spawn(blocker).wait())
debug.hub_blocking_detection()
debug.hub_blocking_detection(False)
other.wait()
"""
    )
    assert done.stdout == "unharmed\n"
    assert "GreenThread" in done.stderr
    assert "has blocked the hub of MainThread" in done.stderr
    assert "in blocker" in done.stderr


def test_each_os_thread_switches_it_for_itself(reports):
    theirs = Reports()

    def run():
        debug.hub_blocking_detection(True, 0.02, theirs.queue.put)
        sleeper = eventlet.spawn(sleeps_for_long)
        eventlet.sleep(0)
        found.append(blocks_until_reported(theirs))
        debug.hub_blocking_detection(False)
        sleeper.kill()

    found = []
    thread = threading.Thread(target=run, name="another")
    thread.start()
    # It does not block this hub.
    while thread.is_alive():
        eventlet.sleep(0.005)
    assert found[0].thread_name == "another"
    assert reports.queue.empty()


def test_a_report_that_fails_does_not_end_it(reports, capsys):
    calls = []

    def fails(report):
        calls.append(report)
        if len(calls) == 1:
            raise ValueError("the first one")
        reports.queue.put(report)

    debug.hub_blocking_detection(True, 0.02, fails)
    assert reports.next().seconds > 0
    assert "the first one" in capsys.readouterr().err


def test_the_detection_goes_on_in_a_forked_child(run_python):
    run_python(
        """
import os, sys, warnings, queue, eventlet
warnings.simplefilter("ignore")
from eventlet import debug
reports = queue.Queue()
other = eventlet.spawn(eventlet.sleep, 1000)
eventlet.sleep(0)
debug.hub_blocking_detection(True, 0.02, reports.put)
child = os.fork()
reports.get(True, 20)
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    )


@pytest.mark.parametrize("resolution", [0, -1])
def test_resolution_is_a_time(resolution):
    with pytest.raises(ValueError):
        debug.hub_blocking_detection(True, resolution)
