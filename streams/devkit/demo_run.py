"""Submits the demo's plans, and follows them to their ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer

from schemas.codec import decode_fields
from streams.broker import connect
from streams.client import PlanClient
from streams.config import Settings
from streams.devkit.demo_home import Home
from streams.devkit.demo_plans import DemoPlan
from streams.devkit.demo_progress import FailedAttempt, Tracked
from streams.devkit.demo_screen import Screen
from streams.devkit.demo_system import Installation
from streams.results import (
    Received,
    ResultStream,
    assign,
    new_consumer,
    partitions_of,
)
from streams.topics import STEP_OUTCOMES, Topics

ENDED_WITHIN_S = 150.0
"""Later than the deadline of every plan: a result is missing then."""
TRIES = 2
"""Attempts that are to find the report locked."""


async def run_plans(
    system: Installation, home: Home, plans: Iterable[DemoPlan], screen: Screen
) -> list[Tracked]:
    """Submit the plans, and wait for their ends; some may have none in time.

    Raises:
        Died: A process has ended before the plans.
    """
    settings = system.settings
    client = PlanClient(settings, results=False)
    async with (
        client,
        client.results(rejected=True) as results,
        _outcomes(settings) as outcomes,
    ):
        tracked = [await _submit(client, home, plan) for plan in plans]
        screen.submitted(tracked)
        by_id = {each.submitted.plan_id: each for each in tracked}
        await _first_of(
            _read_results(results, by_id, screen),
            _read_outcomes(outcomes, by_id, home, screen),
            system.watch(),
        )
    return tracked


async def _submit(client: PlanClient, home: Home, plan: DemoPlan) -> Tracked:
    submitted = await client.submit(plan.plan, home.environment(plan.name))
    return Tracked(plan, submitted)


async def _first_of(*awaited: Coroutine[Any, Any, None]) -> None:
    """Wait for the end of one, or for the end of patience."""
    tasks = [asyncio.create_task(each) for each in awaited]
    try:
        done, _ = await asyncio.wait(
            tasks, timeout=ENDED_WITHIN_S, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read_results(
    results: ResultStream, plans: Mapping[str, Tracked], screen: Screen
) -> None:
    """Take results, and dead letters, until every plan has ended."""
    async for each in results:
        ended = each.result.plan_id if isinstance(each, Received) else each.plan_id
        plan = plans.get(ended)
        if plan is None:
            continue
        plan.end(each)
        screen.ended(plan)
        if all(plan.is_over for plan in plans.values()):
            return


async def _read_outcomes(
    consumer: AIOKafkaConsumer,
    plans: Mapping[str, Tracked],
    home: Home,
    screen: Screen,
) -> None:
    """Take what step workers say of steps, for as long as this is awaited."""
    async for record in consumer:
        model, fields = decode_fields(record.value, *STEP_OUTCOMES)
        plan = plans.get(fields["plan_id"])
        if plan is None:
            continue
        failed = plan.fold(model, fields)
        if failed is not None:
            _let_go(plan, failed, home)
            screen.failed(plan, failed)


def _let_go(plan: Tracked, failed: FailedAttempt, home: Home) -> None:
    """Let the report be written that has been found locked often enough."""
    if failed.step == plan.demo.expected.retried and failed.attempt >= TRIES:
        home.unlock()


@contextlib.asynccontextmanager
async def _outcomes(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    """Read what step workers say, from now on."""
    consumer = new_consumer(settings)
    await connect(consumer, settings)
    try:
        topic = Topics.of(settings).step_outcomes
        await assign(consumer, partitions_of([topic]), since=None)
        yield consumer
    finally:
        await consumer.stop()
