"""eventlet.patcher: what is replaced and when, originals, imports that see green modules.

All that patches runs in an interpreter of its own.
"""

import pytest

DEFAULT = {"os", "select", "socket", "subprocess", "thread", "time"}

BOOLEANS = [
    ("", DEFAULT),
    ("all=True", DEFAULT),
    ("all=True, socket=False", DEFAULT - {"socket"}),
    ("all=True, socket=True", DEFAULT),
    ("all=False, select=True", {"select"}),
    ("all=False", set()),
    ("socket=True", {"socket"}),
    ("socket=True, select=True", {"socket", "select"}),
    ("socket=False", DEFAULT - {"socket"}),
    ("socket=False, time=False", DEFAULT - {"socket", "time"}),
    ("socket=False, select=True", {"select"}),
    ("builtins=True", {"builtins"}),
    ("__builtin__=True", {"builtins"}),
    ("builtins=False", DEFAULT),
]


@pytest.mark.parametrize(("arguments", "expected"), BOOLEANS)
def test_which_groups_are_patched(run_python, arguments, expected):
    done = run_python(
        f"""
import eventlet
from eventlet import patcher
eventlet.monkey_patch({arguments})
names = {sorted(DEFAULT)} + ["builtins"]
print(*[name for name in names if patcher.is_monkey_patched(name)])
assert set(patcher.already_patched) - {{"psycopg", "MySQLdb"}} == set({sorted(expected)!r})
"""
    )
    assert set(done.stdout.split()) == expected
    assert done.stderr == ""


def test_unknown_groups_are_refused(run_python):
    run_python(
        """
import time
from eventlet import patcher
real = time.sleep
for wrong in ({"finagle": True}, {"builtins": True, "__builtin__": True}):
    try:
        patcher.monkey_patch(**wrong)
    except TypeError as error:
        assert next(iter(wrong)) in str(error), error
    else:
        raise AssertionError(wrong)
assert time.sleep is real and not patcher.already_patched
"""
    )


def test_modules_are_known_by_name_and_as_objects(run_python):
    run_python(
        """
import socket, ssl, threading
from eventlet import patcher
assert not patcher.is_monkey_patched(socket)
patcher.monkey_patch(socket=True)
assert patcher.is_monkey_patched(socket) and patcher.is_monkey_patched("socket")
assert patcher.is_monkey_patched(ssl)
assert not patcher.is_monkey_patched(threading) and not patcher.is_monkey_patched("thread")
assert not patcher.is_monkey_patched("no such module")
"""
    )


EVERY_ATTRIBUTE = """
import sys
import _thread, builtins, functools, logging, os, queue, reprlib, select, selectors, socket, ssl
import subprocess, tempfile, threading, time, types

def state():
    seen = {}
    for name, module in [*sys.modules.items()]:
        if name.split(".")[0] in ("eventlet", "greenlet") or name.startswith("__"):
            continue
        if name not in before_modules:
            continue
        for key, value in vars(module).items():
            seen[name, key] = value
            if isinstance(value, type) and value.__module__.split(".")[0] in patchable:
                for attribute, there in vars(value).items():
                    seen[name, key, attribute] = there
    return seen

before_modules = {*sys.modules}
patchable = {
    "_thread",
    "os", "queue", "select", "selectors", "socket", "ssl", "subprocess", "threading", "time"
}
"""


def test_unpatching_restores_every_attribute(run_python):
    run_python(
        EVERY_ATTRIBUTE
        + """
from eventlet import patcher
before = state()
for times in range(2):
    patcher.monkey_patch(all=True, builtins=True)
    changed = {key for key, value in state().items() if before.get(key) is not value}
    assert {("time", "sleep"), ("socket", "socket"), ("threading", "Lock")} <= changed, changed
    assert ("functools", "RLock") in changed
    patcher.unpatch()
    after = state()
    assert after.keys() == before.keys(), after.keys() ^ before.keys()
    wrong = [key for key, value in after.items() if before[key] is not value]
    # What the standard library itself has counted in the meantime is not ours.
    assert not wrong, wrong
    assert not patcher.already_patched
    assert not patcher.is_monkey_patched("socket")
"""
    )


def test_patching_again_changes_nothing(run_python):
    run_python(
        EVERY_ATTRIBUTE
        + """
from eventlet import patcher
patcher.monkey_patch()
once = state()
patcher.monkey_patch()
patcher.monkey_patch(socket=True, time=True)
twice = state()
assert not [key for key, value in twice.items() if once.get(key) is not value]
"""
    )


def test_late_patching_warns_of_what_has_blocking_functions(run_python, tmp_path):
    (tmp_path / "early.py").write_text(
        "from time import sleep\nfrom threading import Condition, Event, Lock, RLock, Thread\n"
        "from threading import current_thread, local as own\nfrom subprocess import Popen\n"
    )
    done = run_python(
        """
import sys, warnings
sys.path.insert(0, ".")
import early, eventlet
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    eventlet.monkey_patch()
    eventlet.monkey_patch()
(warning,) = seen
assert issubclass(warning.category, eventlet.patcher.LatePatchWarning)
assert str(warning.message).endswith("early: _thread._local, time.sleep"), warning
assert warning.filename == "<string>", warning.filename
"""
    )
    assert done.stderr == ""


def test_patching_loads_little(run_python):
    run_python(
        """
import sys
import eventlet
eventlet.monkey_patch()
assert len(sys.modules) < 170, len(sys.modules)
heavy = {"asyncio", "email", "http", "importlib.resources", "logging", "tempfile", "unittest"}
drivers = {"MySQLdb", "dns", "psycopg", "psycopg2"}
loaded = (heavy | drivers) & {*sys.modules}
assert not loaded, loaded
"""
    )


def test_early_patching_is_silent(run_python):
    done = run_python(
        """
import logging, tempfile, asyncio, concurrent.futures, urllib.request, multiprocessing.pool
import eventlet
eventlet.monkey_patch()
"""
    )
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("patched_first", [True, False])
def test_originals_are_pristine(run_python, patched_first):
    run_python(
        f"""
import eventlet, time, sys
if {patched_first}:
    eventlet.monkey_patch()
from eventlet.patcher import original
names = (
    "_thread", "os", "queue", "select", "selectors", "socket", "ssl", "subprocess", "threading",
    "time",
)
copies = {{name: original(name) for name in names}}
eventlet.monkey_patch()
for name, copy in copies.items():
    assert copy is original(name) is sys.modules["__original_module_" + name]
    assert copy is not sys.modules[name] and copy.__name__ in (name, "__original_module_" + name)
assert isinstance(original("time").sleep, type(len))
assert original("queue").threading is original("threading")
assert original("selectors").select is original("select")
assert original("ssl").SSLSocket.__mro__[1] is original("socket").socket
assert original("subprocess").threading is original("threading")
assert original("threading")._allocate_lock is original("_thread").allocate_lock
assert original("_thread").allocate_lock is not __import__("_thread").allocate_lock
assert original("os").environ is __import__("os").environ
"""
    )


def test_original_threading_made_in_another_os_thread(run_python):
    """That OS thread does not become the main one, and ends as others do."""
    done = run_python(
        """
import threading
from eventlet.patcher import original
thread = threading.Thread(target=original, args=("threading",))
thread.start()
thread.join(20)
assert not thread.is_alive()
pristine = original("threading")
assert pristine.current_thread() is pristine.main_thread()
assert pristine.main_thread().ident == threading.main_thread().ident
thread = pristine.Thread(target=int)
thread.start()
thread.join()
print("fine")
"""
    )
    assert (done.stdout, done.stderr) == ("fine\n", "")


def test_original_threads_are_real_ones(run_python):
    run_python(
        """
import eventlet
eventlet.monkey_patch()
import threading
real = eventlet.patcher.original("threading")
here = real.get_native_id()
seen = []
def run():
    seen.append((real.get_native_id(), real.current_thread()))
thread = real.Thread(target=run)
thread.start()
thread.join()
((native, current),) = seen
assert native != here and current is thread
# As nova has it.
import __original_module_threading as orig
orig.current_thread.__globals__["_active"] = threading._active
assert orig.current_thread() is threading.current_thread()
"""
    )


def test_import_patched_sees_green_modules(run_python, tmp_path):
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "__init__.py").write_text("")
    (tmp_path / "user" / "below.py").write_text("import time, socket\n")
    (tmp_path / "user" / "above.py").write_text("import user.below as below, time\n")
    run_python(
        """
import sys
sys.path.insert(0, ".")
import time, socket, user.above
plain = user.above
import eventlet
from eventlet.green import time as green_time
before = dict(sys.modules)
patched = eventlet.import_patched("user.above")
assert patched is not plain and patched.time is green_time and plain.time is time
assert eventlet.import_patched("user.above") is patched
assert user.above is plain and sys.modules["user.above"] is plain
assert sys.modules["time"] is time and sys.modules["socket"] is socket
"""
    )


def test_inject_fills_a_namespace(run_python, tmp_path):
    (tmp_path / "base.py").write_text("import time\nname = __name__\n")
    run_python(
        """
import sys
sys.path.insert(0, ".")
from eventlet import patcher
stand_in = object()
names = {}
module = patcher.inject("base", names, ("time", stand_in))
assert names["time"] is stand_in is module.time and names["name"] == "base"
assert "base" not in sys.modules and "__name__" not in names
"""
    )


def test_patch_function(run_python):
    run_python(
        """
from eventlet import patcher
def found():
    import time
    return time
import time
from eventlet.green import time as green_time
assert patcher.patch_function(found)() is green_time
assert patcher.patch_function(found, ("time", 3))() == 3
assert found() is time
"""
    )


def test_names_other_packages_use(run_python):
    run_python(
        """
import importlib
from eventlet import patcher
for group in ("os", "select", "socket", "subprocess", "thread", "time"):
    for name, green in getattr(patcher, f"_green_{group}_modules")():
        importlib.import_module(name)
        assert isinstance(green.__patched__, list), name
assert [name for name, _ in patcher._green_builtins()] == ["builtins"]
assert isinstance(patcher._green_MySQLdb(), list)
namespace = {}
import time
patcher.slurp_properties(time, namespace, ignore=["sleep"], srckeys=["sleep", "time", "__doc__"])
assert namespace == {"time": time.time}
"""
    )


def test_another_way_to_undo_it(run_python):
    run_python(
        """
import sys, eventlet
eventlet.monkey_patch()
from eventlet import patcher
import threading
# As oslo.privsep has it.
for group in ("os", "select", "socket", "thread", "time"):
    for name, green in getattr(patcher, f"_green_{group}_modules")():
        real = patcher.original(name)
        for attribute in green.__patched__:
            if getattr(real, attribute, None) is not None:
                setattr(sys.modules[name], attribute, getattr(real, attribute))
natives = []
def work():
    natives.append(threading.get_native_id())
    assert threading.current_thread() is thread
thread = threading.Thread(target=work)
thread.start()
thread.join()
assert natives and natives != [threading.get_native_id()]
"""
    )


def test_running_a_program_patched(run_python, tmp_path):
    (tmp_path / "program.py").write_text(
        "import sys, time\nprint(__name__, sys.argv[1:], time.sleep.__module__)\n"
    )
    done = run_python(
        """
import subprocess, sys
command = [sys.executable, "-m", "eventlet.patcher", "program.py", "one", "-two"]
sys.exit(subprocess.run(command).returncode)
"""
    )
    assert done.stdout == "__main__ ['one', '-two'] eventlet.green.time\n"


def test_green_threads_that_import_the_same_module_wait_for_each_other(run_python, tmp_path):
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(0.01)\nvalue = 1\n")
    run_python(
        """
import sys
sys.path.insert(0, ".")
import eventlet
eventlet.monkey_patch()
def use():
    from slow import value
    return value
assert [green.wait() for green in [eventlet.spawn(use) for _ in range(3)]] == [1, 1, 1]
"""
    )


def test_a_module_that_a_green_thread_imports_may_patch(run_python, tmp_path):
    (tmp_path / "patches.py").write_text(
        "from eventlet import patcher, sleep\npatcher.monkey_patch()\nsleep(0)\nvalue = 1\n"
    )
    (tmp_path / "imports.py").write_text("from patches import value\n")
    (tmp_path / "restores.py").write_text("from eventlet import patcher\npatcher.unpatch()\n")
    run_python(
        """
import sys
sys.path.insert(0, ".")
import eventlet
def use():
    import imports
    import restores
    import imports
    return imports.value
for _ in range(2):
    green = eventlet.spawn(use)
    assert green.wait() == 1
    for name in ("patches", "imports", "restores"):
        del sys.modules[name]
"""
    )
