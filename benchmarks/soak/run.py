"""A long run under an open loop, looked at in intervals."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.client import Client
from benchmarks.figures import Latency
from benchmarks.presenting import Say
from benchmarks.run import reported
from benchmarks.soak.figures import Sample
from benchmarks.steady import Steady
from benchmarks.submissions import LIFETIME_MS, Terms
from benchmarks.system import System, installed, serving

DRAINED_WITHIN_S = 60.0
REMEMBERED_MS = 600_000
"""How long ids of ended plans are kept (R14), at most. With the default, a week, they
are what grows, 180 bytes each."""


@dataclass(frozen=True)
class Options:
    """What is run, and for how long."""

    seconds: float = 3600.0
    plans_per_s: float = 200.0
    interval_s: float = 10.0
    partitions: int | None = None
    """Of each topic; as the settings say when None."""
    broker: str | None = None
    logs: Path | None = None

    @property
    def remembered_ms(self) -> int:
        """How long ids are kept: less than the quarter that does not count."""
        return min(REMEMBERED_MS, int(1000 * self.seconds / 6))

    @property
    def terms(self) -> Terms:
        """Those of all plans, which are made of one template: it outlives the run."""
        return Terms(lifetime_ms=int(1000 * self.seconds) + LIFETIME_MS)


@dataclass(frozen=True)
class Report:
    """A whole run."""

    options: Options
    machine: Mapping[str, Any]
    settings: Mapping[str, Any]
    samples: list[Sample]
    problems: Mapping[str, int]


async def run(options: Options, say: Say) -> Report:
    """Runs one coordinator and one worker for as long as is wanted."""
    facts = machine.facts()
    async with (
        installed(
            options.broker,
            options.logs,
            partitions=options.partitions,
            registry_retention_ms=options.remembered_ms,
        ) as installation,
        serving(installation) as system,
        Client.connected(system.settings) as client,
    ):
        steady = Steady(client, options.plans_per_s, options.terms)
        loops = [
            asyncio.create_task(steady.send()),
            asyncio.create_task(steady.receive()),
        ]
        try:
            samples = await _watch(system, steady, options, say)
            loops[0].cancel()
            await steady.drain(DRAINED_WITHIN_S)
        finally:
            for loop in loops:
                loop.cancel()
    settings = reported(installation.settings)
    return Report(options, facts, settings, samples, dict(steady.tracker.problems))


async def _watch(
    system: System, steady: Steady, options: Options, say: Say
) -> list[Sample]:
    samples: list[Sample] = []
    began = time.perf_counter()
    ended = began
    while ended - began < options.seconds:
        await asyncio.sleep(options.interval_s)
        since, ended = ended, time.perf_counter()
        usages = system.usages()
        took = steady.take_ended()
        if not took:
            say(f"{ended - began:.0f} s: no plan has ended")
            continue
        sample = Sample(
            at_s=round(ended - began, 1),
            plans_per_s=round(len(took) / (ended - since), 1),
            latency_ms=Latency.of(took),
            rss_mb={name: each.rss_mb for name, each in usages.items()},
        )
        samples.append(sample)
        say(f"{sample.at_s:.0f} s: {sample.plans_per_s} plans/s, {sample.latency_ms}")
    return samples
