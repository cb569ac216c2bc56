"""The comparison, as tables: medians of the rounds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks import machine
from benchmarks.peers.environments import PEERS
from benchmarks.peers.run import Found, Report
from benchmarks.presenting import Shown
from benchmarks.tables import Row, Section, short

GROUPS = ("engine", "worker", "client")

Run = tuple[str, int]
"""A throughput run: its shape, and its place among those of the shape."""


def shown(report: Report) -> Shown:
    """Gives the report as people and programs want it."""
    amount = report.amount
    problems = "; ".join(f"{name}: {why}" for name, why in report.problems.items())
    return Shown(
        title="Peers",
        facts=[
            *machine.lines(report.machine),
            f"{report.rounds} rounds, every engine started anew for each",
            f"Throughput runs of {amount.throughput_s:g} s; every result was checked",
        ],
        sections=sections(report),
        document={
            "machine": dict(report.machine),
            "amount": asdict(amount),
            "rounds": report.rounds,
            "found": [
                {"engine": engine, "config": config, "rounds": list(rounds)}
                for (engine, config), rounds in report.found.items()
            ],
            "problems": dict(report.problems),
        },
        verdict=f"Engines that could not be measured: {problems or 'none'}",
        is_good=not report.problems,
    )


def sections(report: Report) -> list[Section]:
    """Lists the tables: latency, throughput, what it costs, what it promises."""
    loads = report.amount.loads
    shapes = list(loads)
    runs = [(shape, place) for shape in loads for place in range(len(loads[shape]))]
    loaded = [f"{shape} × {loads[shape][place]}" for shape, place in runs]
    rows = list(report.found.items())
    return [
        Section(
            "One plan at a time: p50 / p99, ms",
            ("engine", *shapes),
            [(_name(key), *_latencies(found, shapes)) for key, found in rows],
        ),
        Section(
            "Many in flight: plans/s (steps/s)",
            ("engine", *loaded),
            [(_name(key), *_rates(found, runs)) for key, found in rows],
        ),
        Section(
            "CPU ms a step: engine + worker + client; others' share of the machine",
            ("engine", *loaded),
            [(_name(key), *_costs(found, runs)) for key, found in rows],
        ),
        Section(
            "Peak memory, MB",
            ("engine", *GROUPS),
            [(_name(key), *_memory(found)) for key, found in rows],
        ),
        Section(
            "How a plan survives a crash",
            ("engine", "as it is configured here", "versions"),
            [(_name(key), *_promise(key[0], found[0])) for key, found in rows],
        ),
    ]


def median(found: Iterable[Found], *path: str | int) -> float:
    """Takes the median of the rounds of one value."""
    return statistics.median(_dig(each, path) for each in found)


def _dig(found: Any, path: Sequence[str | int]) -> float:
    for name in path:
        found = found[name]
    return float(found)


def _name(key: tuple[str, str]) -> str:
    engine, config = key
    return engine if config == "default" else f"{engine} `{config}`"


def _latencies(found: Sequence[Found], shapes: Sequence[str]) -> Row:
    return tuple(
        " / ".join(
            short(median(found, "shapes", shape, "latency_ms", share))
            for share in ("p50", "p99")
        )
        for shape in shapes
    )


def _rates(found: Sequence[Found], runs: Sequence[Run]) -> Row:
    paths = (("shapes", shape, "throughput", place) for shape, place in runs)
    return tuple(
        f"{short(median(found, *path, 'plans_per_s'))} "
        f"({short(median(found, *path, 'steps_per_s'))})"
        for path in paths
    )


def _costs(found: Sequence[Found], runs: Sequence[Run]) -> Row:
    cells = []
    for shape, place in runs:
        path = ("shapes", shape, "throughput", place)
        cpu = (median(found, *path, "cpu_ms_per_step", each) for each in GROUPS)
        others = median(found, *path, "others_share")
        cells.append(" + ".join(f"{each:.2f}" for each in cpu) + f"; {others:.0%}")
    return tuple(cells)


def _memory(found: Sequence[Found]) -> Row:
    return tuple(f"{median(found, 'peak_mb', group):.0f}" for group in GROUPS)


def _promise(engine: str, found: Found) -> Row:
    (survives,) = (each.survives for each in PEERS if each.name == engine)
    versions = ", ".join(f"{name} {each}" for name, each in found["versions"].items())
    return (survives, versions)
