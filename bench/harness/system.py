"""What the operating system tells: processors, memory and processor time of processes."""

import contextlib
import os
import platform
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROC = Path("/proc")
MOST_FILES = 65_536


def cpus() -> list[int]:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pin(cpu: int) -> None:
    """Keep the calling process on one processor, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu})


def pinned(cpu: int) -> Callable[[], None]:
    """`pin`, to be called in a child before it runs its program."""
    return lambda: pin(cpu)


def allow_many_files() -> int:
    """Raise the limit of open files as far as it goes; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def _stat(pid: str) -> list[str]:
    """The fields of /proc/PID/stat after the command's name."""
    try:
        return (PROC / pid / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def tree(root: int) -> list[int]:
    """A process and its descendants."""
    parents: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(entry.name)):
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, queue = [root], [root]
    while queue:
        children = parents.get(queue.pop(), [])
        found += children
        queue += children
    return found


def processor_time(root: int) -> float:
    """Seconds of processor time that a process tree has used."""
    ticks = 0
    for pid in tree(root):
        if fields := _stat(str(pid)):
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident(root: int) -> int:
    """Resident bytes of a process tree."""
    pages = 0
    for pid in tree(root):
        try:
            pages += int((PROC / str(pid) / "statm").read_text().split()[1])
        except OSError:
            continue
    return pages * os.sysconf("SC_PAGESIZE")


def _busy(cpus: set[int]) -> float:
    """Seconds that processors have spent on programs of anyone, or lost to the hypervisor."""
    ticks = 0
    wanted = {f"cpu{cpu}" for cpu in cpus}
    for line in (PROC / "stat").read_text().splitlines():
        name, *fields = line.split()
        if name in wanted:
            user, nice, kernel, _, _, _, _, steal = map(int, fields[:8])
            ticks += user + nice + kernel + steal
    return ticks / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    """Seconds of processor time of this process and of the children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@contextlib.contextmanager
def others(cpus: set[int]) -> Iterator[Callable[[], float]]:
    """Measure the per cent of the processors that programs other than ours take in the block."""
    if not (PROC / "stat").exists():
        yield lambda: 0.0
        return
    began, busy, own = time.perf_counter(), _busy(cpus), _own()
    share = 0.0
    yield lambda: share
    available = (time.perf_counter() - began) * len(cpus)
    share = max(0.0, 100 * (_busy(cpus) - busy - (_own() - own)) / available)


def facts() -> dict[str, str]:
    """The machine, for the head of the report."""
    model = platform.processor() or platform.machine()
    try:
        for line in (PROC / "cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return {
        "processor": model,
        "processors": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
    }


def load_average() -> str:
    """The load average, to tell a quiet machine from a busy one."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())
