"""What an overload did, and what it may do."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.figures import Latency

OURS = ("coordinator", "worker")
MOST_GROWTH = 1.25
"""Memory at the end of an overload, against that at the end of its first third."""
LEAST_RATE = 0.8
"""Plans that end meanwhile, against as many as can."""
LONGEST_WAIT = 1.0
"""p99 of the plans that end last, against what all that waits then takes: a queue in
order, which grows, keeps nobody longer."""
LONGEST_DRAIN = 1.5
"""Until what waited has ended, against as long as that takes at full speed."""
MOST_AFTERWARDS = 1.5
"""The time of a plan alone right after it, against before."""


@dataclass(frozen=True)
class Sample:
    """What was seen in one interval of the overload."""

    at_s: float
    """Its end, from the beginning of the overload."""
    plans_per_s: float
    waiting: int
    """Plans that had been sent and had no result."""
    latency_ms: Latency | None
    """Of the plans that ended, from when they were sent; None when none did."""
    rss_mb: Mapping[str, float]


@dataclass(frozen=True)
class Overload:
    """One overload, from before it until after it."""

    name: str
    capacity: float
    """Plans/s of a closed loop."""
    offered: float
    """Plans/s that were sent."""
    samples: Sequence[Sample]
    drained_s: float
    """From the last plan that was sent to the last result."""
    before_ms: float
    """p50 of plans one at a time."""
    after_ms: float

    @property
    def rate(self) -> float:
        """Plans/s that ended while more were sent than could."""
        return statistics.fmean(each.plans_per_s for each in self.samples)

    @property
    def waiting(self) -> int:
        """Plans that waited at the end."""
        return self.samples[-1].waiting

    @property
    def longest_ms(self) -> float:
        """p99 of the plans that ended in the last interval."""
        latency = self.samples[-1].latency_ms
        return math.inf if latency is None else latency.p99

    def growth(self, process: str) -> float:
        """Memory at the end against that at the end of the first third."""
        first = self.samples[len(self.samples) // 3].rss_mb[process]
        last = statistics.median(each.rss_mb[process] for each in self.samples[-3:])
        return last / first

    def most_mb(self, process: str) -> float:
        """The most memory that a process took."""
        return max(each.rss_mb[process] for each in self.samples)

    def rows(self) -> list[tuple[str, float, str, float, bool]]:
        """What, its value, `≤` or `≥`, the limit, and whether it is kept."""
        least_s = max(self.waiting, 1) / self.capacity
        return [
            _row(
                "rate meanwhile, of capacity",
                self.rate / self.capacity,
                "≥",
                LEAST_RATE,
            ),
            *(
                _row(f"growth of {each}", self.growth(each), "≤", MOST_GROWTH)
                for each in OURS
            ),
            _row(
                "wait of the last, of the queue's time",
                self.longest_ms / 1000 / least_s,
                "≤",
                LONGEST_WAIT,
            ),
            _row(
                "time to drain, of the least",
                self.drained_s / least_s,
                "≤",
                LONGEST_DRAIN,
            ),
            _row(
                "latency afterwards, of before",
                self.after_ms / self.before_ms,
                "≤",
                MOST_AFTERWARDS,
            ),
        ]

    @property
    def is_met(self) -> bool:
        """Whether every limit is kept."""
        return all(kept for *_, kept in self.rows())

    def to_dict(self) -> dict[str, Any]:
        """Gives all of it as JSON wants it."""
        limits = [
            {
                "what": what,
                "value": round(value, 3),
                "limit": f"{sign} {limit}",
                "kept": kept,
            }
            for what, value, sign, limit, kept in self.rows()
        ]
        return {**asdict(self), "limits": limits}


def _row(
    what: str, value: float, sign: str, limit: float
) -> tuple[str, float, str, float, bool]:
    return what, value, sign, limit, value >= limit if sign == "≥" else value <= limit
