"""Compare Eventlet with its peers, side by side, in one run.

Every workload is done by several contenders in interleaved rounds; the report has medians,
ranges and ratios. Slow figures never make the run fail: it is a report.
"""

import argparse
import datetime
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness import report, rounds, system
from harness.model import BENCH, BUSY, OURS, Contender, Outcome, Settings, Unavailable
from harness.peers import Peers, default_python, tail
from harness.targets import verdicts
from harness.workloads import WORKLOADS

ALWAYS = {"asyncio", "native", OURS}
"""Peers that need no package from elsewhere: a smoke run fails if one of them cannot run."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(dict.fromkeys(each.group for each in WORKLOADS))
    add = parser.add_argument
    add("--list", action="store_true", help="list the workloads and their contenders, and stop")
    add("--only", metavar="NAME[,..]", help=f"workloads or groups of them ({names})")
    add(
        "--peers",
        metavar="NAME[,..]",
        help="contenders or peers to compare with, or 'all' (default: all; in a smoke run:"
        " asyncio). The project under test always takes part.",
    )
    add("--rounds", type=int, default=5, metavar="N", help="rounds (default: 5)")
    add("--seconds", type=float, default=3.0, metavar="S", help="length of one (default: 3)")
    add(
        "--smoke",
        action="store_true",
        help="one very short round of everything, to see that it runs; exit status 1 if a"
        " contender does not",
    )
    add(
        "--require-all",
        action="store_true",
        help="in a smoke run, an API that is not there yet is a failure, too",
    )
    add(
        "--eventlet-python",
        metavar="PATH",
        default=default_python(),
        help="interpreter that has the project under test installed (default: this one)",
    )
    add("--wheel", type=Path, metavar="FILE", help="wheel of the project under test, instead")
    add(
        "--python",
        metavar="PATH",
        default=default_python(),
        help="interpreter for the peers' virtual environments (default: this one)",
    )
    add(
        "--output",
        type=Path,
        metavar="DIR",
        help="where the report goes (default: bench/results; of a smoke run or of a part:"
        " bench/target/results)",
    )
    add("--no-plots", action="store_true", help="do not draw charts")
    add("--server-cpu", type=int, metavar="N", help="processor of servers (default: the first)")
    add("--client-cpu", type=int, metavar="N", help="processor of clients (default: the last)")
    args = parser.parse_args()
    if args.rounds < 1 or not 0 < args.seconds <= 600:
        parser.error("--rounds must be 1 or more, --seconds more than 0 and at most 600")
    if args.wheel and not args.wheel.is_file():
        parser.error(f"no such wheel: {args.wheel}")
    return args


def chosen(names: str | None, known: set[str], what: str) -> set[str] | None:
    """The names that an option lists; None for all of them."""
    if names in (None, "all"):
        return None
    wanted = {name.strip() for name in names.split(",") if name.strip()}
    if unknown := wanted - known:
        sys.exit(f"unknown {what}: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
    return wanted


class Run:
    """One run of the suite."""

    def __init__(self, args: argparse.Namespace, scratch: Path) -> None:
        """Work out what the command line asks for."""
        self.args = args
        keys = {each.key for each in WORKLOADS} | {each.group for each in WORKLOADS}
        every = [each for workload in WORKLOADS for each in workload.contenders]
        only = chosen(args.only, keys, "workload")
        self.workloads = [
            each for each in WORKLOADS if only is None or only & {each.key, each.group}
        ]
        peers = args.peers or ("asyncio" if args.smoke else "all")
        known = {each.key for each in every} | {each.peer for each in every}
        self.wanted = chosen(peers, known, "peer")
        self.partial = args.smoke or only is not None or self.wanted is not None
        self.interrupted = False
        cpus = system.cpus()
        self.settings = Settings(
            seconds=min(args.seconds, 0.2) if args.smoke else args.seconds,
            rounds=1 if args.smoke else args.rounds,
            smoke=args.smoke,
            server_cpu=cpus[0] if args.server_cpu is None else args.server_cpu,
            client_cpu=cpus[-1] if args.client_cpu is None else args.client_cpu,
            scratch=scratch,
        )
        # Not resolved: an interpreter of a virtual environment is a symbolic link.
        self.peers = Peers(
            os.path.abspath(args.python),
            os.path.abspath(args.eventlet_python),
            args.wheel.resolve() if args.wheel else None,
        )

    def takes_part(self, contender: Contender) -> bool:
        """Is this contender wanted?"""
        names = {contender.key, contender.peer}
        return self.wanted is None or OURS in names or bool(self.wanted & names)

    def label(self, contender: Contender) -> str:
        """A contender's name in the report; both Eventlets have their version in it."""
        if contender.peer == OURS:
            try:
                version = self.peers.versions(OURS)["package"]
            except Unavailable:
                return "eventlet (this project)"
            return f"eventlet {version}" + (" (this project)" if version[:1] == "0" else "")
        return contender.label or contender.key.replace("eventlet-", "eventlet ")

    def measure(self) -> list[Outcome]:
        """Every workload in turn."""
        system.allow_many_files()
        system.pin(self.settings.client_cpu)
        outcomes = []
        for number, workload in enumerate(self.workloads, 1):
            print(f"[{number}/{len(self.workloads)}] {workload.title}", flush=True)
            contenders = [each for each in workload.contenders if self.takes_part(each)]
            try:
                outcome = rounds.run(
                    workload,
                    contenders,
                    self.peers,
                    self.settings,
                    self.label,
                    lambda text: print(f"  {text}", flush=True),
                )
            except KeyboardInterrupt:
                print(f"interrupted: the report ends before {workload.key}", flush=True)
                self.interrupted = self.partial = True
                break
            outcomes.append(outcome)
        return outcomes

    def meta(self, load_before: str, outcomes: list[Outcome]) -> dict[str, Any]:
        """The head of the report."""
        versions: dict[str, dict[str, str]] = {}
        for outcome in outcomes:
            for result in outcome.results:
                peer = result.contender.peer
                if peer != "native" and result.samples:
                    name = "eventlet (this project)" if peer == OURS else peer
                    versions[name] = self.peers.versions(peer)
        notes = []
        settings = self.settings
        if settings.server_cpu == settings.client_cpu:
            notes.append("server and client share one processor: compare with care")
        if len({each["python"] for each in versions.values()}) > 1:
            notes.append("the contenders did not all run on the same version of Python")
        if busy := sum(outcome.disturbance > BUSY for outcome in outcomes):
            notes.append(f"other work disturbed {busy} of {len(outcomes)} workloads: measure again")
        if self.args.smoke:
            notes.append("a smoke run: its figures mean nothing")
        return {
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            "machine": system.facts(),
            "load_before": load_before,
            "load_after": system.load_average(),
            "settings": {
                "rounds": settings.rounds,
                "seconds": settings.seconds,
                "server_cpu": settings.server_cpu,
                "client_cpu": settings.client_cpu,
            },
            "versions": versions,
            "notes": notes,
        }

    def plot(self, output: Path) -> bool:
        """Draw the charts, if matplotlib can be had."""
        try:
            python = self.peers.place("plot")
        except Unavailable as reason:
            print(f"no charts: matplotlib {reason}")
            return False
        script = BENCH / "harness" / "plot.py"
        command = [python, str(script), str(output / "latest.json"), str(output)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if done.returncode:
            print(f"no charts: {tail(done.stderr)}")
        return done.returncode == 0


def broken(outcomes: list[Outcome], require_all: bool) -> list[str]:
    """What a smoke run complains of."""
    complaints = []
    for outcome in outcomes:
        for result in outcome.results:
            where = f"{outcome.workload.key}: {result.label}"
            missing = result.status == "not available" and result.contender.peer in ALWAYS
            yet = result.status == "not available yet" and require_all
            if result.status == "failed" or missing or yet:
                complaints.append(f"{where}: {result.status}: {result.reason}")
            if result.errors:
                complaints.append(f"{where}: {result.errors} errors")
    return complaints


def listing() -> None:
    """What there is."""
    for workload in WORKLOADS:
        print(f"{workload.key:16} {workload.group:11} {workload.title}")
        print(f"{'':28} {', '.join(each.key for each in workload.contenders)}")


def main() -> int:
    """Run the suite; the exit status says whether it ran, never how fast."""
    args = arguments()
    if args.list:
        listing()
        return 0
    # Servers are ended by the blocks that started them, so make a termination unwind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    load_before = system.load_average()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        run = Run(args, Path(scratch))
        outcomes = run.measure()
    meta = run.meta(load_before, outcomes)
    judged = [] if args.smoke else verdicts(outcomes)
    output = args.output or (BENCH / "target" / "results" if run.partial else BENCH / "results")
    found = report.document(meta, outcomes, judged)
    report.write(output, found, "")
    plots = not (args.no_plots or args.smoke) and run.plot(output)
    report.write(output, found, report.markdown(meta, outcomes, judged, plots))
    if judged:
        print(f"\n{report.targets_table(judged)}")
    print(f"report: {os.path.relpath(output / 'latest.md')}")
    complaints = broken(outcomes, args.require_all) if args.smoke else []
    for complaint in complaints:
        print(f"FAILED {complaint}")
    if run.interrupted:
        return 130
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
