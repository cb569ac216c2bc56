"""Layouts, one after the other, each on a system of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.client import Client
from benchmarks.load import Load, Stuck
from benchmarks.presenting import NothingMeasured, Say
from benchmarks.report import verdict
from benchmarks.run import SETTLE_IN_FLIGHT, SETTLE_SHAPE, reported
from benchmarks.scale.figures import Layout, Measured
from benchmarks.scenarios import Pace, Scenario
from benchmarks.shapes import chain
from benchmarks.system import Died, System, installed, serving

SHAPE = chain(3)
LAYOUTS = tuple(
    Layout(processes, partitions) for partitions in (8, 32) for processes in (1, 2, 4)
)
PACE = Pace(settle_s=8, warm_up_s=3, duration_s=10)
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Options:
    """What is run."""

    layouts: Sequence[Layout] = LAYOUTS
    in_flight: int = 1000
    pace: Pace = PACE
    broker: str | None = None
    logs: Path | None = None


@dataclass(frozen=True)
class Report:
    """A whole run."""

    options: Options
    machine: Mapping[str, Any]
    settings: Mapping[str, Any]
    measured: Sequence[Measured]


async def run(options: Options, say: Say) -> Report:
    """Measures every layout.

    Raises:
        NothingMeasured: A plan had another end than one success.
    """
    facts = machine.facts()
    found: list[Measured] = []
    settings: dict[str, Any] = {}
    for layout in options.layouts:
        async with (
            installed(
                options.broker,
                options.logs,
                partitions=layout.partitions,
            ) as installation,
            serving(
                installation, coordinators=layout.processes, workers=layout.processes
            ) as system,
            Client.connected(system.settings) as client,
        ):
            found.append(await _measure(system, client, layout, options))
            settings = reported(system.settings)
        say(f"{layout.name}: {found[-1].full.line()}, {found[-1].cores:.2f} cores")
    return Report(options, facts, settings, found)


async def _measure(
    system: System, client: Client, layout: Layout, options: Options
) -> Measured:
    pace, rejected = options.pace, client.topics.rejected.name
    load = Load(client, rejected, system.usages, system.check, PATIENCE_S)
    try:
        await load.settle(SETTLE_SHAPE, SETTLE_IN_FLIGHT, pace.settle_s)
        alone = await load.measure(Scenario(SHAPE, 1, pace))
        full = await load.measure(Scenario(SHAPE, options.in_flight, pace))
        await load.finish()
    except (Stuck, Died) as error:
        raise NothingMeasured(f"{layout.name}: {error}") from None
    if problems := load.tracker.problems:
        raise NothingMeasured(verdict(problems))
    return Measured(layout, full, alone)
