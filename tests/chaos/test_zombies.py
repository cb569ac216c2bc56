"""Processes that were frozen while others took over leave no trace when they wake."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from schemas.results import Status
from streams.client import PlanClient
from streams.runtime.exits import EXIT_IN_DOUBT
from tests.chaos.zombies import freeze_in_transaction, shared, taken_over
from tests.conftest import Broker
from tests.integration.invariants import Seen, lag, results_of, rows_left
from tests.integration.plans import ENVIRONMENT, chain, plan
from tests.integration.system import Member, System, eventually

HANDLERS = "tests.integration.handlers"
OPTIONS = {"commit_interval_ms": 1, "session_timeout_ms": 4000}
RATE_S = 0.03
AWAKE_S = 3.0
"""How long a process that woke is given to do harm."""
Freeze = Callable[[System, Member], Awaitable[None]]


@asynccontextmanager
async def running(kafka: Broker, prefix: str, directory: Path) -> AsyncIterator[System]:
    """Two coordinators and two workers, of partitions that they share."""
    system = System(kafka.bootstrap, prefix, directory, **OPTIONS)
    try:
        await system.start(HANDLERS, coordinators=2, workers=2)
        for role in ("coordinator", "worker"):
            await shared(*system.of(role), among=system.settings.partitions)
        yield system
    finally:
        for member in system.members:
            member.signal(signal.SIGCONT)
        await asyncio.gather(*[member.kill() for member in system.members])


class Load:
    """Submits plans, until told to stop."""

    def __init__(self, client: PlanClient) -> None:
        self.plans: list[str] = []
        self._client = client
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Submit no more."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            made = plan(*chain(3, "sleep", ms=50))
            self.plans.append(made["id"])
            await self._client.submit(made, ENVIRONMENT)
            await asyncio.sleep(RATE_S)


async def plain(system: System, victim: Member) -> None:
    """Freeze, whatever it is doing."""
    victim.signal(signal.SIGSTOP)


async def haunt(system: System, role: str, freeze: Freeze) -> Seen:
    """Freeze one of two under load, let the other take over, wake it up again."""
    victim, heir = system.of(role)
    async with system.client(results=False) as client:
        load = Load(client)
        try:
            await asyncio.sleep(1)
            await freeze(system, victim)
            await taken_over(heir, among=system.settings.partitions)
            victim.signal(signal.SIGCONT)
            await asyncio.sleep(AWAKE_S)
        finally:
            await load.stop()
    # The last may have been cancelled on its way.
    plans = load.plans[:-1]
    seen = await eventually(
        lambda: results_of(system),
        lambda seen: seen.results.keys() >= set(plans),
        timeout=60,
    )
    assert {seen.results[each].status for each in plans} == {Status.SUCCESS}
    return seen


async def assert_no_trace(system: System, seen: Seen) -> None:
    """I1, I6, I7: one result each, all is folded, the tables are empty."""
    await eventually(lambda: lag(system), lambda behind: not behind)
    await eventually(lambda: rows_left(system), lambda rows: not rows)
    assert not seen.repeats
    assert not (await results_of(system)).repeats


@pytest.mark.slow
def test_a_coordinator_that_is_frozen_in_a_transaction_commits_it_never(
    kafka: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    """It is fenced, and exits with 70; readers of committed records see none of it."""

    async def scenario() -> None:
        async with running(kafka, topic_prefix, tmp_path) as system:
            seen = await haunt(system, "coordinator", freeze_in_transaction)
            await assert_no_trace(system, seen)
            victim = system.of("coordinator")[0]
            assert victim.has_ended
            assert_exit(victim)

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_worker_that_wakes_after_its_session_repeats_no_outcome(
    kafka: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    """What it answers late, others have answered: the first outcome stands."""

    async def scenario() -> None:
        async with running(kafka, topic_prefix, tmp_path) as system:
            seen = await haunt(system, "worker", plain)
            await assert_no_trace(system, seen)
            assert_exit(system.of("worker")[0])

    asyncio.run(scenario())


def assert_exit(victim: Member) -> None:
    code: Any = None if victim.process is None else victim.process.returncode
    assert code in {None, EXIT_IN_DOUBT}, victim.log.read_text()[-2000:]
