"""What is done to the processes, and when: drawn from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

FULL_S = 60
"""Seconds of load from which on every fault happens as often as it should."""
CALM = 0.85
"""The part of the load in which faults begin."""


class Kind(StrEnum):
    """What can be done."""

    KILL_COORDINATOR = "kill -9 a coordinator"
    KILL_WORKER = "kill -9 a worker"
    FREEZE_COORDINATOR = "freeze a coordinator"
    FREEZE_WORKER = "freeze a worker"
    ROLL = "restart all, one by one"
    KILL_BROKER = "kill -9 the broker"
    FREEZE_BROKER = "freeze the broker"
    ORPHAN = "slow the broker down, and kill -9 all coordinators"
    """Their transactions are then half done, and must leave no trace."""

    @property
    def role(self) -> str:
        """Whom it is done to."""
        return self.value.rpartition(" ")[2]


SHORT = (
    Kind.KILL_COORDINATOR,
    Kind.KILL_WORKER,
    Kind.FREEZE_COORDINATOR,
    Kind.KILL_BROKER,
    Kind.ORPHAN,
)
FULL = (
    *(Kind.KILL_COORDINATOR, Kind.KILL_WORKER) * 3,
    *(Kind.FREEZE_COORDINATOR, Kind.FREEZE_WORKER) * 2,
    *(Kind.ROLL, Kind.KILL_BROKER, Kind.FREEZE_BROKER, Kind.ORPHAN, Kind.ORPHAN),
)


@dataclass(frozen=True)
class Fault:
    """Something that is done to a process at a moment.

    Attributes:
        at_s: Seconds after the load began.
        victim: Which of the processes of the role, modulo how many there are.
        lasts_s: How long a frozen process stays so, or a killed one away.
    """

    at_s: float
    kind: Kind
    victim: int
    lasts_s: float

    def __str__(self) -> str:
        return f"{self.at_s:6.1f} s  {self.kind} (#{self.victim}, {self.lasts_s:.1f} s)"


def draw(dice: random.Random, seconds: float, session_s: float) -> list[Fault]:
    """The faults of a run; longer runs have the full set once a `FULL_S` or two."""
    kinds = list(SHORT)
    if seconds >= FULL_S:
        kinds = list(FULL) * max(1, round(seconds / (2 * FULL_S)))
    dice.shuffle(kinds)
    # One in each slice, so that they are neither all at once nor ever regular.
    slice_s = CALM * seconds / len(kinds)
    return [
        Fault(
            at_s=(number + dice.random()) * slice_s + 1.0,
            kind=kind,
            victim=dice.randrange(2),
            lasts_s=_duration(dice, kind, session_s),
        )
        for number, kind in enumerate(kinds)
    ]


def _duration(dice: random.Random, kind: Kind, session_s: float) -> float:
    if kind in {Kind.FREEZE_COORDINATOR, Kind.FREEZE_WORKER}:
        return session_s + dice.uniform(1, 5)
    return dice.uniform(1, 5)
