"""What is measured of an engine, and how: the same for all."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.figures import Latency
from benchmarks.peers.engine import Running
from benchmarks.peers.metering import OTHERS, Peak, cpu_s
from benchmarks.peers.plans import check, steps

CLIENT = "client"


@dataclass(frozen=True)
class Amount:
    """How much is measured."""

    loads: Mapping[str, Sequence[int]]
    """Shapes, each with the plans in flight of its throughput runs, if it has any."""
    latency_s: float = 4.0
    """Plans are run one at a time for so long, and at least three."""
    throughput_s: float = 8.0
    warm_up_s: float = 2.0
    settle_s: float = 25.0
    """Load before anything is measured: engines have compilers and caches."""


LEAST_PLANS = 3
RAMP = 0.2
"""Part of a throughput run in which the number of plans in flight only begins."""

TURNS = 3
"""Plans that end in each place, if that does not take too long."""
LONGEST = 3
"""Times as long as was asked for, at most."""


@dataclass
class Many:
    """Plans side by side. All that was begun counts for latencies and CPU."""

    in_flight: int
    full_s: float
    """For so long others took the place of those that ended."""
    took: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    """When each did, in seconds from the beginning."""
    seconds: float = 0.0
    """Until the last one had ended."""

    @property
    def is_full(self) -> bool:
        """Whether so many plans took another's place that there is a rate of those."""
        return self._while_full() >= (TURNS - 1) * self.in_flight

    @property
    def plans_per_s(self) -> float:
        """The rate while all are in flight: without the ramp, and the last plans.

        Where few plans took another's place, that of the whole run.
        """
        if not self.is_full:
            return len(self.ended) / self.seconds
        return self._while_full() / (self.full_s * (1 - RAMP))

    def _while_full(self) -> int:
        return sum(RAMP * self.full_s <= at < self.full_s for at in self.ended)


async def measure(running: Running, amount: Amount) -> dict[str, Any]:
    """Measures one start of an engine: throughput, latencies, CPU, memory."""
    groups = {**running.groups, CLIENT: [os.getpid()]}
    found: dict[str, Any] = {}
    with Peak(groups) as peak:
        shape, (first, *_) = next(iter(amount.loads.items()))
        await _many(running, shape, first, amount.settle_s)
        rates = {
            shape: [
                await _throughput(running, shape, in_flight, amount, groups)
                for in_flight in numbers
            ]
            for shape, numbers in amount.loads.items()
        }
        for shape in amount.loads:
            await _one_at_a_time(running, shape, amount.warm_up_s, 1)
            took = await _one_at_a_time(running, shape, amount.latency_s, LEAST_PLANS)
            found[shape] = {
                "plans": len(took),
                "latency_ms": asdict(Latency.of(took)),
                "throughput": rates[shape],
            }
    return {
        "shapes": found,
        "peak_mb": {name: round(mb, 1) for name, mb in peak.mb.items()},
    }


async def _throughput(
    running: Running,
    shape: str,
    in_flight: int,
    amount: Amount,
    groups: Mapping[str, Sequence[int]],
) -> dict[str, Any]:
    await _many(running, shape, in_flight, amount.warm_up_s)
    before = cpu_s(groups)
    many = await _many(running, shape, in_flight, amount.throughput_s)
    spent = {name: s - before[name] for name, s in cpu_s(groups).items()}
    return throughput(shape, in_flight, many, spent)


def throughput(
    shape: str,
    in_flight: int,
    many: Many,
    spent: Mapping[str, float],
) -> dict[str, Any]:
    """Sums up a throughput run: rates, latencies, CPU by the step."""
    plans, all_steps = len(many.took), len(many.took) * steps(shape)
    rate = many.plans_per_s
    cores = os.cpu_count() or 1
    return {
        "in_flight": in_flight,
        "plans": plans,
        "full_loop": many.is_full,
        "plans_per_s": round(rate, 2),
        "steps_per_s": round(rate * steps(shape), 1),
        "latency_ms": asdict(Latency.of(many.took)),
        "cpu_ms_per_step": {
            name: round(1000 * cpu / all_steps, 4)
            for name, cpu in spent.items()
            if name != OTHERS
        },
        "others_share": round(spent[OTHERS] / (many.seconds * cores), 3),
    }


async def _one(running: Running, shape: str) -> float:
    began = time.perf_counter()
    found = await running.execute(shape)
    took = time.perf_counter() - began
    check(shape, found)
    return took


async def _one_at_a_time(
    running: Running, shape: str, seconds: float, at_least: int
) -> list[float]:
    until = time.perf_counter() + seconds
    took: list[float] = []
    while len(took) < at_least or time.perf_counter() < until:
        took.append(await _one(running, shape))
    return took


async def _many(running: Running, shape: str, in_flight: int, seconds: float) -> Many:
    """Keeps so many plans in flight for so long, and waits for the last of them.

    It takes longer where each place has not had its turns by then.
    """
    began = time.perf_counter()
    many = Many(in_flight, math.inf)

    async def lane() -> None:
        while many.full_s == math.inf:
            many.took.append(await _one(running, shape))
            now = time.perf_counter() - began
            many.ended.append(now)
            had_turns = len(many.ended) >= TURNS * in_flight
            if now >= (seconds if had_turns else LONGEST * seconds):
                many.full_s = min(many.full_s, now)

    async with asyncio.TaskGroup() as lanes:
        for _ in range(in_flight):
            lanes.create_task(lane())
    many.seconds = time.perf_counter() - began
    return many
