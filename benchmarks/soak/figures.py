"""What changes in the course of a long run, by the hour."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.figures import Latency

MAX_GROWTH_MB = 20.0
"""A process may grow by so much an hour: measuring has its noise."""
OURS = ("coordinator", "worker")
"""The broker fills its heap as it likes, and the load generator keeps books."""
MAX_DRIFT = 0.10
"""The p50 may rise by this part of itself an hour."""
MAX_SLOWING = 0.05
"""The rate of plans may fall by this part of itself an hour."""
LEAST_SAMPLES = 3


@dataclass(frozen=True)
class Sample:
    """What was seen in one interval."""

    at_s: float
    """Its end, from the beginning of the run."""
    plans_per_s: float
    latency_ms: Latency
    rss_mb: Mapping[str, float]
    """Resident memory by process, at its end."""


def slope_per_hour(samples: Sequence[tuple[float, float]]) -> float:
    """Fits a line through (seconds, value), and says how it rises in an hour."""
    if len(samples) < LEAST_SAMPLES:
        return 0.0
    seconds, values = zip(*samples, strict=True)
    return 3600 * statistics.linear_regression(seconds, values).slope


@dataclass(frozen=True)
class Trend:
    """How one quantity went on."""

    what: str
    unit: str
    first: float
    last: float
    per_hour: float
    limit: float | None
    """The slope an hour that is allowed; a negative one limits a fall; None is any."""

    @property
    def is_flat(self) -> bool:
        """Whether the slope stays within what is allowed."""
        if self.limit is None:
            return True
        if self.limit < 0:
            return self.per_hour >= self.limit
        return self.per_hour <= self.limit

    def to_dict(self) -> dict[str, Any]:
        """Gives the trend as JSON wants it."""
        return {**asdict(self), "flat": self.is_flat}


def trends(samples: Sequence[Sample]) -> list[Trend]:
    """Fits a line through memory of each process, rate, and latencies.

    The first quarter is left out: caches fill, and compilers compile.
    """
    kept = samples[len(samples) // 4 :]
    found = [
        _trend(
            f"memory of {name}",
            "MB",
            [(each.at_s, each.rss_mb[name]) for each in kept],
            MAX_GROWTH_MB if name in OURS else None,
        )
        for name in (kept[0].rss_mb if kept else ())
    ]
    p50 = [(each.at_s, each.latency_ms.p50) for each in kept]
    rate = [(each.at_s, each.plans_per_s) for each in kept]
    if kept:
        found.append(_trend("p50", "ms", p50, MAX_DRIFT * _median(p50)))
        found.append(_trend("rate", "plans/s", rate, -MAX_SLOWING * _median(rate)))
    return found


def _trend(
    what: str, unit: str, samples: Sequence[tuple[float, float]], limit: float | None
) -> Trend:
    first, last = samples[0][1], samples[-1][1]
    slope = round(slope_per_hour(samples), 3)
    return Trend(what, unit, first, last, slope, limit)


def _median(samples: Sequence[tuple[float, float]]) -> float:
    return statistics.median(value for _, value in samples)
