"""psycopg2 and psycopg 3 made green: eventlet.support.psycopg2_patcher and psycopg3_patcher."""

import json

import pytest

PATCHED = """
import json, sys, time
import eventlet
eventlet.monkey_patch()
server = json.loads(sys.argv[1])

def ticks_during(function, *args):
    "Call a function; return its result, and whether another green thread has run meanwhile."
    counted = []
    def tick():
        while True:
            counted.append(None)
            eventlet.sleep(0.005)
    ticking = eventlet.spawn(tick)
    try:
        return function(*args), len(counted) > 5
    finally:
        ticking.kill()
"""


@pytest.fixture
def run_2(postgres_server, run_python):
    """A function that runs a patched program which uses psycopg2."""
    pytest.importorskip("psycopg2", reason="psycopg2 is not installed")
    return lambda code: run_python(
        PATCHED + "import psycopg2\n" + code, json.dumps(postgres_server)
    )


@pytest.fixture(params=["binary", "python"])
def run_3(request, postgres_server, run_python):
    """A function that runs a patched program which uses psycopg 3, in C and in Python."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    if request.param == "binary":
        pytest.importorskip("psycopg_binary", reason="psycopg_binary is not installed")
    start = PATCHED + f"import psycopg\nassert psycopg.pq.__impl__ == {request.param!r}\n"
    env = {"PSYCOPG_IMPL": request.param}
    return lambda code: run_python(start + code, json.dumps(postgres_server), env=env)


# ------------------------------------------------------------------------------------------------
# When they are made green


def test_patching_imports_neither(run_python):
    run_python(
        """
import sys
import eventlet
eventlet.monkey_patch()
assert not [name for name in sys.modules if name.startswith("psycopg")]
"""
    )


def test_not_installed(run_python):
    run_python(
        """
import sys
sys.modules["psycopg"] = sys.modules["psycopg2"] = None
import eventlet
from eventlet import patcher
eventlet.monkey_patch()
assert not patcher.is_monkey_patched("psycopg")
"""
    )


@pytest.mark.parametrize("arguments", ["psycopg=False", "socket=True"])
def test_not_asked_for(run_python, arguments):
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    run_python(
        f"""
import eventlet
from eventlet import patcher
eventlet.monkey_patch({arguments})
assert not patcher.is_monkey_patched("psycopg")
import psycopg.waiting
assert psycopg.waiting.wait.__module__ != "eventlet.support.psycopg3_patcher"
"""
    )


@pytest.mark.parametrize("order", ["first", "last"])
def test_psycopg2_is_made_green_and_put_back(run_python, order):
    pytest.importorskip("psycopg2", reason="psycopg2 is not installed")
    run_python(
        f"""
import eventlet
from eventlet import patcher
if {order == "last"}:
    import psycopg2.extensions
eventlet.monkey_patch(psycopg=True)
eventlet.monkey_patch(psycopg=True)
assert patcher.is_monkey_patched("psycopg")
import psycopg2.extensions
from psycopg2.extensions import get_wait_callback
from eventlet.support.psycopg2_patcher import eventlet_wait_callback
assert get_wait_callback() is eventlet_wait_callback
assert type(psycopg2.extensions.__loader__).__module__ == "_frozen_importlib_external"
assert psycopg2.extensions.__spec__.loader is psycopg2.extensions.__loader__
patcher.unpatch()
assert get_wait_callback() is None
assert not patcher.is_monkey_patched("psycopg")
"""
    )


@pytest.mark.parametrize("order", ["first", "last"])
def test_psycopg_3_is_made_green_and_put_back(run_python, order):
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    run_python(
        f"""
import sys
import eventlet
from eventlet import patcher
before = list(sys.meta_path)
if {order == "last"}:
    import psycopg
    original = psycopg.waiting.wait
eventlet.monkey_patch(psycopg=True)
import psycopg
from eventlet.support import psycopg3_patcher
assert psycopg.waiting.wait is psycopg3_patcher.wait
assert psycopg.waiting.wait_conn is psycopg3_patcher.wait_conn
patcher.unpatch()
assert psycopg.waiting.wait is not psycopg3_patcher.wait
assert psycopg.waiting.wait_conn is not psycopg3_patcher.wait_conn
assert sys.meta_path == before
if {order == "last"}:
    assert psycopg.waiting.wait is original
"""
    )


def test_put_back_before_it_is_imported(run_python):
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    run_python(
        """
import sys
import eventlet
from eventlet import patcher
before = list(sys.meta_path)
eventlet.monkey_patch(psycopg=True)
patcher.unpatch()
assert sys.meta_path == before
import psycopg
assert "eventlet.support.psycopg3_patcher" not in sys.modules
"""
    )


# ------------------------------------------------------------------------------------------------
# psycopg2


def test_psycopg2_lets_others_run(run_2):
    run_2(
        """
def query():
    with psycopg2.connect(**server) as connection, connection.cursor() as cursor:
        cursor.execute("select pg_sleep(0.2), 7")
        return cursor.fetchone()[1]
assert ticks_during(query) == (7, True)
"""
    )


def test_psycopg2_timeout_closes_the_connection(run_2):
    run_2(
        """
connection = psycopg2.connect(**server)
cursor = connection.cursor()
try:
    with eventlet.Timeout(0.1):
        cursor.execute("select pg_sleep(40)")
except eventlet.Timeout:
    pass
else:
    raise SystemExit("no timeout")
assert connection.closed
"""
    )


def test_psycopg2_errors(run_2):
    run_2(
        """
connection = psycopg2.connect(**server)
cursor = connection.cursor()
for _ in range(2):
    try:
        cursor.execute("select nonsense")
    except psycopg2.ProgrammingError:
        connection.rollback()
    else:
        raise SystemExit("no error")
cursor.execute("select repeat('x', 5000000)")
assert len(cursor.fetchone()[0]) == 5000000
cursor.execute("select length(%s)", ["y" * 5000000])
assert cursor.fetchone() == (5000000,)
try:
    psycopg2.connect(**{**server, "dbname": "nothing"})
except psycopg2.OperationalError:
    pass
else:
    raise SystemExit("no error")
"""
    )


def test_psycopg2_that_does_not_know_what_it_waits_for(run_2):
    run_2(
        """
from eventlet.support.psycopg2_patcher import eventlet_wait_callback
class Connection:
    def poll(self):
        return 17
try:
    eventlet_wait_callback(Connection())
except psycopg2.OperationalError as error:
    assert "17" in str(error)
else:
    raise SystemExit("no error")
"""
    )


# ------------------------------------------------------------------------------------------------
# psycopg 3


def test_psycopg_3_lets_others_run(run_3):
    run_3(
        """
def query():
    with psycopg.connect(**server) as connection:
        return connection.execute("select 7 from pg_sleep(0.2)").fetchone()[0]
assert ticks_during(query) == (7, True)
"""
    )


def test_psycopg_3_large_queries_and_answers(run_3):
    # More than fits into buffers: it has to wait until it can write.
    run_3(
        """
with psycopg.connect(**server) as connection:
    size = 20_000_000
    assert connection.execute("select length(%s)", ["x" * size]).fetchone() == (size,)
    assert len(connection.execute("select repeat('x', %s)", [size]).fetchone()[0]) == size
"""
    )


def test_psycopg_3_copy_and_pipeline(run_3):
    run_3(
        """
with psycopg.connect(**server) as connection:
    connection.execute("create temporary table t (number integer)")
    with connection.cursor() as cursor:
        with cursor.copy("copy t from stdin") as copy:
            for number in range(100_000):
                copy.write_row([number])
        with cursor.copy("copy t to stdout") as copy:
            assert sum(1 for _ in copy.rows()) == 100_000
    if psycopg.Pipeline.is_supported():
        with connection.pipeline():
            answers = [connection.execute("select %s::int", [i]) for i in range(1000)]
            assert [answer.fetchone()[0] for answer in answers] == list(range(1000))
"""
    )


def test_psycopg_3_timeout_cancels_the_query(run_3):
    run_3(
        """
if not hasattr(psycopg.connection, "_INTERRUPTED"):
    raise SystemExit(0)  # it does so from version 3.2
with psycopg.connect(**server, autocommit=True) as connection:
    started = time.monotonic()
    try:
        with eventlet.Timeout(0.1):
            connection.execute("select pg_sleep(40)")
    except eventlet.Timeout:
        pass
    else:
        raise SystemExit("no timeout")
    assert time.monotonic() - started < 10
    # The connection is as good as before.
    assert connection.execute("select 7").fetchone() == (7,)
    query = eventlet.spawn(connection.execute, "select pg_sleep(40)")
    eventlet.sleep(0.05)
    query.kill()
    assert connection.execute("select 8").fetchone() == (8,)
"""
    )


def test_psycopg_3_gives_its_operations_a_turn(run_3):
    """Notifications are waited for until a time."""
    run_3(
        """
with psycopg.connect(**server, autocommit=True) as connection:
    connection.execute("listen news")
    started = time.monotonic()
    assert list(connection.notifies(timeout=0.2)) == []
    assert 0.15 < time.monotonic() - started < 10
"""
    )


def test_psycopg_3_connection_that_is_closed_meanwhile(run_3):
    run_3(
        """
connection = psycopg.connect(**server)
query = eventlet.spawn(connection.execute, "select pg_sleep(40)")
eventlet.sleep(0.05)
with psycopg.connect(**server, autocommit=True) as other:
    other.execute("select pg_terminate_backend(%s)", [connection.info.backend_pid])
try:
    query.wait()
except psycopg.OperationalError:
    pass
else:
    raise SystemExit("no error")

connection = psycopg.connect(**server)
query = eventlet.spawn(connection.execute, "select pg_sleep(40)")
eventlet.sleep(0.05)
connection.close()
try:
    query.wait()
except psycopg.OperationalError:
    pass
else:
    raise SystemExit("no error")
"""
    )


def test_psycopg_3_connect_timeout(run_3):
    run_3(
        """
import socket
silent = eventlet.listen(("127.0.0.1", 0))
port = silent.getsockname()[1]
started = time.monotonic()
try:
    psycopg.connect(f"host=127.0.0.1 port={port} connect_timeout=2 sslmode=disable")
except psycopg.OperationalError as error:
    pass
else:
    raise SystemExit("no error")
assert 1 < time.monotonic() - started < 20
"""
    )


def test_psycopg_3_connections_are_shared(run_3):
    run_3(
        """
with psycopg.connect(**server, autocommit=True) as connection:
    def query(number):
        return connection.execute("select %s::int from pg_sleep(0.01)", [number]).fetchone()[0]
    pool = eventlet.GreenPool(20)
    assert list(pool.imap(query, range(20))) == list(range(20))
"""
    )


# ------------------------------------------------------------------------------------------------
# The hook for imports


def test_when_imported(run_python, tmp_path):
    (tmp_path / "late.py").write_text("value = 1\n")
    (tmp_path / "broken.py").write_text("raise ValueError\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "data").write_text("content")
    run_python(
        f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import importlib, pkgutil
from eventlet.support._when_imported import forget, when_imported

seen = []
before = list(sys.meta_path)
when_imported("sys", seen.append)
assert seen == [sys]
assert sys.meta_path == before
for name in ("late", "broken", "package", "missing"):
    when_imported(name, seen.append)
for _ in range(2):
    try:
        import broken
    except ValueError:
        pass
    try:
        import missing
    except ImportError:
        pass
import late
assert seen == [sys, late]
assert late.__spec__.loader is late.__loader__
importlib.reload(late)
assert seen == [sys, late]
import package
assert pkgutil.get_data("package", "data") == b"content"
forget("broken")
forget("missing")
assert sys.meta_path == before
"""
    )
