"""What is done, to whom, and when: drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

CYCLE_S = 150
"""Seconds of load in which every fault happens as often as `CYCLE` says."""
FULL_S = 60
"""Seconds of load from which on there is a whole cycle."""
CALM_BEFORE, MOST_CALM_S = 0.12, 20
"""The part of the load before the first fault, for figures to compare with."""
CALM_AFTER = 0.1
"""The part of the load in which no fault begins."""
COORDINATOR, WORKER = "coordinator", "worker"
COMBINED = "combined"
"""A process that is both; what is done to a role may be done to it."""


class Kind(StrEnum):
    """What can be done."""

    KILL_COORDINATOR = "kill -9 a coordinator"
    KILL_WORKER = "kill -9 a worker"
    FREEZE_COORDINATOR = "freeze a coordinator for longer than its session"
    FREEZE_WORKER = "freeze a worker for longer than its session"
    ROLL = "restart all, one by one"
    STORM = "let others join and leave"
    FLOOD = "submit one plan 300 times at once"
    KILL_BROKER = "kill -9 the broker"
    FREEZE_BROKER = "freeze the broker"
    SLOW_BROKER = "slow the broker down"
    ORPHAN = "slow the broker down, and kill -9 all coordinators"
    """Their transactions are then half done, and must leave no trace."""
    ROLL_BROKERS = "restart all brokers, one by one"
    CLOCK_OF_COORDINATOR = "step the clock of a coordinator"
    CLOCK_OF_WORKER = "step the clock of a worker"
    DELAY_NETWORK = "delay the network of a coordinator and a worker"
    STALL_NETWORK = "stall the network of a coordinator and a worker"
    RESET_NETWORK = "reset the connections of a coordinator and a worker"
    DEAFEN_NETWORK = "lose all answers to a coordinator and a worker"
    STRAND_NETWORK = "leave a coordinator and a worker half-open connections"


SHORT = (
    Kind.KILL_COORDINATOR,
    Kind.KILL_WORKER,
    Kind.FREEZE_COORDINATOR,
    Kind.KILL_BROKER,
    Kind.ORPHAN,
)
NETWORK = (
    *(Kind.DELAY_NETWORK, Kind.STALL_NETWORK, Kind.RESET_NETWORK),
    *(Kind.DEAFEN_NETWORK, Kind.STRAND_NETWORK),
)
CLOCKS = (Kind.CLOCK_OF_COORDINATOR, Kind.CLOCK_OF_WORKER)
PROCESSES = (
    *(Kind.KILL_COORDINATOR, Kind.KILL_WORKER) * 5,
    *(Kind.FREEZE_COORDINATOR, Kind.FREEZE_WORKER),
    *(Kind.ROLL, Kind.STORM, Kind.FLOOD, *CLOCKS),
)
CYCLE = (
    *(*PROCESSES, *NETWORK),
    *(Kind.KILL_BROKER, Kind.FREEZE_BROKER, Kind.SLOW_BROKER, Kind.ORPHAN),
)
CYCLE_OF_THREE = (
    *(*PROCESSES, Kind.KILL_BROKER, Kind.KILL_BROKER),
    *(Kind.FREEZE_BROKER, Kind.ROLL_BROKERS, Kind.ORPHAN),
)
"""With three brokers, of which one at a time is harmed."""


@dataclass(frozen=True)
class Fault:
    """Something that is done at a moment.

    Attributes:
        at_s: Seconds after the load began.
        victim: Which of the processes of the role, modulo how many there are.
        lasts_s: How long a frozen process stays so, or a killed broker away.
    """

    at_s: float
    kind: Kind
    victim: int
    lasts_s: float

    def __str__(self) -> str:
        return f"{self.at_s:7.1f} s  {self.kind} (#{self.victim}, {self.lasts_s:.1f} s)"


def calm_s(seconds: float) -> float:
    """How long a load runs before the first fault."""
    return min(CALM_BEFORE * seconds, MOST_CALM_S)


def draw(
    dice: random.Random, seconds: float, session_s: float, brokers: int = 1
) -> list[Fault]:
    """The faults of a run; a long one has as many cycles as it has time for."""
    kinds = list(_cycles(dice, seconds, CYCLE if brokers == 1 else CYCLE_OF_THREE))
    # One in each slice, so that they are neither all at once nor ever regular.
    begin_s = calm_s(seconds)
    slice_s = (seconds - begin_s - CALM_AFTER * min(seconds, CYCLE_S)) / len(kinds)
    return [
        Fault(
            at_s=begin_s + (number + dice.random()) * slice_s,
            kind=kind,
            victim=dice.randrange(12),
            lasts_s=_duration(dice, kind, session_s),
        )
        for number, kind in enumerate(kinds)
    ]


def _cycles(
    dice: random.Random, seconds: float, full: Sequence[Kind]
) -> Iterator[Kind]:
    cycle = SHORT if seconds < FULL_S else full
    for _ in range(max(1, round(seconds / CYCLE_S))):
        yield from dice.sample(cycle, len(cycle))


def _duration(dice: random.Random, kind: Kind, session_s: float) -> float:
    if kind in {Kind.FREEZE_COORDINATOR, Kind.FREEZE_WORKER}:
        return session_s + dice.uniform(1, 5)
    if kind is Kind.STORM:
        return dice.uniform(20, 30)
    return dice.uniform(1, 5)
