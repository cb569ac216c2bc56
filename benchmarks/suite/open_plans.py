"""What hundreds of thousands of open plans cost: memory, speed, and a restart."""

from __future__ import annotations

from dataclasses import replace

from benchmarks import backlog
from benchmarks.figures import Figures
from benchmarks.presenting import NothingMeasured, Say
from benchmarks.progress import Sayings
from benchmarks.report import verdict
from benchmarks.scenarios import Scenario
from benchmarks.shapes import chain
from benchmarks.suite.session import Scale, Session, session
from benchmarks.system import Installation
from benchmarks.waiting import wait_for

FAST = chain(3)
IN_FLIGHT = 1000
REPLAYED_WITHIN_S = 120.0


async def measure(
    installation: Installation, scale: Scale, say: Say
) -> tuple[dict[str, float], list[Figures]]:
    """Opens a few plans, then many; measures at both points, and restarts all."""
    async with session(installation, scale, say) as running:
        found, figures = await _open(running)
    found |= await _replay(installation, scale, say)
    say(f"  {found}")
    return found, figures


async def _open(running: Session) -> tuple[dict[str, float], list[Figures]]:
    scale, settings = running.scale, running.system.settings
    await backlog.open_plans(settings, running.client, scale.few_plans)
    few = await _speed(running)
    before = _memory_bytes(running)
    more = scale.open_plans - scale.few_plans
    seconds = await backlog.open_plans(
        settings, running.client, more, already=scale.few_plans
    )
    running.say(f"  opened {more:,} plans in {seconds:.0f} s")
    # What is sent after them ends after all of them have been admitted.
    await running.load.settle(FAST, IN_FLIGHT, 1.0)
    after = _memory_bytes(running)
    many = await _speed(running)
    await running.load.finish()
    if problems := running.load.tracker.problems:
        raise NothingMeasured(verdict(problems))
    return {
        "memory an open plan": (after - before) / 1024 / more,
        "rate with many open": many.plans_per_s / few.plans_per_s,
        "plans opened/s": more / seconds,
    }, [few, many]


async def _speed(running: Session) -> Figures:
    """Measures for longer than usual: it is done twice only, just after a flood."""
    pace = running.scale.pace
    longer = replace(pace, warm_up_s=3 * pace.warm_up_s, duration_s=2 * pace.duration_s)
    return await running.load.measure(Scenario(FAST, IN_FLIGHT, longer))


def _memory_bytes(running: Session) -> int:
    return running.system.usages()["coordinator"].rss_bytes


async def _replay(
    installation: Installation, scale: Scale, say: Say
) -> dict[str, float]:
    """Starts everything anew; the coordinator itself says what it replayed."""
    sayings = Sayings()
    async with session(installation, scale, say, sayings.hear):
        said = lambda: bool(sayings.replays)  # noqa: E731 - said once
        await wait_for("the coordinator's replay", said, REPLAYED_WITHIN_S)
        replay = max(sayings.replays, key=lambda each: each.rows)
    return {
        "rows replayed": replay.rows,
        "replay of 1 M rows": replay.seconds * 1_000_000 / replay.rows,
    }
