"""Draws the charts of a report. Runs in the virtual environment that has matplotlib.

`python plot.py latest.json DIRECTORY` writes GROUP.svg and GROUP.png: a panel of horizontal bars
for each workload, medians, whiskers from the best to the worst round, ours in colour.
"""

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot
from matplotlib.axes import Axes

OURS, OTHER, LIMIT, INK, RULE = "#c2410c", "#9aa5b1", "#cbd2d9", "#1f2933", "#e4e7eb"
LIMITS = ("epoll", "tungstenite")
#: As many as fit over a panel.
TITLE_CHARACTERS = 58
BAR_INCHES, PANEL_INCHES, WIDTH_INCHES = 0.3, 1.15, 8.0


def number(value: float, metric: dict[str, Any]) -> str:
    """A figure beside its bar."""
    if metric["unit"] == "1/s" and value >= 10_000:
        return f"{value / 1000:,.1f} k/s"
    return f"{value:,.{metric['digits']}f} {metric['unit']}".replace(" 1/s", "/s")


def panel(axes: Axes, workload: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """One workload."""
    metric = workload["metrics"][0]
    key = metric["key"]
    rows = sorted(
        rows, key=lambda row: row["figures"][key]["median"], reverse=metric["lower_is_better"]
    )
    figures = [row["figures"][key] for row in rows]
    medians = [max(0, each["median"]) for each in figures]
    spread = [
        [max(0, median - each["min"]) for median, each in zip(medians, figures, strict=True)],
        [max(0, each["max"] - median) for median, each in zip(medians, figures, strict=True)],
    ]
    colours = [OURS if row["ours"] else LIMIT if row["key"] in LIMITS else OTHER for row in rows]
    axes.barh(range(len(rows)), medians, 0.68, color=colours, zorder=2)
    axes.errorbar(
        medians,
        range(len(rows)),
        xerr=spread,
        fmt="none",
        ecolor=INK,
        elinewidth=0.8,
        capsize=2,
        alpha=0.55,
        zorder=3,
    )
    reach = max(max(0.0, each["max"]) for each in figures) or 1
    for index, (row, figure) in enumerate(zip(rows, figures, strict=True)):
        text = number(figure["median"], metric)
        if not row["ours"] and row["ratio"]:
            text += f"   (ours {row['ratio']:.2f}x)"
        end = max(figure["max"], figure["median"], 0) + reach * 0.012
        weight = "bold" if row["ours"] else "normal"
        axes.text(end, index, text, va="center", fontsize=8.5, color=INK, fontweight=weight)
    axes.set_yticks(range(len(rows)), [row["label"] for row in rows], fontsize=9, color=INK)
    for tick, row in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if row["ours"] else "normal")
    axes.set_xlim(0, reach * 1.32)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    better = "less is better" if metric["lower_is_better"] else "more is better"
    text = textwrap.fill(workload["title"], TITLE_CHARACTERS)
    title = axes.set_title(text, loc="left", fontsize=10.5, color=INK, pad=7)
    title.set_fontweight("bold")
    unit = f"{metric['title']}, {metric['unit']}".rstrip(", ")
    axes.set_xlabel(f"{unit} ({better})", loc="right", fontsize=8, color="#616e7c")
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8, labelcolor="#616e7c", color=RULE)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(axis="x", color=RULE, linewidth=0.8, zorder=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(RULE)


def draw(group: str, panels: list[tuple[dict[str, Any], list[dict[str, Any]]]], to: Path) -> None:
    """One figure: the workloads of a group, one below the other."""
    heights = [PANEL_INCHES + BAR_INCHES * len(rows) for _, rows in panels]
    figure, axes = pyplot.subplots(
        len(panels),
        1,
        figsize=(WIDTH_INCHES, sum(heights)),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
        facecolor="white",
    )
    for axis, (workload, rows) in zip(axes[:, 0], panels, strict=True):
        panel(axis, workload, rows)
    for suffix in ("svg", "png"):
        metadata = {"Date": None} if suffix == "svg" else None
        figure.savefig(to / f"{group}.{suffix}", dpi=144, metadata=metadata)
    pyplot.close(figure)


def main() -> None:
    """Read the report and draw every group that has something to show."""
    document = json.loads(Path(sys.argv[1]).read_text())
    to = Path(sys.argv[2])
    pyplot.rcParams["figure.constrained_layout.h_pad"] = 0.1
    pyplot.rcParams["svg.hashsalt"] = "bench"
    groups: dict[str, list] = {}
    for workload in document["workloads"]:
        key = workload["metrics"][0]["key"]
        rows = [row for row in workload["contenders"] if key in row["figures"]]
        if rows:
            groups.setdefault(workload["group"], []).append((workload, rows))
    for group, panels in groups.items():
        draw(group, panels, to)


if __name__ == "__main__":
    main()
