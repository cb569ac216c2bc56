"""What hundreds of thousands of open plans cost: memory, speed, and a restart.

Two systems run side by side, by turns: a machine's speed changes within minutes.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass

from benchmarks import backlog
from benchmarks.figures import Figures
from benchmarks.presenting import NothingMeasured, Say
from benchmarks.progress import Sayings
from benchmarks.report import verdict
from benchmarks.scenarios import Scenario
from benchmarks.shapes import chain
from benchmarks.suite.session import Scale, Session, session
from benchmarks.system import COMBINED, OURS, Installation
from benchmarks.waiting import wait_for

FAST = chain(3)
IN_FLIGHT = 1000
PAIRS = 4
IDLE_S = 5.0
REPLAYED_WITHIN_S = 120.0


@dataclass(frozen=True)
class Beside:
    """Two installations on one broker, the same but for their open plans."""

    few: Installation
    many: Installation


async def measure(
    beside: Beside, scale: Scale, say: Say
) -> tuple[dict[str, float], list[Figures]]:
    """Opens a few plans in one, many in the other; measures by turns, and restarts."""
    async with (
        session(beside.few, scale, say) as few,
        session(beside.many, scale, say) as many,
    ):
        memory = await _fill(few, many)
        pairs = [await _pair(few, many, number) for number in range(PAIRS)]
        for running in (few, many):
            await _finish(running)
    ratios = [of_many.plans_per_s / of_few.plans_per_s for of_few, of_many in pairs]
    say(f"  by turns: {', '.join(f'{each:.2f}' for each in ratios)}")
    found = memory | {"rate with many open": statistics.median(ratios)}
    found |= await _replay(beside.many, scale, say)
    say(f"  {found}")
    return found, [each for pair in pairs for each in pair]


async def _fill(few: Session, many: Session) -> dict[str, float]:
    """Opens plans in both, and says what they cost in the one with many."""
    scale = many.scale
    for running in (few, many):
        await backlog.open_plans(
            running.system.settings, running.client, scale.few_plans
        )
        await _settle(running)
    before = _memory_bytes(many)
    more = scale.open_plans - scale.few_plans
    seconds = await backlog.open_plans(
        many.system.settings, many.client, more, already=scale.few_plans
    )
    many.say(f"  opened {more:,} plans in {seconds:.0f} s")
    await _settle(many)
    after = _memory_bytes(many)
    return {
        "memory an open plan": (after - before) / 1024 / more,
        "plans opened/s": more / seconds,
        "cores while they wait": await _idle(many),
    }


async def _idle(running: Session) -> float:
    """Measures the CPU of planstream's processes while nothing happens."""
    before, began = running.system.usages(), time.perf_counter()
    await asyncio.sleep(IDLE_S)
    seconds, after = time.perf_counter() - began, running.system.usages()
    spent = [after[each].cpu_s - before[each].cpu_s for each in OURS if each in after]
    return sum(spent) / seconds


async def _settle(running: Session) -> None:
    """Works for a while: what is sent now ends after all plans have been admitted."""
    pace = running.scale.pace
    await running.load.settle(FAST, IN_FLIGHT, 2 * pace.warm_up_s)


async def _pair(few: Session, many: Session, number: int) -> tuple[Figures, Figures]:
    """Measures both, one after the other; every second time the other one first."""
    if number % 2 == 0:
        return await _speed(few), await _speed(many)
    of_many = await _speed(many)
    return await _speed(few), of_many


async def _speed(running: Session) -> Figures:
    return await running.load.measure(Scenario(FAST, IN_FLIGHT, running.scale.pace))


async def _finish(running: Session) -> None:
    await running.load.finish()
    if problems := running.load.tracker.problems:
        raise NothingMeasured(verdict(problems))


def _memory_bytes(running: Session) -> int:
    usages = running.system.usages()
    name = COMBINED if COMBINED in usages else "coordinator"
    return usages[name].rss_bytes


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
