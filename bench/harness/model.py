"""What the harness talks about: peers' commands, workloads, figures and how they end."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
CONTENDERS = BENCH / "contenders"
OURS = "eventlet"
"""The key of the project under test, as a peer and as a contender."""


BUSY = 5.0
"""Per cent of the processors taken by other programs from which figures are not to be trusted."""


class Unavailable(Exception):
    """A contender cannot take part here, or not yet; the text says why."""


class NotYet(Unavailable):
    """The project under test lacks an API that a contender imports."""


class Failed(Exception):
    """A contender that should have run did not; the text says why."""


@dataclass(frozen=True)
class Settings:
    """How long, how often and where to measure."""

    seconds: float
    rounds: int
    smoke: bool
    server_cpu: int
    client_cpu: int
    scratch: Path

    def count(self, full: int) -> int:
        """A size that a smoke run makes much smaller."""
        return max(200, full // 100) if self.smoke else full


@dataclass(frozen=True)
class Metric:
    """One figure of a workload."""

    key: str
    title: str
    unit: str
    lower_is_better: bool = True
    digits: int = 0

    def text(self, value: float) -> str:
        """The value as people read it."""
        return f"{value:,.{self.digits}f}"


@dataclass(frozen=True)
class Contender:
    """A program that does a workload.

    `{python}`, `{native}`, `{bind}`, `{certificate}`, `{count}`, `{log}`, `{port}`, `{seconds}` and
    `{uwsgi}` in the command are filled in when it runs.
    """

    key: str
    peer: str
    command: tuple[str, ...]
    label: str = ""
    cannot: str = ""
    """Why it takes no part in this workload, if it cannot do it."""


@dataclass
class Context:
    """A contender about to be measured: its command with everything known but the port."""

    settings: Settings
    command: list[str]

    def filled(self, **values: object) -> list[str]:
        """The command with placeholders replaced."""
        command = self.command
        for name, value in values.items():
            command = [part.replace(f"{{{name}}}", str(value)) for part in command]
        return command


Figures = dict[str, float]


@dataclass(frozen=True)
class Workload:
    """Something to measure, and who does it."""

    key: str
    group: str
    title: str
    about: str
    metrics: tuple[Metric, ...]
    contenders: tuple[Contender, ...]
    measure: Callable[[Context], Figures]
    most_rounds: int = 1000

    @property
    def primary(self) -> Metric:
        """The metric that is compared."""
        return self.metrics[0]


@dataclass
class Result:
    """What came of one contender in one workload."""

    contender: Contender
    label: str
    """Its name in the report."""
    samples: list[Figures] = field(default_factory=list)
    status: str = "ok"
    """Either "ok", "not available", "not available yet" or "failed"."""
    reason: str = ""

    def leave(self, reason: Exception) -> None:
        """Take no further part."""
        self.status = "failed"
        if isinstance(reason, Unavailable):
            self.status = "not available yet" if isinstance(reason, NotYet) else "not available"
        self.reason = str(reason)

    def values(self, metric: str) -> list[float]:
        """Every round's value of a metric."""
        return [sample[metric] for sample in self.samples if metric in sample]

    def median(self, metric: str) -> float | None:
        """The median of the rounds, if there are any."""
        values = self.values(metric)
        return statistics.median(values) if values else None

    @property
    def errors(self) -> int:
        """Errors that the load generator saw, over all rounds."""
        return int(sum(self.values("errors")))


@dataclass
class Outcome:
    """A workload with the results of its contenders."""

    workload: Workload
    results: list[Result]
    disturbance: float = 0.0
    """Per cent of the two processors that other programs took, the median of the rounds."""

    def of(self, key: str) -> Result | None:
        """The result of a contender."""
        return next((result for result in self.results if result.contender.key == key), None)

    def ratio(self, key: str, metric: Metric) -> float | None:
        """How many times better ours is than this contender; below 1, it is worse."""
        ours, other = self.of(OURS), self.of(key)
        mine = ours.median(metric.key) if ours else None
        theirs = other.median(metric.key) if other else None
        if not mine or not theirs or mine < 0 or theirs < 0:
            return None
        return theirs / mine if metric.lower_is_better else mine / theirs
