"""The report: JSON for programs, Markdown for people."""

import json
from pathlib import Path
from typing import Any

from harness.model import BUSY, OURS, Metric, Outcome, Result
from harness.targets import Verdict

Meta = dict[str, Any]


def document(meta: Meta, outcomes: list[Outcome], verdicts: list[Verdict]) -> dict[str, Any]:
    """Everything that was measured."""
    return {
        "meta": meta,
        "workloads": [_workload(outcome) for outcome in outcomes],
        "targets": [vars(verdict) for verdict in verdicts],
    }


def _workload(outcome: Outcome) -> dict[str, Any]:
    workload = outcome.workload
    return {
        "key": workload.key,
        "group": workload.group,
        "title": workload.title,
        "about": workload.about,
        "disturbance": outcome.disturbance,
        "metrics": [vars(metric) for metric in workload.metrics],
        "contenders": [_result(outcome, result) for result in outcome.results],
    }


def _result(outcome: Outcome, result: Result) -> dict[str, Any]:
    figures = {}
    for metric in outcome.workload.metrics:
        if values := result.values(metric.key):
            figures[metric.key] = {
                "median": result.median(metric.key),
                "min": min(values),
                "max": max(values),
                "rounds": values,
            }
    return {
        "key": result.contender.key,
        "label": result.label,
        "ours": result.contender.key == OURS,
        "status": result.status,
        "reason": result.reason,
        "errors": result.errors,
        "ratio": outcome.ratio(result.contender.key, outcome.workload.primary),
        "figures": figures,
    }


def markdown(meta: Meta, outcomes: list[Outcome], verdicts: list[Verdict], plots: bool) -> str:
    """The report as a page."""
    parts = ["# Benchmark results\n", _head(meta)]
    shown = set()
    for outcome in outcomes:
        group = outcome.workload.group
        parts.append(f"## {outcome.workload.title}\n")
        parts.append(f"{outcome.workload.about}\n")
        parts.append(_table(outcome))
        if outcome.disturbance > BUSY:
            share = f"{outcome.disturbance:.0f} %"
            parts.append(f"Other programs took {share} of the processors: measure again.\n")
        if plots and group not in shown:
            shown.add(group)
            parts.append(f"![{group}]({group}.svg)\n")
    if verdicts:
        parts += ["## Targets\n", targets_table(verdicts)]
    return "\n".join(parts)


def _head(meta: Meta) -> str:
    machine, settings = meta["machine"], meta["settings"]
    cpus = f"{settings['server_cpu']}, client on {settings['client_cpu']}"
    load = f"{meta['load_before']} before, {meta['load_after']} after"
    system = f"{machine['system']}, {machine['architecture']}"
    each = f"{settings['seconds']:g} s each"
    lines = [
        f"- Date: {meta['date']}",
        f"- Machine: {machine['processor']}, {machine['processors']} processors, {system}",
        f"- Server on processor {cpus}; load average {load}",
        f"- Interleaved rounds: {settings['rounds']}, of {each}; figures are medians",
    ]
    for note in meta["notes"]:
        lines.append(f"- Note: {note}")
    rows = [
        [name, versions["package"] or "-", versions["python"] or "-"]
        for name, versions in meta["versions"].items()
    ]
    return "\n".join(lines) + "\n\n" + grid(["peer", "version", "Python"], rows)


def _table(outcome: Outcome) -> str:
    """One workload. The last column tells how many times better ours is; below 1, worse."""
    metrics = outcome.workload.metrics
    primary = outcome.workload.primary
    heads = ["", _title(primary), "min - max", *map(_title, metrics[1:]), "ours is better by", ""]
    rows = []
    for result in outcome.results:
        values = result.values(primary.key)
        note = result.status + (f": {result.reason}" if result.reason else "")
        if result.status == "ok":
            note = f"{result.errors} errors" if result.errors else ""
        ratio = outcome.ratio(result.contender.key, primary)
        ours = result.contender.key == OURS
        row = [result.label, _median(result, primary), _range(values, primary)]
        row += [_median(result, metric) for metric in metrics[1:]]
        row += ["-" if ours or ratio is None else f"{ratio:.2f}x", note]
        rows.append([f"**{cell}**" if ours and cell not in ("-", "") else cell for cell in row])
    if not any(row[-1] for row in rows):
        heads.pop()
        rows = [row[:-1] for row in rows]
    return grid(heads, rows)


def _title(metric: Metric) -> str:
    return f"{metric.title} ({metric.unit})" if metric.unit else metric.title


def _median(result: Result, metric: Metric) -> str:
    value = result.median(metric.key)
    return "-" if value is None else metric.text(value)


def _range(values: list[float], metric: Metric) -> str:
    return f"{metric.text(min(values))} - {metric.text(max(values))}" if values else "-"


def targets_table(verdicts: list[Verdict]) -> str:
    """Targets and what was reached."""
    words = {True: "yes", False: "no", None: "-"}
    rows = [[each.what, each.wanted, each.reached, words[each.met]] for each in verdicts]
    return grid(["work", "target, at least", "reached", "met"], rows)


def grid(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; every column but the first is right-aligned if it holds figures."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(heads, *rows, strict=True)]
    widths = [max(3, width) for width in widths]
    right = [
        index > 0 and all(cell.strip("*")[:1] in "0123456789-" for cell in column)
        for index, column in enumerate(zip(*rows, strict=True))
    ] or [False] * len(heads)

    def line(cells: list[str]) -> str:
        padded = [
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(cells, widths, right, strict=True)
        ]
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * (width - 1) + ":" if is_right else "-" * width
        for width, is_right in zip(widths, right, strict=True)
    ]
    return "\n".join([line(heads), line(rule), *map(line, rows)]) + "\n"


def write(output: Path, found: dict[str, Any], text: str) -> None:
    """Put the report where it belongs."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "latest.json").write_text(json.dumps(found, indent=1) + "\n")
    (output / "latest.md").write_text(text)
