"""What a measurement found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.processes import Usage


def percentile(ordered: Sequence[float], share: float) -> float:
    """Finds the smallest value that `share` of the ordered values do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True)
class Latency:
    """From before the submission's send to the result's arrival, in ms."""

    p50: float
    p90: float
    p99: float
    max: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        """Summarises latencies, at least one."""
        ordered = sorted(seconds)
        shares = (0.5, 0.9, 0.99, 1.0)
        return cls(*(round(1000 * percentile(ordered, s), 2) for s in shares))


@dataclass(frozen=True)
class Cost:
    """What a process spent on a measurement."""

    cpu_ms_per_step: float
    cores: float
    """CPU seconds a second."""
    rss_mb: float
    """At the end."""
    written_kb_per_step: float | None = None
    """To disks, where the system tells."""

    @classmethod
    def of(cls, before: Usage, after: Usage, elapsed_s: float, steps: int) -> Cost:
        """Compares a process before and after."""
        cpu_s = after.cpu_s - before.cpu_s
        return cls(
            cpu_ms_per_step=round(1000 * cpu_s / steps, 4),
            cores=round(cpu_s / elapsed_s, 3),
            rss_mb=after.rss_mb,
            written_kb_per_step=_written_kb(before, after, steps),
        )


def _written_kb(before: Usage, after: Usage, steps: int) -> float | None:
    if before.written_bytes is None or after.written_bytes is None:
        return None
    return round((after.written_bytes - before.written_bytes) / 1024 / steps, 4)


@dataclass(frozen=True)
class Window:
    """The part of a scenario that counts."""

    began: float
    ended: float
    latencies: Sequence[float]
    """Of the plans that ended in it, in seconds."""
    before: Mapping[str, Usage]
    after: Mapping[str, Usage]


@dataclass(frozen=True)
class Figures:
    """The figures of one scenario."""

    shape: str
    in_flight: int
    plans: int
    seconds: float
    plans_per_s: float
    steps_per_s: float
    latency_ms: Latency
    processes: Mapping[str, Cost]

    @classmethod
    def of(cls, shape: str, in_flight: int, steps: int, window: Window) -> Figures:
        """Computes the figures of a window in which at least one plan ended."""
        plans, elapsed = len(window.latencies), window.ended - window.began
        return cls(
            shape=shape,
            in_flight=in_flight,
            plans=plans,
            seconds=round(elapsed, 3),
            plans_per_s=round(plans / elapsed, 1),
            steps_per_s=round(plans * steps / elapsed, 1),
            latency_ms=Latency.of(window.latencies),
            processes={
                name: Cost.of(window.before[name], after, elapsed, plans * steps)
                for name, after in window.after.items()
            },
        )

    @property
    def disk_kb_per_step(self) -> float | None:
        """KB a step that the broker wrote; None of one that somebody else runs."""
        broker = self.processes.get("broker")
        return broker.written_kb_per_step if broker else None

    def line(self) -> str:
        """Says the most important of them."""
        return (
            f"{self.shape} × {self.in_flight}: {self.plans_per_s:,.1f} plans/s, "
            f"p50 {self.latency_ms.p50:,.1f} ms, p99 {self.latency_ms.p99:,.1f} ms"
        )

    def to_dict(self) -> dict[str, Any]:
        """Gives the figures as JSON wants them."""
        return asdict(self)
