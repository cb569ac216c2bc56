"""One large plan at a time, case by case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.client import Client
from benchmarks.figures import Figures
from benchmarks.large.cases import MEGABYTE, Case, cases
from benchmarks.load import Load
from benchmarks.peers.metering import Peak
from benchmarks.presenting import NothingMeasured, Say
from benchmarks.report import verdict
from benchmarks.run import SETTLE_IN_FLIGHT, SETTLE_SHAPE, reported
from benchmarks.scenarios import Pace, Scenario
from benchmarks.system import System, installed, serving

PACE = Pace(settle_s=10, warm_up_s=2, duration_s=8)
LOOK_EVERY_S = 0.05
PATIENCE_S = 60.0
SUBMISSION_BYTES = 2 * MEGABYTE
"""By default 1 MiB at most, with the environment and all steps."""


@dataclass(frozen=True)
class Options:
    """What is run."""

    pace: Pace = PACE
    partitions: int | None = None
    """Of each topic; as the settings say when None."""
    broker: str | None = None
    logs: Path | None = None


@dataclass(frozen=True)
class Measured:
    """What a case took."""

    case: Case
    figures: Figures
    peak_mb: Mapping[str, float]
    """The most memory of each process, while the case was run."""

    def kb_per_plan(self) -> float:
        """KB that the broker writes to its disk for one plan."""
        broker = self.figures.processes.get("broker")
        written = broker.written_kb_per_step if broker else 0.0
        return written * self.case.shape.steps

    def to_dict(self) -> dict[str, Any]:
        """Gives it as JSON wants it."""
        peak_mb = {name: round(mb, 1) for name, mb in self.peak_mb.items()}
        return {
            "case": self.case.name,
            "peak_mb": peak_mb,
            **asdict(self.figures),
        }


@dataclass(frozen=True)
class Report:
    """A whole run."""

    options: Options
    machine: Mapping[str, Any]
    settings: Mapping[str, Any]
    measured: Sequence[Measured]


async def run(options: Options, say: Say) -> Report:
    """Runs the cases one after the other, on one system.

    Raises:
        NothingMeasured: A plan had another end than one success.
    """
    facts = machine.facts()
    async with (
        installed(
            options.broker,
            options.logs,
            partitions=options.partitions,
            max_submission_bytes=SUBMISSION_BYTES,
        ) as installation,
        serving(installation) as system,
        Client.connected(system.settings) as client,
    ):
        rejected = client.topics.rejected.name
        load = Load(client, rejected, system.usages, system.check, PATIENCE_S)
        await load.settle(SETTLE_SHAPE, SETTLE_IN_FLIGHT, options.pace.settle_s)
        measured = [await _measure(system, load, each, options) for each in cases()]
        for each in measured:
            say(f"{each.case.name}: {each.figures.line()}")
        await load.finish()
    if load.tracker.problems:
        raise NothingMeasured(verdict(load.tracker.problems))
    return Report(options, facts, reported(installation.settings), measured)


async def _measure(
    system: System, load: Load, case: Case, options: Options
) -> Measured:
    groups = {name: [pid] for name, pid in system.pids().items()}
    with Peak(groups, LOOK_EVERY_S) as peak:
        scenario = Scenario(case.shape, 1, options.pace)
        figures = await load.measure(scenario, case.terms)
    return Measured(case, figures, peak.mb)
