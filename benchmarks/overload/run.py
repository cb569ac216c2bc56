"""Overloads: measured before, meanwhile and after."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.client import Client
from benchmarks.figures import Latency
from benchmarks.overload.figures import Overload, Sample
from benchmarks.presenting import NothingMeasured, Say
from benchmarks.report import verdict
from benchmarks.run import load_on, reported
from benchmarks.scenarios import Pace, Scenario
from benchmarks.shapes import chain
from benchmarks.steady import Steady
from benchmarks.submissions import Terms
from benchmarks.system import System, installed, serving
from benchmarks.waiting import wait_for

SHAPE = chain(3)
SETTLE_IN_FLIGHT = 100
PACE = Pace(settle_s=5, warm_up_s=2, duration_s=8)
INTERVALS = 30
LONGEST_DRAIN_S = 1800.0
REMEMBERED_MS = 60_000
"""So that ids of ended plans, which are remembered for a week, do not hide the rest."""


@dataclass(frozen=True)
class Kind:
    """What is overloaded."""

    name: str
    in_flight: int
    """Of the closed loop that finds the capacity."""
    terms: Terms = field(default_factory=Terms)
    settings: Mapping[str, Any] = field(default_factory=dict)


KINDS: Mapping[str, Kind] = {
    "coordinator": Kind("coordinator", in_flight=1000),
    # Eight steps at a time, 10 ms each: the coordinator has time for more.
    "workers": Kind(
        "workers",
        in_flight=100,
        terms=Terms(action="doze", payload='{"seconds": 0.01}'),
        # What is admitted waits in the coordinator: it is full long before the end.
        settings={"concurrency": 8, "max_plans_in_flight": 1000},
    ),
}


@dataclass(frozen=True)
class Options:
    """What is run, and for how long."""

    kinds: Sequence[str]
    seconds: float = 300.0
    factor: float = 2.0
    pace: Pace = PACE
    partitions: int | None = None
    """Of each topic; as the settings say when None."""
    broker: str | None = None
    logs: Path | None = None


@dataclass(frozen=True)
class Report:
    """A whole run."""

    options: Options
    machine: Mapping[str, Any]
    settings: Mapping[str, Mapping[str, Any]]
    """Of each kind's system."""
    overloads: list[Overload]


async def run(options: Options, say: Say) -> Report:
    """Overloads one kind after the other, each on a system of its own.

    Raises:
        NothingMeasured: A plan had another end than one success.
    """
    facts = machine.facts()
    overloads: list[Overload] = []
    settings: dict[str, Mapping[str, Any]] = {}
    for name in options.kinds:
        kind = KINDS[name]
        async with (
            installed(
                options.broker,
                options.logs,
                partitions=options.partitions,
                registry_retention_ms=REMEMBERED_MS,
                **kind.settings,
            ) as installation,
            serving(installation) as system,
            Client.connected(system.settings) as client,
        ):
            overloads.append(await _overload(system, client, kind, options, say))
            settings[name] = reported(system.settings)
    return Report(options, facts, settings, overloads)


async def _overload(
    system: System, client: Client, kind: Kind, options: Options, say: Say
) -> Overload:
    pace = options.pace
    load = load_on(system, client, LONGEST_DRAIN_S)
    await load.settle(SHAPE, SETTLE_IN_FLIGHT, pace.settle_s)
    alone = Scenario(SHAPE, 1, pace)
    before = await load.measure(alone, kind.terms)
    full = await load.measure(Scenario(SHAPE, kind.in_flight, pace), kind.terms)
    offered = options.factor * full.plans_per_s
    say(f"{kind.name}: {full.plans_per_s:,.0f} plans/s can be run, {offered:,.0f} come")
    steady = Steady(client, offered, kind.terms)
    sending = asyncio.create_task(steady.send())
    receiving = asyncio.create_task(steady.receive())
    try:
        samples = await _watch(system, steady, options.seconds, say)
        sending.cancel()
        ended = time.perf_counter()
        await wait_for(
            "the end of what waited",
            lambda: not steady.tracker.waiting,
            LONGEST_DRAIN_S,
        )
        drained_s = time.perf_counter() - ended
    finally:
        sending.cancel()
        receiving.cancel()
    say(f"{kind.name}: {samples[-1].waiting:,} waited, for {drained_s:.1f} s")
    after = await load.measure(alone, kind.terms)
    await load.finish()
    if problems := steady.tracker.problems + load.tracker.problems:
        raise NothingMeasured(verdict(Counter(problems)))
    return Overload(
        name=kind.name,
        capacity=full.plans_per_s,
        offered=round(offered, 1),
        samples=samples,
        drained_s=round(drained_s, 2),
        before_ms=before.latency_ms.p50,
        after_ms=after.latency_ms.p50,
    )


async def _watch(
    system: System, steady: Steady, seconds: float, say: Say
) -> list[Sample]:
    samples: list[Sample] = []
    began = ended = time.perf_counter()
    for _ in range(INTERVALS):
        await asyncio.sleep(seconds / INTERVALS)
        since, ended = ended, time.perf_counter()
        took = steady.take_ended()
        sample = Sample(
            at_s=round(ended - began, 1),
            plans_per_s=round(len(took) / (ended - since), 1),
            waiting=len(steady.tracker.waiting),
            latency_ms=Latency.of(took) if took else None,
            rss_mb={name: each.rss_mb for name, each in system.usages().items()},
        )
        samples.append(sample)
        say(
            f"  {sample.at_s:.0f} s: {sample.plans_per_s:,.0f} plans/s, {sample.rss_mb}"
        )
    return samples
