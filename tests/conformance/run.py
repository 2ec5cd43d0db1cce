#!/usr/bin/env python3
"""Run the tests of Eventlet 0.41, unmodified, against the installed package.

Downloads Eventlet's source distribution, takes nothing but its tests/ folder out of it, runs each
test file in a pytest process of its own, and compares what happens with expectations.toml. Exits
with 0 if everything is as expected there, 1 if anything is not, 2 if it could not be run.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    try:
        import tomli as tomllib
    except ModuleNotFoundError:
        from pip._vendor import tomli as tomllib

HERE = pathlib.Path(__file__).resolve().parent
BAD_OUTCOMES = ("failed", "error", "timeout", "crashed")
OUTCOMES = ("passed", "skipped", *BAD_OUTCOMES)
# Exit statuses of pytest that tell of no tests: it failed itself, or was called in a wrong way.
BROKEN_RUN = (3, 4)
# A process that neither finishes nor trips its own watchdog is killed after this many seconds.
PROCESS_LIMIT = 1800
# The tests' own limits are short, and a machine that has other things to do exceeds them now and
# then. So many tests of a setting that did so may pass when they are run again, alone.
SECOND_ATTEMPTS = 3
OUT_OF_TIME = re.compile(r"^E +(tests\.TestIsTakingTooLong|AssertionError: timed out)", re.M)
# The hub of a program that asks for none, and all that Linux has.
DEFAULT_HUB = "default"
# What the servers and clients of the tests speak.
PLAIN, TLS = "plain", "TLS"
HUBS = (DEFAULT_HUB, "poll", "selects", "asyncio")
# Where the tests that need a database look for one.
DATABASES = "EVENTLET_DB_TEST_AUTH"
NO_DATABASES = {"MySQLdb": {"unix_socket": os.devnull}, "psycopg2": {"host": os.devnull}}
NEED_DATABASES = {"db_pool_test.py", "mysqldb_test.py", "patcher_psycopg_test.py"}


class Unavailable(Exception):
    """The source distribution cannot be had."""


class Unusable(Exception):
    """The run cannot take place as asked."""


@dataclasses.dataclass
class Result:
    id: str
    outcome: str
    output: str = ""


@dataclasses.dataclass
class Known:
    """One [[known]] entry."""

    id: str
    outcome: str
    reason: str
    hubs: tuple = ()
    pythons: tuple = ()
    transports: tuple = ()
    may_pass: bool = False

    def __post_init__(self):
        if self.outcome not in OUTCOMES or self.outcome == "passed":
            raise Unusable(f"expectations: {self.id}: no such outcome as {self.outcome!r}")
        if not self.reason:
            raise Unusable(f"expectations: {self.id}: a reason is needed")

    def applies(self, setting):
        return (
            (not self.hubs or setting.hub in self.hubs)
            and (not self.pythons or setting.version in self.pythons)
            and (not self.transports or setting.transport in self.transports)
        )


@dataclasses.dataclass
class Setting:
    """What the tests are run on."""

    python: str
    hub: str = DEFAULT_HUB
    transport: str = PLAIN
    version: str = ""

    def __str__(self):
        over = "" if self.transport == PLAIN else f", over {self.transport}"
        return f"Python {self.version}, hub {self.hub}{over}"


class Expectations:
    def __init__(self, path):
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        self.version = data["version"]
        self.sha256 = data["sha256"]
        self.files = {entry["name"]: entry.get("tests") for entry in data.get("files", ())}
        self.over_tls = {entry["name"] for entry in data.get("files", ()) if entry.get("over_tls")}
        self.cleared = {}
        for entry in data.get("files", ()):
            if "cleared" in entry:
                if not entry.get("reason"):
                    raise Unusable(f"expectations: {entry['name']}: a reason is needed")
                self.cleared[entry["name"]] = entry["cleared"]
        self.entries = [Known(**entry) for entry in data.get("known", ())]

    def known(self, setting):
        """Return the entries that hold for this run, by test."""
        found = {}
        for entry in self.entries:
            if entry.applies(setting):
                if entry.id in found:
                    raise Unusable(f"expectations: {entry.id} is listed twice")
                found[entry.id] = entry
        return found


# ------------------------------------------------------------------------------------------------
# Getting the tests


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fetch(expected, cache, python):
    """Return the path of the verified source distribution, downloading it if need be."""
    name = f"eventlet-{expected.version}.tar.gz"
    archive = cache / name
    if archive.exists() and sha256_of(archive) == expected.sha256:
        return archive
    cache.mkdir(parents=True, exist_ok=True)
    print(f"downloading {name}", flush=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        # pip checks the hash too, before it runs anything that it downloaded.
        requirement = pathlib.Path(folder, "requirements.txt")
        requirement.write_text(f"eventlet=={expected.version} --hash=sha256:{expected.sha256}\n")
        command = [python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        # "eventlet", not ":all:": that would hold for the tools that reading its metadata takes.
        command += ["--no-deps", "--no-binary", "eventlet", "--require-hashes"]
        command += ["--dest", folder, "--requirement", str(requirement)]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        downloaded = pathlib.Path(folder, name)
        if not downloaded.exists():
            if "DO NOT MATCH THE HASHES" in done.stderr:
                raise Unusable(f"what was downloaded is not the pinned {name}:\n{done.stderr}")
            raise Unavailable(done.stderr.strip() or f"pip exited with {done.returncode}")
        if sha256_of(downloaded) != expected.sha256:
            raise Unusable(f"what was downloaded is not the pinned {name}")
        downloaded.replace(archive)
    return archive


def extract_tests(archive, version, root):
    """Extract the tests/ folder of the archive, and nothing else, into root."""
    prefix = f"eventlet-{version}/"
    with tarfile.open(archive) as tar:
        members = []
        for member in tar.getmembers():
            if member.name.startswith(prefix + "tests/") and ".." not in member.name.split("/"):
                member.name = member.name.removeprefix(prefix)
                members.append(member)
        with contextlib.suppress(AttributeError):  # Pythons too old to know filters
            tar.extraction_filter = tarfile.data_filter
        tar.extractall(root, members)


# ------------------------------------------------------------------------------------------------
# Running one file


def environment(hub, tmp):
    """Return a copy of the environment without what would change how the tests run."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EVENTLET_", "CONFORMANCE_", "PYTEST_", "COV_"))
        and name not in ("PYTHONPATH", "PYTHONWARNINGS", "PYTHONSAFEPATH")
    }
    if DATABASES in os.environ:
        env[DATABASES] = os.environ[DATABASES]
    env.update(EVENTLET_TESTS="1", TMPDIR=str(tmp), PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    if hub != DEFAULT_HUB:
        env["EVENTLET_HUB"] = hub
    return env


class FileRun:
    """Runs one test file to its end, in as many processes as crashes and hangs make necessary."""

    def __init__(self, options, setting, root, name, ids, cleared):
        self.options = options
        self.cleared = cleared
        self.setting = setting
        self.root = root
        self.name = name
        self.ids = ids
        self.results = {}
        self.collected = None
        self.seconds = 0.0

    def run(self):
        started = time.monotonic()
        while self.run_process():
            pass
        self.seconds = time.monotonic() - started
        return self

    def run_process(self):
        """Run what has no result yet; return whether another process is needed."""
        before = len(self.results)
        with tempfile.TemporaryDirectory(prefix="t", dir=self.root.parent) as tmp:
            events = pathlib.Path(tmp, "events")
            events.touch()
            env = environment(self.setting.hub, pathlib.Path(tmp))
            env["CONFORMANCE_DONE"] = json.dumps(sorted(self.results))
            env["CONFORMANCE_EVENTS"] = str(events)
            env["CONFORMANCE_TIMEOUT"] = str(self.options.timeout)
            env["CONFORMANCE_CLEARED"] = json.dumps(self.cleared)
            env["CONFORMANCE_OVER_TLS"] = "1" if self.setting.transport == TLS else ""
            env["CONFORMANCE_ALLOW_FOREIGN"] = "1" if self.options.allow_foreign else ""
            command = [self.setting.python, "-m", "pytest", "-p", "conformance_plugin"]
            command += ["-p", "no:cacheprovider", "-o", "addopts=", "-c", os.devnull]
            command += [f"--rootdir={self.root}", "--color=no", "-v"]
            command += [f"tests/{each}" for each in self.ids or [self.name]]
            output, status = self.execute(command, env)
            lines = events.read_text().splitlines()
        return self.digest([json.loads(line) for line in lines], output, status) and (
            len(self.results) > before
        )

    def execute(self, command, env):
        """Return what the process wrote and its exit status, None if it had to be killed."""
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                command,
                cwd=self.root,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                status = process.wait(PROCESS_LIMIT)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                # Whatever it started and left behind, too.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            log.seek(0)
            return log.read().decode(errors="replace"), status

    def digest(self, events, output, status):
        """Turn a process's events into results; return whether it ended before its time."""
        running = None
        finished = None
        for event in events:
            kind = event["event"]
            if kind == "loaded":
                self.check_loaded(event)
            elif kind == "collected":
                self.collected = event["ids"]
            elif kind == "collect-error":
                self.add(event["id"], "error", event["output"])
            elif kind == "collect-skip":
                self.add(event["id"], "skipped", event["output"])
            elif kind == "start":
                running = event["id"]
            elif kind == "end":
                running = None
            elif kind == "report":
                self.report(event)
            elif kind == "finish":
                finished = event["status"]
        if self.options.verbose:
            print(output, flush=True)
        if finished is not None and status == finished:
            if not self.results or status in BROKEN_RUN:
                self.add(f"{self.name}::(start)", "error", f"status {status}\n{output}")
            return False
        hung = status is None or "Timeout (" in output
        tail = output[output.rfind("Timeout (") :] if "Timeout (" in output else output[-8000:]
        outcome = "timeout" if hung else "crashed"
        if running:
            self.results.pop(running, None)
            self.add(running, outcome, f"the process ended with status {status}\n{tail}")
            return True
        where = "(exit)" if finished is not None else "(start)"
        self.add(f"{self.name}::{where}", outcome, f"status {status}\n{tail}")
        return False

    def check_loaded(self, event):
        for path in (event["eventlet"], event["core"]):
            if pathlib.Path(path).is_relative_to(self.root):
                raise Unusable(f"the tests imported {path}, which is not the installed package")

    def report(self, event):
        outcome = event["outcome"]
        if outcome == "failed" and event["when"] != "call":
            outcome = "error"
        if event["when"] == "call" or outcome != "passed":
            self.add(event["id"], outcome, event["output"])

    def add(self, test, outcome, output):
        """Record an outcome; the first bad one of a test stays."""
        old = self.results.get(test)
        if old is None or (outcome in BAD_OUTCOMES and old.outcome not in BAD_OUTCOMES):
            self.results[test] = Result(test, outcome, output)

    def passes_now(self, test):
        """Run a test once more, alone; return whether it passes."""
        again = FileRun(self.options, self.setting, self.root, self.name, [test], self.cleared)
        results = again.run().results.values()
        return {result.outcome for result in results} == {"passed"}

    def counts(self):
        outcomes = [result.outcome for result in self.results.values()]
        return ", ".join(f"{outcomes.count(each)} {each}" for each in OUTCOMES if each in outcomes)


# ------------------------------------------------------------------------------------------------
# Judging the results


class Verdict:
    def __init__(self, files, known):
        self.files = files
        self.known = known
        self.passed = 0
        self.skipped = {}
        self.as_known = []
        self.second_attempts = []
        self.problems = []

    def judge(self, run):
        for result in run.results.values():
            if self.was_late(result) and run.passes_now(result.id):
                self.second_attempts.append(result)
                self.passed += 1
            else:
                self.judge_result(result)
        if run.ids or run.collected is None:
            return
        wanted = self.files.get(run.name)
        if wanted is not None and len(run.collected) != wanted:
            self.problem(f"{run.name}: {len(run.collected)} tests collected, {wanted} expected")
        for test in self.known:
            if test.startswith(run.name + "::") and test not in run.results:
                self.problem(f"{test}: listed as known, but there is no such test")

    def was_late(self, result):
        """Whether all that is wrong with a test is that it took longer than it may."""
        return (
            result.outcome == "failed"
            and result.id not in self.known
            and OUT_OF_TIME.search(result.output) is not None
            and len(self.second_attempts) < SECOND_ATTEMPTS
        )

    def judge_result(self, result):
        known = self.known.get(result.id)
        if known and result.outcome == known.outcome:
            self.as_known.append(known)
        elif result.outcome in BAD_OUTCOMES:
            was = f" (known as {known.outcome})" if known else ""
            self.problem(f"{result.id}: {result.outcome}{was}", result.output)
        elif known and result.outcome == "passed" and not known.may_pass:
            self.problem(f"{result.id}: passed, but is listed as {known.outcome}: unlist it")
        elif result.outcome == "skipped":
            reason = result.output.removeprefix("Skipped").lstrip(": ") or "no reason given"
            self.skipped.setdefault(reason, []).append(result.id)
        else:
            self.passed += 1

    def problem(self, headline, output=""):
        self.problems.append((headline, output))

    def print(self):
        for result in self.second_attempts:
            print(f"\n==== {result.id}: failed, and passed when it was run again\n{result.output}")
        for headline, output in self.problems:
            print(f"\n==== {headline}")
            if output:
                print(output.rstrip())
        print()
        for reason, tests in sorted(self.skipped.items()):
            files = collections.Counter(test.partition("::")[0] for test in tests)
            where = [f"{name} ({count})" for name, count in files.items()]
            print(f"skipped {len(tests)}: {reason}: {', '.join(where if tests[3:] else tests)}")
        for known in self.as_known:
            print(f"known {known.outcome}: {known.id}: {known.reason}")
        for result in self.second_attempts:
            print(f"second attempt: {result.id}")
        for headline, _ in self.problems:
            print(f"UNEXPECTED {headline}")
        print(self.counts())

    def counts(self):
        skipped = sum(map(len, self.skipped.values()))
        skipped += sum(known.outcome == "skipped" for known in self.as_known)
        failures = sum(known.outcome != "skipped" for known in self.as_known)
        return (
            f"{self.passed} passed, {len(self.problems)} failed, {skipped} skipped"
            f" ({failures} known failures)"
        )


# ------------------------------------------------------------------------------------------------


def probe(options, setting, root):
    """Check that the interpreter has the package; return which one, and set the version."""
    imports = "import eventlet" if options.allow_foreign else "import eventlet, eventlet._core"
    code = (
        f"import json, sys, pytest, greenlet; {imports}; print(json.dumps(["
        "'%d.%d' % sys.version_info[:2], eventlet.__version__, eventlet.__file__]))"
    )
    done = subprocess.run(
        [setting.python, "-c", code],
        cwd=root,
        env=environment(setting.hub, root),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise Unusable(
            f"{setting.python} cannot import pytest and this package (eventlet with"
            f" eventlet._core): install them there first\n{done.stderr}"
        )
    setting.version, version, location = json.loads(done.stdout.splitlines()[-1])
    return f"eventlet {version} ({location})"


def select(options, expected, root):
    """Return the (file name, ids or None) pairs to run."""
    if not options.tests:
        if options.all:
            names = {path.name for path in root.glob("tests/*.py")}
            return [(n, None) for n in sorted(names) if n.startswith("test_") or "_test." in n]
        return [(name, None) for name in expected.files]
    chosen = {}
    for test in options.tests:
        name, _, rest = test.removeprefix("tests/").partition("::")
        name = name if name.endswith(".py") else name + ".py"
        if not (root / "tests" / name).is_file():
            raise Unusable(f"there is no tests/{name} in Eventlet {expected.version}")
        ids = chosen.setdefault(name, [])
        ids.append(f"{name}::{rest}" if rest else None)
    return [(name, None if None in ids else ids) for name, ids in chosen.items()]


@contextlib.contextmanager
def databases(names):
    """Give the tests that need some databases: the caller's, else servers of their own."""
    if DATABASES in os.environ or NEED_DATABASES.isdisjoint(names):
        yield
        return
    sys.path.insert(0, str(HERE.parent))
    from support import daemons, mariadb, postgres

    auth = {}
    with contextlib.ExitStack() as stack:
        for driver, server in ("psycopg2", postgres.server), ("MySQLdb", mariadb.server):
            try:
                auth[driver] = stack.enter_context(server())
            except daemons.Unavailable as reason:
                print(f"conformance: the tests skip what needs {driver}: {reason}")
        # The tests name the database themselves.
        auth.get("psycopg2", {}).pop("dbname", None)
        # Where there is no server, they take it from an error in connecting.
        os.environ[DATABASES] = json.dumps(NO_DATABASES | auth)
        stack.callback(os.environ.pop, DATABASES)
        yield


def parse_arguments():
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        epilog="Skips of the tests' own are counted and shown; they need no entry in the"
        " expectation file. Files that are not in scope there may be named, too.",
    )
    parser.add_argument(
        "tests",
        nargs="*",
        metavar="TEST",
        help="a test file or test, as event_test or event_test.py::TestEvent::test_send"
        " (default: every file in scope)",
    )
    add = parser.add_argument
    add("--all", action="store_true", help="run every test file, not only those in scope")
    add(
        "--hub",
        action="append",
        default=[],
        metavar="NAME",
        help="hub to run on: sets EVENTLET_HUB (default: none is asked for); more than one may be"
        " given, separated by commas",
    )
    add("--all-hubs", action="store_true", help=f"run on {', '.join(HUBS)}")
    add(
        "--python",
        action="append",
        default=[],
        metavar="PATH",
        help="interpreter with the package and pytest in it (default: this one); more than one may"
        " be given, separated by commas",
    )
    add("--tls", action="store_true", help="run the tests of servers over TLS, too")
    add("--jobs", type=int, default=1, metavar="N", help="test files to run at once (default: 1)")
    add(
        "--timeout",
        type=float,
        default=60,
        metavar="SECONDS",
        help="limit for each test, after which all stacks are printed (default: 60)",
    )
    add("--list", action="store_true", help="list the files in scope and the known tests, and exit")
    add("--verbose", action="store_true", help="print everything that pytest prints")
    add(
        "--require",
        action="store_true",
        help="fail when the tests cannot be downloaded (default: say so and exit with 0)",
    )
    add("--archive", type=pathlib.Path, metavar="FILE", help="source distribution to use")
    add(
        "--cache",
        type=pathlib.Path,
        default=cache / "eventlet-conformance",
        metavar="FOLDER",
        help="where to keep the source distribution (default: %(default)s)",
    )
    add(
        "--expectations",
        type=pathlib.Path,
        default=HERE / "expectations.toml",
        metavar="FILE",
        help="expectation file (default: the one beside this script)",
    )
    # To try the runner itself on an implementation without a native core.
    add("--allow-foreign", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def list_expectations(expected):
    for name, tests in expected.files.items():
        print(f"{name}: {tests or 'any number of'} tests")
    for known in expected.entries:
        only = "".join(f" [{each}]" for each in (*known.hubs, *known.pythons, *known.transports))
        print(f"known {known.outcome}{only}: {known.id}: {known.reason}")
    return 0


def settings(options):
    """Return what to run the tests on, one interpreter after the other."""
    pythons = split(options.python) or [sys.executable]
    hubs = HUBS if options.all_hubs else split(options.hub) or [DEFAULT_HUB]
    pythons = [os.path.abspath(shutil.which(python) or python) for python in pythons]
    transports = [PLAIN, TLS] if options.tls else [PLAIN]
    return [Setting(*each) for each in itertools.product(pythons, hubs, transports)]


def split(values):
    return [each for value in values for each in value.split(",") if each]


def run_all(options, expected, work):
    """Run the tests on everything that is asked for; return the exit status."""
    root = work / "root"
    root.mkdir()
    chosen_settings = settings(options)
    packages = [probe(options, setting, root) for setting in chosen_settings]
    try:
        archive = options.archive or fetch(expected, options.cache, chosen_settings[0].python)
    except Unavailable as error:
        print(f"conformance: SKIPPED, Eventlet's tests cannot be downloaded: {error}")
        return 1 if options.require else 0
    if sha256_of(archive) != expected.sha256:
        raise Unusable(f"{archive} is not the pinned source distribution")
    extract_tests(archive, expected.version, root)
    shutil.copy(HERE / "plugin.py", root / "conformance_plugin.py")
    shutil.copy(HERE / "over_tls.py", root / "conformance_tls.py")
    chosen = select(options, expected, root)
    verdicts = {}
    with databases([name for name, _ in chosen]):
        for setting, package in zip(chosen_settings, packages, strict=True):
            these = chosen
            if setting.transport == TLS:
                these = [(name, ids) for name, ids in chosen if name in expected.over_tls]
            if these:
                print(f"Eventlet {expected.version}'s tests on {package}, {setting}", flush=True)
                verdicts[str(setting)] = run_setting(options, expected, setting, these, root)
    if len(verdicts) > 1:
        print()
        for setting, verdict in verdicts.items():
            print(f"{setting:40}{verdict.counts()}")
    return 1 if any(verdict.problems for verdict in verdicts.values()) else 0


def run_setting(options, expected, setting, chosen, root):
    """Run the chosen tests in one setting; return the verdict, which has been printed."""
    verdict = Verdict(expected.files, expected.known(setting))
    runs = [
        FileRun(options, setting, root, name, ids, expected.cleared.get(name, []))
        for name, ids in chosen
    ]
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        # One at a time, in this thread: an interrupt then ends the test process at once.
        each = map(FileRun.run, runs) if options.jobs == 1 else pool.map(FileRun.run, runs)
        for run in each:
            print(f"{run.name:36}{run.seconds:6.1f} s  {run.counts()}", flush=True)
    # When all have ended, so that what is run again is alone.
    for run in runs:
        verdict.judge(run)
    verdict.print()
    return verdict


def main():
    options = parse_arguments()
    # A short path: the tests make UNIX sockets below it.
    work = pathlib.Path(tempfile.mkdtemp(prefix="conf")).resolve()
    try:
        expected = Expectations(options.expectations)
        if options.list:
            return list_expectations(expected)
        return run_all(options, expected, work)
    except Unusable as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
