"""What kills and restarts did to partitions and plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.figures import percentile
from benchmarks.progress import Replay

GRACE_S = 2.0
"""A take-over may last so much longer than a session."""
EXTRA_S = 5.0
"""A plan may wait so much longer because of a rolling restart."""


@dataclass(frozen=True)
class Spans:
    """How long something took, in seconds."""

    p50: float
    p99: float
    max: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spans:
        """Summarises spans; at least one."""
        ordered = sorted(seconds)
        shares = (0.5, 0.99, 1.0)
        return cls(*(round(percentile(ordered, share), 3) for share in shares))


@dataclass(frozen=True)
class Kills:
    """Coordinators that were killed -9, one after the other."""

    mode: str
    session_s: float
    kills: int
    partitions: int
    """How many partitions lost their owner, all kills together."""
    takeover_s: Spans
    """From a kill to the first row that a successor committed, by partition."""
    replayed_rows: int
    """The most that one take-over had to read."""
    fence_and_replay_s: Spans
    """Of that: from the assignment until plans can be folded."""
    undisturbed_s: Spans
    """How long ordinary plans took before."""
    plans_s: Spans
    """How long they took meanwhile."""

    @classmethod
    def of(
        cls,
        mode: str,
        session_s: float,
        takeovers: Sequence[Mapping[int, float]],
        replays: Sequence[Replay],
        plans: tuple[Sequence[float], Sequence[float]],
    ) -> Kills:
        """Computes the figures.

        Args:
            mode: What reports call it.
            session_s: The session timeout.
            takeovers: For each kill, the seconds of each partition.
            replays: What the successors said.
            plans: Latencies of ordinary plans, before and meanwhile.
        """
        seconds = [each for takeover in takeovers for each in takeover.values()]
        return cls(
            mode=mode,
            session_s=session_s,
            kills=len(takeovers),
            partitions=len(seconds),
            takeover_s=Spans.of(seconds),
            replayed_rows=max(replay.rows for replay in replays),
            fence_and_replay_s=Spans.of([replay.seconds for replay in replays]),
            undisturbed_s=Spans.of(plans[0]),
            plans_s=Spans.of(plans[1]),
        )

    @property
    def is_met(self) -> bool:
        """Whether partitions got on within a session and the grace, at p99."""
        return self.takeover_s.p99 <= self.session_s + GRACE_S


@dataclass(frozen=True)
class Rolling:
    """Each process was stopped by SIGTERM and started again, one after the other."""

    mode: str
    restarts: int
    seconds: float
    undisturbed_s: Spans
    plans_s: Spans
    """How long plans took that were submitted meanwhile."""

    @property
    def extra_s(self) -> float:
        """How much longer the slowest plan took than the slowest undisturbed one."""
        return round(self.plans_s.max - self.undisturbed_s.max, 3)

    @property
    def is_met(self) -> bool:
        """Whether no plan waited too much longer."""
        return self.extra_s <= EXTRA_S


@dataclass(frozen=True)
class Report:
    """A whole run."""

    command: str
    machine: Mapping[str, Any]
    settings: Mapping[str, Any]
    open_plans: int
    """Of all partitions together."""
    opened_in_s: float
    kills: Sequence[Kills]
    rolling: Sequence[Rolling]
    problems: Mapping[str, int]
    """What went wrong with plans; empty when each had its one success."""

    @property
    def is_met(self) -> bool:
        """Whether all limits were kept, and every plan had its one success."""
        kept = [each.is_met for each in self.kills]
        kept += [each.is_met for each in self.rolling]
        return not self.problems and all(kept)

    def to_dict(self) -> dict[str, Any]:
        """Gives the report as JSON wants it."""
        rolling = [
            {**asdict(each), "extra_s": each.extra_s, "met": each.is_met}
            for each in self.rolling
        ]
        kills = [{**asdict(each), "met": each.is_met} for each in self.kills]
        return {
            **asdict(self),
            "kills": kills,
            "rolling": rolling,
            "met": self.is_met,
        }
