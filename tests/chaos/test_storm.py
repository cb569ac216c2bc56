"""A storm of rebalances: members join and leave faster than they settle."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.results import Status
from tests.conftest import Broker
from tests.integration.invariants import lag, results_of, rows_left
from tests.integration.plans import ENVIRONMENT, chain, plan
from tests.integration.system import Member, System, eventually

HANDLERS = "tests.integration.handlers"
OPTIONS = {"partitions": 16, "session_timeout_ms": 4000}
STORM_S = 20.0
RATE_S = 0.05
LATE_S = 60.0
"""How long the last killed members may hold up what they owned, on a busy machine."""


class Guests:
    """Members that come under new names, and go by SIGTERM or kill -9.

    Nobody restarts them: a name that was killed is missed until its session is over.
    """

    def __init__(self, make: Callable[[], Member], dice: random.Random) -> None:
        self.codes: list[int] = []
        self._make = make
        self._dice = dice
        self._count = 0

    async def come_and_go(self, until: float) -> None:
        """One after the other."""
        while time.monotonic() < until:
            member = self._make()
            name = f"guest-{member.log.stem}"
            member.environment = {**member.environment, "PLANSTREAM_NAME": name}
            await member.start()
            await asyncio.sleep(self._dice.uniform(1, 3))
            if self._dice.random() < 1 / 3:
                member.signal(signal.SIGKILL)
            else:
                self.codes.append(await member.stop())


async def submit(system: System, until: float) -> list[str]:
    """Submit plans all the time; their ids."""
    plans = []
    async with system.client(results=False) as client:
        while time.monotonic() < until:
            made = plan(*chain(3, "sleep", ms=50))
            plans.append(made["id"])
            await client.submit(made, ENVIRONMENT)
            await asyncio.sleep(RATE_S)
    return plans


async def storm(system: System, *guests: Guests) -> list[str]:
    until = time.monotonic() + STORM_S
    async with asyncio.TaskGroup() as group:
        submitting = group.create_task(submit(system, until))
        for each in guests:
            group.create_task(each.come_and_go(until))
    return submitting.result()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_storm_of_rebalances_loses_and_repeats_nothing(
    kafka: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    """Coordinators and workers come and go every few seconds, some killed."""

    async def scenario() -> None:
        system = System(kafka.bootstrap, topic_prefix, tmp_path, **OPTIONS)
        try:
            await system.start(HANDLERS)
            residents = list(system.members)
            dice = random.Random(4)
            coordinators = Guests(system.coordinator, dice)
            workers = Guests(lambda: system.worker(HANDLERS), dice)
            plans = await storm(system, coordinators, workers)
            assert len(plans) > 20
            seen = await eventually(
                lambda: results_of(system),
                lambda seen: seen.results.keys() >= set(plans),
                timeout=LATE_S,
            )
            assert seen.results.keys() == set(plans)
            assert {each.status for each in seen.results.values()} == {Status.SUCCESS}
            assert not seen.repeats
            await eventually(lambda: lag(system), lambda behind: not behind)
            await eventually(lambda: rows_left(system), lambda rows: not rows)
            assert not any(member.has_ended for member in residents)
            assert set(coordinators.codes + workers.codes) == {0}
        finally:
            await asyncio.gather(*[member.kill() for member in system.members])

    asyncio.run(scenario())
