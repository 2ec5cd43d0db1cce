"""Interleaved rounds: every contender once, then every contender again."""

import os
import statistics
from collections.abc import Callable, Iterable
from dataclasses import replace

from harness import system
from harness.model import (
    BUSY,
    Contender,
    Context,
    Failed,
    Outcome,
    Result,
    Settings,
    Unavailable,
    Workload,
)
from harness.peers import Peers

LabelOf = Callable[[Contender], str]


def prepare(contender: Contender, peers: Peers, settings: Settings) -> Context:
    """Fill in where the contender's programs are."""
    place = peers.place(contender.peer)
    context = Context(settings, list(contender.command))
    uwsgi = os.path.join(os.path.dirname(place), "uwsgi")
    return replace(context, command=context.filled(python=place, native=place, uwsgi=uwsgi))


def run(
    workload: Workload,
    contenders: Iterable[Contender],
    peers: Peers,
    settings: Settings,
    label_of: LabelOf,
    say: Callable[[str], None],
) -> Outcome:
    """Measure a workload. A contender that cannot go on is left out of later rounds."""
    results = []
    contexts: dict[str, Context] = {}
    for contender in contenders:
        result = Result(contender, label_of(contender))
        results.append(result)
        try:
            if contender.cannot:
                raise Unavailable(contender.cannot)
            peers.versions(contender.peer)
            if workload.group == "echo":
                peers.place("native")
            contexts[contender.key] = prepare(contender, peers, settings)
        except Unavailable as reason:
            result.leave(reason)
            say(f"{workload.key}: {result.label}: not available: {reason}")
    rounds = min(settings.rounds, workload.most_rounds)
    disturbances = [0.0]
    for number in range(rounds):
        # Each round begins with another contender, so that none always follows the same one.
        turn = number % max(1, len(results))
        for result in results[turn:] + results[:turn]:
            if result.status == "ok":
                with system.others({settings.server_cpu, settings.client_cpu}) as others:
                    _measure(workload, result, contexts[result.contender.key])
                disturbances.append(others())
                where = f"{workload.key} {number + 1}/{rounds}: {result.label}"
                say(f"{where}: {_brief(workload, result)}")
    disturbance = statistics.median(disturbances[1:] or disturbances)
    if disturbance > BUSY:
        say(f"{workload.key}: other programs took {disturbance:.0f} % of the processors")
    return Outcome(workload, results, disturbance)


def _measure(workload: Workload, result: Result, context: Context) -> None:
    """One round of one contender."""
    try:
        result.samples.append(workload.measure(context))
    except (Unavailable, Failed) as reason:
        result.leave(reason)


def _brief(workload: Workload, result: Result) -> str:
    """What a round came to, for the progress line."""
    if result.status != "ok":
        return f"{result.status}: {result.reason}"
    last = result.samples[-1]
    text = ", ".join(
        f"{metric.text(last[metric.key])} {metric.unit}".strip()
        for metric in workload.metrics[:2]
        if metric.key in last
    )
    return text + (f", {last['errors']:.0f} errors" if last.get("errors") else "")
