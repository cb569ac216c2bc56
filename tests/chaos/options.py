"""How long a run is, and all else that it follows from: read from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

SECONDS = 165.0
"""The load of a run that nobody asked more of: four minutes, with start and checks."""
RATE = 30.0
"""Plans a second that two cores sustain, with a broker, all processes and faults."""
BROKERS = 1
PARTITIONS = 8
"""Two for each coordinator."""


@dataclass(frozen=True)
class Options:
    """What `make chaos` was told.

    Attributes:
        seconds: How long the load lasts; its end and the checks come on top.
        seed: Draws the schedule of faults and the kinds of plans.
        rate: Plans a second.
        brokers: One, or a cluster of three.
        partitions: Of each topic.
        report: The file for the report, None for none.
    """

    seconds: float
    seed: int
    rate: float
    brokers: int
    partitions: int
    report: Path | None

    @classmethod
    def read(cls) -> Self:
        """Read the variables that the Makefile sets; an empty one counts as not set."""
        report = _given("REPORT", "")
        return cls(
            seconds=float(_given("SECONDS", SECONDS)),
            seed=int(_given("SEED", _seed_of_the_day())),
            rate=float(_given("RATE", RATE)),
            brokers=int(_given("BROKERS", BROKERS)),
            partitions=int(_given("PARTITIONS", PARTITIONS)),
            report=Path(report) if report else None,
        )

    @property
    def command(self) -> str:
        """What repeats this run: its schedule and its plans, not its every moment."""
        told = [f"make chaos SECONDS={self.seconds:g} SEED={self.seed}"]
        for name, value, usual in (
            ("RATE", self.rate, RATE),
            ("BROKERS", self.brokers, BROKERS),
            ("PARTITIONS", self.partitions, PARTITIONS),
        ):
            if value != usual:
                told.append(f"{name}={value:g}")
        return " ".join(told)


def _given(name: str, default: object) -> str:
    return os.environ.get(f"PLANSTREAM_CHAOS_{name}") or str(default)


def _seed_of_the_day() -> str:
    return datetime.now(UTC).strftime("%Y%m%d")
