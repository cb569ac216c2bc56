"""One large plan at a time, case by case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.client import Client
from benchmarks.figures import Figures
from benchmarks.large.cases import MEBIBYTE, Case, cases
from benchmarks.load import Load, Stuck
from benchmarks.presenting import NothingMeasured, Say
from benchmarks.processes import Peaks
from benchmarks.report import verdict
from benchmarks.run import SETTLE_IN_FLIGHT, SETTLE_SHAPE, load_on, reported
from benchmarks.system import Died, System, installed, serving

SETTLE_S = 25.0
SECONDS = 8.0
LEAST_PLANS = 3
PATIENCE_S = 60.0
SUBMISSION_BYTES = 2 * MEBIBYTE
"""Room for a plan and an environment of 1 MiB; by default that is all there is."""


@dataclass(frozen=True)
class Options:
    """What is run."""

    seconds: float = SECONDS
    """For so long, and for three plans at least, each case is repeated."""
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

    @property
    def disk_kb_per_plan(self) -> float | None:
        """KB that the broker wrote for one plan; None of somebody else's."""
        per_step = self.figures.disk_kb_per_step
        return None if per_step is None else per_step * self.case.shape.steps

    def to_dict(self) -> dict[str, Any]:
        """Gives it as JSON wants it."""
        return {
            "case": self.case.name,
            "peak_mb": dict(self.peak_mb),
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
        NothingMeasured: A plan had another end than one success, or none.
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
        load = load_on(system, client, PATIENCE_S)
        try:
            measured = await _measure(system, load, options, say)
        except (Stuck, Died):
            say(system.last_words())
            raise
    if load.tracker.problems:
        raise NothingMeasured(verdict(load.tracker.problems))
    return Report(options, facts, reported(installation.settings), measured)


async def _measure(
    system: System, load: Load, options: Options, say: Say
) -> list[Measured]:
    await load.settle(SETTLE_SHAPE, SETTLE_IN_FLIGHT, SETTLE_S)
    measured = []
    for case in cases():
        peaks = Peaks(system.pids())
        figures = await load.one_by_one(
            case.shape, case.terms, options.seconds, LEAST_PLANS
        )
        measured.append(Measured(case, figures, peaks.mb()))
        say(f"{case.name}: {figures.line()}")
    await load.finish()
    return measured
