"""What is to be reached, in one place, and whether it was."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from benchmarks.tables import Row, Section

Measures = Mapping[str, Mapping[int, float]]
"""Values by measure and by round; not every round has all."""


@dataclass(frozen=True)
class Target:
    """A figure that must be reached, and one that is aimed at."""

    what: str
    measure: str
    unit: str
    must: float
    aim: float
    better: Literal["more", "less"]
    against: str | None = None
    """The same measure of Restate: must and aim are then multiples of it."""


TARGETS = (
    Target(
        "chain of 3, 1,000 in flight (Restate: 100)",
        "chain-3 × 1000 plans/s",
        "plans/s",
        7,
        12,
        "more",
        "restate chain-3 × 100 plans/s",
    ),
    Target(
        "fan 1-10-1, 400 in flight (Restate: 100)",
        "fan-10 × 400 steps/s",
        "steps/s",
        4,
        6.5,
        "more",
        "restate fan-10 × 100 steps/s",
    ),
    Target(
        "chain of 3, one at a time, p50",
        "chain-3 × 1 p50",
        "ms",
        1.4,
        1.0,
        "less",
        "restate chain-3 p50",
    ),
    Target(
        "chain of 3, one at a time, p99",
        "chain-3 × 1 p99",
        "ms",
        2.5,
        1.3,
        "less",
        "restate chain-3 p99",
    ),
    Target(
        "chain of 3, 100 in flight",
        "chain-3 × 100 plans/s",
        "plans/s",
        1000,
        1600,
        "more",
    ),
    Target("chain of 3, 100 in flight, p50", "chain-3 × 100 p50", "ms", 95, 60, "less"),
    Target(
        "chain of 100, one at a time, p50",
        "chain-100 × 1 p50",
        "ms",
        2.3,
        1.5,
        "less",
        "restate chain-100 p50",
    ),
    Target(
        "1,000-wide fan, one at a time, p50",
        "fan-1000 × 1 p50",
        "ms",
        0.14,
        0.08,
        "less",
        "restate fan-1000 p50",
    ),
    Target("CPU a step, coordinator and worker", "cpu a step", "ms", 0.2, 0.12, "less"),
    Target("replay of 1 M changelog rows", "replay of 1 M rows", "s", 6, 3.5, "less"),
    Target("memory an open chain of 3", "memory an open plan", "KB", 6, 3, "less"),
    Target(
        "200,000 open plans: rate against 1,000",
        "rate with many open",
        "×",
        0.8,
        0.95,
        "more",
    ),
    Target(
        "recorded workflows: makespan / bound",
        "worst recorded",
        "×",
        1.10,
        1.03,
        "less",
    ),
    Target(
        "firing error, 10,000 armed, p99", "firing error p99", "ms", 250, 50, "less"
    ),
    Target(
        "one handler sleeps 60 s: p99 of others",
        "p99 beside a sleeper",
        "×",
        1.5,
        1.1,
        "less",
    ),
)


@dataclass(frozen=True)
class Judgement:
    """What became of a target."""

    target: Target
    rounds: int
    value: float | None
    """The median; None when it was not measured."""
    ratio: float | None
    """The median of the rounds' multiples of Restate, where that is what counts."""

    @classmethod
    def of(cls, target: Target, measures: Measures) -> Judgement:
        """Judges a target by the medians of the rounds."""
        ours = measures.get(target.measure, {})
        value = statistics.median(ours.values()) if ours else None
        theirs = measures.get(target.against or "", {})
        ratios = [ours[each] / theirs[each] for each in ours.keys() & theirs.keys()]
        ratio = statistics.median(ratios) if ratios else None
        return cls(target, len(ours), value, ratio)

    @property
    def reached(self) -> Literal["aim", "must", "no", "not measured"]:
        """Which of the two was reached."""
        counts = self.value if self.target.against is None else self.ratio
        if counts is None:
            return "not measured"
        if self._is_as_good(counts, self.target.aim):
            return "aim"
        return "must" if self._is_as_good(counts, self.target.must) else "no"

    def _is_as_good(self, value: float, limit: float) -> bool:
        return value >= limit if self.target.better == "more" else value <= limit

    def to_dict(self) -> dict[str, Any]:
        """Gives the judgement as JSON wants it."""
        found = {"rounds": self.rounds, "value": self.value, "ratio": self.ratio}
        return {**asdict(self.target), **found, "reached": self.reached}


def judge(measures: Measures) -> list[Judgement]:
    """Judges all targets."""
    return [Judgement.of(target, measures) for target in TARGETS]


def section(judgements: Iterable[Judgement]) -> Section:
    """Lists the targets, and whether they were reached."""
    columns = (
        *("target", "rounds", "median", "unit"),
        *("× Restate", "must", "aim", "reached"),
    )
    return Section("Targets", columns, [_row(each) for each in judgements])


def _row(judgement: Judgement) -> Row:
    target = judgement.target
    times = "×" if target.against is not None else ""
    return (
        target.what,
        f"{judgement.rounds}",
        _cell(judgement.value),
        target.unit,
        _cell(judgement.ratio),
        f"{_bound(target)} {target.must:g}{times}",
        f"{target.aim:g}{times}",
        judgement.reached,
    )


def _bound(target: Target) -> str:
    return "≥" if target.better == "more" else "≤"


def _cell(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
