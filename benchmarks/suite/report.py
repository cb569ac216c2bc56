"""What the suite measured: targets, closed loops, and everything else."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks import machine, targets
from benchmarks.figures import Figures
from benchmarks.plot import Point, latency_against_throughput
from benchmarks.presenting import Shown
from benchmarks.report import sections, settings_line, verdict
from benchmarks.suite.run import Found, Options
from benchmarks.tables import Row, Section

PLOT = "latency.svg"


def shown(options: Options, facts: Mapping[str, Any], found: Found) -> Shown:
    """Gives the report as people and programs want it."""
    judgements = targets.judge(found.measures)
    scale = options.scale
    curve = curve_of([each for part, each in found.figures if part == "speed"])
    plot = latency_against_throughput("Chain of 3: latency against throughput", curve)
    return Shown(
        title="Performance",
        facts=[
            f"Command: `{options.command}`",
            *machine.lines(facts),
            *(settings_line(each, part) for part, each in found.settings.items()),
            *_versions(found.versions),
            f"{scale.rounds} rounds",
            scale.pace.line(),
        ],
        sections=[
            targets.section(judgements),
            *sections([each for _, each in found.figures]),
        ],
        appendix=[
            Section(
                "All measures",
                ("measure", "rounds", "median", "least", "most"),
                [_row(name, values) for name, values in found.measures.items()],
            ),
        ],
        document={
            "command": options.command,
            "machine": dict(facts),
            "settings": {part: dict(each) for part, each in found.settings.items()},
            "versions": dict(found.versions),
            "scale": asdict(scale),
            "targets": [each.to_dict() for each in judgements],
            "measures": dict(found.measures),
            "figures": [
                {"part": part, **each.to_dict()} for part, each in found.figures
            ],
            "problems": dict(found.problems),
        },
        verdict=verdict(found.problems),
        is_good=not found.problems,
        pictures={PLOT: plot} if curve else {},
    )


def _versions(versions: Mapping[str, str]) -> list[str]:
    told = ", ".join(f"{name} {each}" for name, each in versions.items())
    return [f"Compared with: {told}"] if told else []


def curve_of(figures: Sequence[Figures]) -> list[Point]:
    """Takes the medians of the rounds, for each number of chains of 3 in flight."""
    chains = [each for each in figures if each.shape == "chain-3"]
    points = []
    for in_flight in sorted({each.in_flight for each in chains}):
        same = [each for each in chains if each.in_flight == in_flight]
        points.append(
            Point(
                f"{in_flight} in flight",
                statistics.median(each.plans_per_s for each in same),
                statistics.median(each.latency_ms.p50 for each in same),
                statistics.median(each.latency_ms.p99 for each in same),
            )
        )
    return points


def _row(name: str, by_round: Mapping[int, float]) -> Row:
    values = by_round.values()
    shown = (statistics.median(values), min(values), max(values))
    return (name, f"{len(values)}", *(f"{value:,.4g}" for value in shown))
