"""Layouts, one after the other, each on a system of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks import run as closed_loop
from benchmarks.presenting import NothingMeasured, Say
from benchmarks.processes import family
from benchmarks.report import verdict
from benchmarks.scale.figures import Layout, Measured, role_of
from benchmarks.scenarios import Pace, Scenario
from benchmarks.shapes import chain
from benchmarks.system import System, installed, serving

SHAPE = chain(3)
LAYOUTS = tuple(
    Layout(processes, partitions, combined)
    for partitions in (8, 32)
    for combined in (False, True)
    for processes in (1, 2, 4)
)
PACE = Pace(settle_s=8, warm_up_s=3, duration_s=10)


@dataclass(frozen=True)
class Options:
    """What is run."""

    layouts: Sequence[Layout] = LAYOUTS
    in_flight: int = 1000
    pinned: bool = False
    """Whether coordinators have the last core, and all else the others."""
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
                combined=layout.combined,
                partitions=layout.partitions,
            ) as installation,
            serving(
                installation, coordinators=layout.processes, workers=layout.processes
            ) as system,
        ):
            say(layout.name)
            with pinned(system.pids()) if options.pinned else nullcontext():
                found.append(await _measure(system, layout, options, say))
            settings = closed_loop.reported(system.settings)
        say(f"{found[-1].cores:.2f} cores in use")
    return Report(options, facts, settings, found)


@contextmanager
def pinned(pids: Mapping[str, int]) -> Iterator[None]:
    """Gives coordinators the last core, and everything else the ones before it.

    This process has all of them again afterwards.

    Raises:
        NothingMeasured: There is one core only.
    """
    *others, last = sorted(os.sched_getaffinity(0))
    if not others:
        raise NothingMeasured("one core cannot be shared out")
    for name, pid in pids.items():
        _pin(pid, [last] if role_of(name) == "coordinator" else others)
    try:
        yield
    finally:
        _pin(os.getpid(), [*others, last])


def _pin(pid: int, cores: list[int]) -> None:
    """Binds all threads there are; those that come inherit it."""
    for process in family([pid]):
        for thread in process.threads():
            with suppress(ProcessLookupError):  # it has just ended
                os.sched_setaffinity(thread.id, cores)


async def _measure(
    system: System, layout: Layout, options: Options, say: Say
) -> Measured:
    in_flight, pace = (1, options.in_flight), options.pace
    scenarios = [Scenario(SHAPE, number, pace) for number in in_flight]
    figures, problems = await closed_loop.measure(
        system, closed_loop.Options(scenarios, pace), say
    )
    if problems:
        say(system.last_words())
        raise NothingMeasured(f"{layout.name}: {verdict(problems)}")
    alone, full = figures
    return Measured(layout, full, alone)
