"""Faults of all kinds under load, drawn from a seed: every promise holds.

`make chaos SECONDS=120 SEED=7` runs longer, and repeats the schedule of a seed.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from streams import bootstrap
from streams.devkit.kafka import EmbeddedKafka
from tests.chaos.checks import broken
from tests.chaos.evidence import Evidence
from tests.chaos.faults import READY_S, Faults
from tests.chaos.load import Load
from tests.chaos.report import report
from tests.chaos.schedule import draw
from tests.integration.invariants import lag, results_of
from tests.integration.system import Keeper, System, eventually

SECONDS = float(os.environ.get("PLANSTREAM_CHAOS_SECONDS") or 20)
SEED = int(os.environ.get("PLANSTREAM_CHAOS_SEED") or 1)
RATE = 20.0
"""Plans a second."""
SESSION_MS = 6000
MANY_DELIVERIES = 100
"""So that no step is given up because of what we do to its workers (R29)."""
ENDED_S = 150.0
OVERHEAD_S = 400.0
HANDLERS = "tests.chaos.handlers"
MISFIT = 78


@asynccontextmanager
async def kept(system: System, dice: random.Random) -> AsyncIterator[list[Keeper]]:
    """Two coordinators and two workers, each started again whenever it ends."""

    def delay() -> float:
        return dice.uniform(1, 5)

    await bootstrap.create(system.settings)
    members = [system.coordinator() for _ in range(2)]
    members += [system.worker(HANDLERS) for _ in range(2)]
    keepers = [Keeper(member, delay) for member in members]
    try:
        for keeper in keepers:
            await keeper.ready(READY_S)
        yield keepers
    finally:
        for keeper in keepers:
            keeper.member.signal(signal.SIGCONT)
        stopping = [keeper.stop() for keeper in keepers]
        await asyncio.gather(*stopping, return_exceptions=True)


async def wait_for_the_end(system: System, load: Load) -> None:
    """Wait until each acknowledged plan has a result, and all inputs are folded."""
    plans = {plan_id for plan_id in load.acknowledged.values() if plan_id}
    try:
        await eventually(
            lambda: results_of(system),
            lambda seen: seen.results.keys() >= plans,
            timeout=ENDED_S,
        )
        await eventually(lambda: lag(system), lambda behind: not behind)
    except AssertionError:
        return  # the checks say what is missing


async def chaos(broker: EmbeddedKafka, prefix: str, directory: Path) -> None:
    """Load, faults, the end; then what is on the topics is checked."""
    dice = random.Random(SEED)
    schedule = draw(dice, SECONDS, SESSION_MS / 1000)
    print(f"\nseed {SEED}, {SECONDS:.0f} s of load, logs in {directory}")
    print(*schedule, sep="\n", flush=True)
    (marks := directory / "marks").mkdir()
    system = System(
        *(broker.bootstrap, prefix, directory),
        session_timeout_ms=SESSION_MS,
        max_deliveries=MANY_DELIVERIES,
    )
    load = Load(system, dice, marks)
    async with kept(system, random.Random(SEED)) as keepers:
        faults = Faults(broker, keepers[:2], keepers[2:])
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run(RATE, SECONDS))
            group.create_task(faults.run(schedule))
        for keeper in keepers:
            await keeper.ready(READY_S)
        await wait_for_the_end(system, load)
        # Workers first: what they still answer must be folded too.
        codes = await asyncio.gather(*[keeper.stop() for keeper in keepers[2:]])
        await wait_for_the_end(system, load)
        codes += await asyncio.gather(*[keeper.stop() for keeper in keepers[:2]])
    seen = await Evidence.gather(system)
    print(*report(load, faults.began, keepers, seen), sep="\n", flush=True)
    assert not broken(load, seen)
    assert codes == [0, 0, 0, 0]
    assert not any(MISFIT in keeper.exits for keeper in keepers)


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.timeout(SECONDS + OVERHEAD_S)
def test_every_plan_ends_once_and_rightly_under_faults(
    topic_prefix: str, tmp_path: Path
) -> None:
    """Kills, freezes and restarts of everything: nothing is lost, nothing repeated."""
    with EmbeddedKafka(data=tmp_path / "kafka") as broker:
        asyncio.run(chaos(broker, topic_prefix, tmp_path))
