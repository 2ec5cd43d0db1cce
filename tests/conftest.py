"""Fixtures that every test may use, and the watchdog that ends a run whose test hangs.

Tests bind to port 0 and ask the socket for the address it got: a port picked beforehand may be
somebody else's by the time it is used.
"""

import contextlib
import gc
import importlib
import os
import signal
import subprocess
import sys
import threading
import traceback

import greenlet
import pytest

from support import daemons

# Fixtures.
from support.wsgi_site import serve, shared_site, site, start_server  # noqa: F401

# Kept from before any test could put green ones in their place.
_Timer = threading.Timer

# A shell starts what runs in the background with interrupts ignored, and so would be everything
# that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config):
    """In continuous integration, a test that fails runs a second time; the summary names it."""
    if os.environ.get("CI") and config.pluginmanager.hasplugin("rerunfailures"):
        config.option.reruns = config.option.reruns or 1


# ------------------------------------------------------------------------------------------------
# Time limit


def format_greenlets():
    """Return the stacks of all suspended greenlets of this process."""
    parts = []
    gc.unfreeze()  # the collector does not show what is frozen
    for found in gc.get_objects():
        if isinstance(found, greenlet.greenlet) and found.gr_frame is not None:
            stack = "".join(traceback.format_stack(found.gr_frame))
            parts.append(f"~~~ Stack of {found!r}\n{stack}")
    return "\n".join(parts)


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item, settings):
    """End the run when a test takes too long, with the stacks of all threads and greenlets.

    pytest-timeout's own timer shows only what the threads are running, which in a program of green
    threads is the hub. Its marker and settings are in force as usual.
    """
    if settings.method != "thread":
        return None
    import pytest_timeout

    def expired():
        # To the descriptor: the test may have replaced sys.stderr.
        with contextlib.suppress(Exception):
            os.write(2, f"\n{item.nodeid}\n{format_greenlets()}\n".encode())
        pytest_timeout.timeout_timer(item, settings)

    timer = _Timer(settings.timeout, expired)
    timer.name = f"time limit of {item.nodeid}"
    timer.daemon = True
    item.cancel_timeout = timer.cancel
    timer.start()
    return True


# ------------------------------------------------------------------------------------------------
# Fixtures


@pytest.fixture
def frozen():
    """For tests that collect garbage many times: the collector looks at what they make alone."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def limit():
    """Ends what hangs in a green thread with a traceback that shows where."""
    import eventlet

    with eventlet.Timeout(20):
        yield


@pytest.fixture
def hub():
    """The hub of this thread."""
    from eventlet import hubs

    return hubs.get_hub()


@pytest.fixture
def quiet(hub):
    """Exceptions of green threads that nobody catches are not printed."""
    hub.debug_exceptions = False
    yield
    hub.debug_exceptions = True


@pytest.fixture
def clean_hub(hub, frozen):
    """The hub of this thread, which the test must leave without new readers, writers and timers."""
    import eventlet

    def registered():
        return {
            "readers": len(hub.get_readers()),
            "writers": len(hub.get_writers()),
            "timers": hub.get_timers_count() - hub.timers_canceled,
        }

    before = registered()
    yield hub
    gc.collect()
    for _ in range(3):  # what was cancelled or killed gets its turn to go away
        eventlet.sleep(0)
    after = registered()
    leaked = {kind: after[kind] - before[kind] for kind in after if after[kind] > before[kind]}
    assert not leaked, f"{leaked}: {list(hub.get_readers())}, {list(hub.get_writers())}"


@pytest.fixture
def listener():
    """A green socket that listens on a free port of the loopback interface."""
    import eventlet

    sock = eventlet.listen(("127.0.0.1", 0))
    yield sock
    with contextlib.suppress(OSError):
        sock.close()


@pytest.fixture(params=["unix", "tcp"])
def pair(request):
    """Two green stream sockets that are connected with each other, of each kind in turn."""
    from support.sockets import connected

    with connected(request.param) as both:
        yield both


def _server(name):
    """A fixture that gives what one needs to connect to a server of tests/support."""

    @pytest.fixture(scope="session", name=f"{name}_server")
    def server():
        module = importlib.import_module(f"support.{name}")
        with contextlib.ExitStack() as stack:
            try:
                address = stack.enter_context(module.server())
            except daemons.Unavailable as reason:
                pytest.skip(str(reason))
            yield address

    return server


mariadb_server = _server("mariadb")
memcached_server = _server("memcached")
postgres_server = _server("postgres")
rabbitmq_server = _server("rabbitmq")
redis_server = _server("redis")


@pytest.fixture
def run_python(tmp_path):
    """A function that runs a program in an interpreter of its own, away from the source tree.

    run_python(code, *args, env=None, timeout=30, check=True) returns the CompletedProcess, its
    output decoded. A program that takes too long is made to show its stacks before it is killed.
    """

    def run(code, *args, env=None, timeout=30, check=True):
        process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-c", code, *map(str, args)],
            cwd=tmp_path,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            out, err = process.communicate()
            pytest.fail(f"still running after {timeout} s\nstdout:\n{out}\nstderr:\n{err}")
        finally:
            process.kill()
            process.wait()
        if check and process.returncode:
            pytest.fail(f"exit status {process.returncode}\nstdout:\n{out}\nstderr:\n{err}")
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return run
