"""What two commits, measured by turns, say about each other."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from benchmarks.system import OURS

LESS_IS_BETTER = ("p50", "p99", "CPU")


Verdict = Literal["better", "worse", "no difference", "too few rounds"]
LEAST_ROUNDS = 3


@dataclass(frozen=True)
class Pair:
    """One measure of both commits, round by round."""

    measure: str
    base: float
    """The median."""
    candidate: float
    """The median."""
    ratio: float
    """The median of candidate / base of each round."""
    least: float
    most: float
    verdict: Verdict
    """A difference counts when every round has it, and there are three at least."""

    @classmethod
    def of(
        cls, measure: str, base: Sequence[float], candidate: Sequence[float]
    ) -> Pair:
        """Compares the rounds of two commits; at least one."""
        ratios = [new / old for old, new in zip(base, candidate, strict=True)]
        return cls(
            measure=measure,
            base=statistics.median(base),
            candidate=statistics.median(candidate),
            ratio=statistics.median(ratios),
            least=min(ratios),
            most=max(ratios),
            verdict=_verdict(measure, ratios),
        )

    def to_dict(self) -> dict[str, Any]:
        """Gives the pair as JSON wants it."""
        return asdict(self)


def _verdict(measure: str, ratios: Sequence[float]) -> Verdict:
    if len(ratios) < LEAST_ROUNDS:
        return "too few rounds"
    more, less = min(ratios) > 1, max(ratios) < 1
    if not (more or less):
        return "no difference"
    less_is_better = any(word in measure for word in LESS_IS_BETTER)
    return "better" if less == less_is_better else "worse"


def measures(report: Mapping[str, Any]) -> dict[str, float]:
    """Takes the measures out of a report of `speed`, as JSON has it."""
    found = {}
    for each in report["figures"]:
        name = f"{each['shape']} × {each['in_flight']}"
        found[f"{name} plans/s"] = each["plans_per_s"]
        found[f"{name} p50 ms"] = each["latency_ms"]["p50"]
        found[f"{name} p99 ms"] = each["latency_ms"]["p99"]
        for process in (*OURS, "broker"):
            if cost := each["processes"].get(process):
                spent = cost["cpu_ms_per_step"]
                found[f"{name} CPU ms a step, {process}"] = spent
    return {name: value for name, value in found.items() if value > 0}


def compare(
    base: Sequence[Mapping[str, float]], candidate: Sequence[Mapping[str, float]]
) -> list[Pair]:
    """Compares the measures that every round of both has."""
    rounds = [*base, *candidate]
    names = [name for name in rounds[0] if all(name in each for each in rounds)]
    return [
        Pair.of(name, [each[name] for each in base], [each[name] for each in candidate])
        for name in names
    ]
