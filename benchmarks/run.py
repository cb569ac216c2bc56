"""A run: the system is started, measured, and stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.client import Client
from benchmarks.figures import Figures
from benchmarks.load import Load, Stuck
from benchmarks.presenting import Say
from benchmarks.report import Report
from benchmarks.scenarios import Pace, Scenario
from benchmarks.shapes import chain
from benchmarks.system import Died, System, installed, serving
from streams.config import Settings

SETTLE_SHAPE = chain(3)
SETTLE_IN_FLIGHT = 100

REPORTED = (
    "partitions",
    "step_partitions",
    "format",
    "commit_interval_ms",
    "commit_rows",
    "window",
    "concurrency",
    "fetch_max_wait_ms",
    "max_plans_in_flight",
)
"""The settings that figures depend on."""


@dataclass(frozen=True)
class Options:
    """What is measured, and on what."""

    scenarios: Sequence[Scenario]
    pace: Pace
    partitions: int | None = None
    broker: str | None = None
    logs: Path | None = None
    patience_s: float = 60.0
    combined: bool = False


async def run(options: Options, say: Say) -> Report:
    """Measures all scenarios; what goes wrong is in the report, and ends the run."""
    facts = machine.facts()
    processes = "one process" if options.combined else "coordinator and worker"
    say(f"starting broker, {processes}")
    async with (
        installed(
            options.broker,
            options.logs,
            combined=options.combined,
            partitions=options.partitions,
        ) as installation,
        serving(installation) as system,
    ):
        figures, problems = await measure(system, options, say)
        if problems:
            say(system.last_words())
    settings = reported(system.settings)
    return Report(facts, settings, options.pace, figures, problems)


async def measure(
    system: System, options: Options, say: Say
) -> tuple[list[Figures], dict[str, int]]:
    """Measures the scenarios on a system that runs; what went wrong, and how often."""
    figures: list[Figures] = []
    async with Client.connected(system.settings) as client:
        load = load_on(system, client, options.patience_s)
        try:
            await load.settle(SETTLE_SHAPE, SETTLE_IN_FLIGHT, options.pace.settle_s)
            for scenario in options.scenarios:
                figures.append(await load.measure(scenario))
                say(figures[-1].line())
            await load.finish()
        except (Stuck, Died) as error:
            load.tracker.incorrect(str(error))
            load.tracker.unanswered()
    return figures, dict(load.tracker.problems)


def load_on(system: System, client: Client, patience_s: float) -> Load:
    """Makes a load generator for a system that runs.

    Args:
        system: Whose processes are measured.
        client: Its connection to Kafka.
        patience_s: How long nothing may come back while plans are in flight.
    """
    rejected = client.topics.rejected.name
    return Load(client, rejected, system.usages, system.check, patience_s)


def reported(settings: Settings) -> dict[str, Any]:
    """Gives the settings that figures depend on."""
    return {name: getattr(settings, name) for name in REPORTED}
