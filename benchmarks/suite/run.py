"""A run of the suite: so many rounds, each with a system of its own."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import backlog, machine
from benchmarks.figures import Figures
from benchmarks.peers.baseline import Baseline
from benchmarks.presenting import NothingMeasured, Say
from benchmarks.run import reported
from benchmarks.suite import deadlines, open_plans, recorded, sleeper, speed
from benchmarks.suite.session import Scale, Session, session
from benchmarks.system import installed
from streams.devkit.supervisor import NotReady

PARTS = ("speed", "restate", "deadlines", "recorded", "sleeper", "open")
ONCE = ("sleeper", "open")
"""These take minutes, and are measured in one round only."""
ROUTES = f"{backlog.ACTION}={backlog.QUEUE}"


@dataclass(frozen=True)
class Options:
    """What is measured, and on what."""

    command: str
    scale: Scale
    parts: Collection[str] = PARTS
    baseline: Baseline | None = None
    """Restate, if it is to be measured beside planstream."""
    partitions: int | None = None
    """Of each topic; as the settings say when None."""
    combined: bool = False
    """Whether coordinator and worker are one process."""
    broker: str | None = None
    logs: Path | None = None


@dataclass
class Found:
    """What has been measured so far."""

    round: int = 1
    """The one that is under way."""
    measures: defaultdict[str, dict[int, float]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    """By name, and by round."""
    figures: list[tuple[str, Figures]] = field(default_factory=list)
    """The closed loops, each with the part that it belongs to."""
    problems: Counter[str] = field(default_factory=Counter)
    settings: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Of the systems that were measured; one has many plans in flight."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """What Restate was made of."""

    def add(self, measures: Mapping[str, float]) -> None:
        """Takes measures of the round."""
        for name, value in measures.items():
            self.measures[name][self.round] = value

    def add_figures(self, part: str, figures: Sequence[Figures]) -> None:
        """Takes the closed loops of a part."""
        self.figures += [(part, each) for each in figures]


async def run(options: Options, say: Say) -> tuple[Mapping[str, Any], Found]:
    """Measures all parts; gives the machine's facts, too.

    What goes wrong in a part is a problem in the report, and the others go on.
    """
    facts, found = machine.facts(), Found()
    for number in range(options.scale.rounds):
        found.round = number + 1
        say(f"round {found.round} of {options.scale.rounds}")
        if options.baseline is not None and "restate" in options.parts:
            measuring = _baseline(options.baseline, found, say)
            await _guarded("restate", measuring, found, say)
        parts = [each for each in options.parts if number == 0 or each not in ONCE]
        await _round(options, parts, found, say)
    return facts, found


async def _round(
    options: Options, parts: Collection[str], found: Found, say: Say
) -> None:
    broker, logs, scale = options.broker, options.logs, options.scale
    usual: dict[str, Any] = {
        "combined": options.combined,
        "routes": ROUTES,
        "partitions": options.partitions,
    }
    short = [part for part in parts if part not in ("open", "restate")]
    if short:
        async with installed(broker, logs, **usual) as installation:
            found.settings["usual"] = reported(installation.settings)
            async with session(installation, scale, say) as running:
                for part in short:
                    await _guarded(part, _measure(running, part, found), found, say)
                await running.load.finish()
                found.problems += running.load.tracker.problems
    if "open" in parts:
        limit = 2 * scale.open_plans
        usual["max_plans_in_flight"] = limit
        async with AsyncExitStack() as both:
            there = installed(broker, logs and logs / "many", **usual)
            many = await both.enter_async_context(there)
            beside = installed(many.settings.broker, logs and logs / "few", **usual)
            few = replace(await both.enter_async_context(beside), broker=many.broker)
            found.settings["open"] = reported(many.settings)
            measuring = _open(open_plans.Beside(few, many), scale, found, say)
            await _guarded("open", measuring, found, say)


async def _guarded(part: str, measuring: Any, found: Found, say: Say) -> None:
    say(f" {part}")
    try:
        await measuring
    except (NotReady, NothingMeasured, TimeoutError) as error:
        found.problems[f"{part}: {error}"] += 1
        say(f"  {error}")


async def _measure(running: Session, part: str, found: Found) -> None:
    if part == "speed":
        figures = await speed.measure(running)
        found.add_figures(part, figures)
        found.add(speed.measures(figures))
    elif part == "sleeper":
        measures, figures = await sleeper.measure(running)
        found.add(measures)
        found.add_figures(part, figures)
    else:
        module = {"deadlines": deadlines, "recorded": recorded}[part]
        found.add(await module.measure(running))


async def _baseline(baseline: Baseline, found: Found, say: Say) -> None:
    measures, found.versions = await baseline.measure(say)
    found.add(measures)


async def _open(
    beside: open_plans.Beside, scale: Scale, found: Found, say: Say
) -> None:
    measures, figures = await open_plans.measure(beside, scale, say)
    found.add(measures)
    found.add_figures("open", figures)
