"""Plans that keep coming while something happens, and a look at what became of them."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from streams import bootstrap
from streams.client import PlanClient
from tests.integration.survival import ENVIRONMENT, HANDLERS, all_ended, check, mixed
from tests.integration.system import Keeper, Member, System

READY_S = 60.0
RESTARTED_AFTER_S = 1.0
PAUSE_S = 0.3
"""Between one plan and the next."""
ENDED_S = 90.0


@asynccontextmanager
async def kept(system: System) -> AsyncIterator[list[Keeper]]:
    """Two coordinators, two workers, each started again whenever it ends.

    Whoever is stopped at the end by SIGTERM must say that all went well.
    """
    members = [system.coordinator(), system.coordinator()]
    members += [system.worker(HANDLERS), system.worker(HANDLERS)]
    async with keep(system, members) as keepers:
        yield keepers


@asynccontextmanager
async def keep(
    system: System, members: Sequence[Member]
) -> AsyncIterator[list[Keeper]]:
    """Keep these members, which have not been started."""
    await bootstrap.create(system.settings)
    keepers = [Keeper(member, lambda: RESTARTED_AFTER_S) for member in members]
    codes: Sequence[int | None] = ()
    try:
        for keeper in keepers:
            await keeper.ready(READY_S)
        yield keepers
        for keeper in keepers:
            await keeper.ready(READY_S)
    finally:
        for keeper in keepers:
            keeper.member.signal(signal.SIGCONT)
        codes = await asyncio.gather(*[keeper.stop() for keeper in keepers])
    assert not any(codes), codes


async def survives(system: System, fault: Awaitable[None]) -> None:
    """Submit as long as the fault lasts; then each plan must end once, and rightly."""
    submitted = await _submit_during(system, fault)
    assert submitted
    await all_ended(system, submitted.keys(), ENDED_S)
    await check(system, submitted)


async def _submit_during(
    system: System, fault: Awaitable[None]
) -> dict[str, dict[str, Any]]:
    submitted: dict[str, dict[str, Any]] = {}

    async def submit(client: PlanClient, plan: dict[str, Any]) -> None:
        done = await client.submit(plan, ENVIRONMENT)
        submitted[done.plan_id] = plan

    client, plans = system.client(results=False), itertools.cycle(range(4))
    async with client, asyncio.TaskGroup() as group:
        happening = asyncio.ensure_future(fault)
        while not happening.done():
            # Not one after the other: one that hangs must not hold the others up.
            group.create_task(submit(client, mixed(4)[next(plans)]))
            await asyncio.sleep(PAUSE_S)
        happening.result()
    return submitted
