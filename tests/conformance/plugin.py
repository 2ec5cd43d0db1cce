"""pytest plugin that run.py loads into each process it starts.

Writes one JSON object a line to CONFORMANCE_EVENTS as things happen, so that what is known up to a
crash survives it, and has a C thread dump all stacks and end the process when one test takes
longer than CONFORMANCE_TIMEOUT seconds. A Python thread could not: a hang may hold the GIL.
"""

import contextlib
import faulthandler
import importlib
import json
import operator
import os
import sys

import pytest

LIMIT = float(os.environ.pop("CONFORMANCE_TIMEOUT"))
DONE = frozenset(json.loads(os.environ.pop("CONFORMANCE_DONE")))
ALLOW_FOREIGN = os.environ.pop("CONFORMANCE_ALLOW_FOREIGN", "") == "1"
OVER_TLS = os.environ.pop("CONFORMANCE_OVER_TLS", "") == "1"
# Attributes to set to False before the tests, as "module:Class.attribute".
CLEARED = json.loads(os.environ.pop("CONFORMANCE_CLEARED", "[]"))
# Opened here, and kept by descriptor: the tests may replace open(), os.write() and sys.stderr.
_events = os.open(os.environ.pop("CONFORMANCE_EVENTS"), os.O_WRONLY | os.O_APPEND)
_stderr = os.fdopen(os.dup(2), "w")
_write = os.write


def emit(event, **fields):
    _write(_events, (json.dumps({"event": event, **fields}) + "\n").encode())


def watch():
    faulthandler.dump_traceback_later(LIMIT, exit=True, file=_stderr)


def short_id(nodeid):
    return nodeid.removeprefix("tests/")


def reason(report):
    """Return why a report says skipped: an expected failure, or (path, line, reason)."""
    if hasattr(report, "wasxfail"):
        return f"expected failure {report.wasxfail}".strip()
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)


def pytest_sessionstart():
    watch()
    import eventlet

    if not ALLOW_FOREIGN:
        import eventlet._core as core

        emit("loaded", eventlet=eventlet.__file__, core=core.__file__)
        for name in CLEARED:
            module, _, path = name.partition(":")
            owner, _, attribute = path.rpartition(".")
            found = operator.attrgetter(owner)(importlib.import_module(module))
            # It is there: what has been renamed must not be set in vain.
            assert getattr(found, attribute) is True
            setattr(found, attribute, False)


def pytest_collectreport(report):
    if report.failed:
        emit("collect-error", id=short_id(report.nodeid), output=str(report.longrepr))
    elif report.skipped:
        emit("collect-skip", id=short_id(report.nodeid), output=reason(report))


def pytest_collection_modifyitems(config, items):
    emit("collected", ids=[short_id(item.nodeid) for item in items])
    done = [item for item in items if short_id(item.nodeid) in DONE]
    if done:
        items[:] = [item for item in items if item not in done]
        config.hook.pytest_deselected(items=done)


def transport(item):
    """Return the context to run a test in."""
    if not OVER_TLS:
        return contextlib.nullcontext()
    import conformance_tls

    return conformance_tls.everything(item.function)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    watch()
    emit("start", id=short_id(item.nodeid))
    with transport(item):
        result = yield
    emit("end", id=short_id(item.nodeid))
    return result


def pytest_runtest_logreport(report):
    output = ""
    if report.skipped:
        output = reason(report)
    elif report.failed:
        sections = [f"--- {title} ---\n{text}" for title, text in report.sections]
        output = "\n".join(filter(None, [report.longreprtext, *sections]))
    emit(
        "report",
        id=short_id(report.nodeid),
        when=report.when,
        outcome=report.outcome,
        output=output,
    )


def pytest_sessionfinish(exitstatus):
    # From here to the end of the process, which threads left behind could keep from coming.
    watch()
    sys.stdout.flush()
    emit("finish", status=int(exitstatus))
