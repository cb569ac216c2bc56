"""Thousands of records under one plan id: one result, and the others get theirs."""

from __future__ import annotations

import asyncio
import json
import resource
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.partitioner import partition_of
from schemas.codec import encode_fields
from schemas.results import Status
from schemas.steps import StepStarted, StepSucceeded
from streams.topics import Topic
from tests.conftest import Broker
from tests.integration.invariants import lag, rows_left
from tests.integration.live import Live, live
from tests.integration.plans import now_ms, step, submission
from tests.integration.system import eventually

FLOOD = 4000
GROWTH_BYTES = 100 << 20
"""More memory than a flood may cost a coordinator that holds none of it."""


@pytest.fixture(scope="module")
def system(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(kafka, tmp_path_factory.mktemp("floods")) as system:
        yield system


def memory_of_coordinator(system: Live) -> int:
    (coordinator,) = system.system.of("coordinator")
    assert coordinator.process is not None
    fields = Path(f"/proc/{coordinator.process.pid}/statm").read_text().split()
    return int(fields[1]) * resource.getpagesize()


async def pour(system: Live, topic: Topic, key: str, values: list[bytes]) -> None:
    """Send values to the partition of a plan as fast as they are taken."""
    number = partition_of(key.encode(), topic.partitions)
    sent = [
        await system.producer.send(
            topic.name, value, key=key.encode(), partition=number
        )
        for value in values
    ]
    await asyncio.gather(*sent)


def test_a_flood_of_one_plan_ends_in_one_result(system: Live) -> None:
    """R14: all but the first are dead letters, while it runs and after it ended."""
    made = submission(step("sleep", {"ms": 1500}))
    plan_id, value = made["plan"]["id"], json.dumps(made).encode()
    other = submission(step())
    other["plan"]["id"] = neighbour(system, plan_id)
    before = memory_of_coordinator(system)

    async def scenario() -> None:
        await system.submit(made)
        await pour(system, system.system.topics.plans, plan_id, [value] * FLOOD)
        await system.submit(other)
        await system.ledger.ended(plan_id, 60)
        await system.ledger.ended(other["plan"]["id"], 60)
        await eventually(letters, lambda count: count == FLOOD)
        await pour(system, system.system.topics.plans, plan_id, [value])
        await eventually(letters, lambda count: count == FLOOD + 1)

    async def letters() -> int:
        return len(system.ledger.rejected)

    system.run(scenario())
    assert system.ledger.trails[plan_id].result.status is Status.SUCCESS
    reasons = Counter(dict(each.headers)["reason"] for each in system.ledger.rejected)
    assert reasons == {b"DUPLICATE_EXECUTION": FLOOD + 1}
    assert memory_of_coordinator(system) - before < GROWTH_BYTES


def neighbour(system: Live, plan_id: str) -> str:
    """A plan id of the same partition."""
    while True:
        other: str = submission(step())["plan"]["id"]
        if system.place_of(other) == system.place_of(plan_id):
            return other


def outcome(made: dict[str, Any], attempt: int, result: str) -> bytes:
    fields = {
        "plan_id": made["plan"]["id"],
        "execution_id": made["execution_id"],
        "step_id": made["plan"]["steps"][0]["id"],
        "step_number": 0,
        "attempt": attempt,
        "worker": "forged",
        "started_at": now_ms(),
        "ended_at": now_ms(),
        "result": result,
    }
    return encode_fields(StepSucceeded, fields)


def test_a_flood_of_outcomes_counts_once(system: Live) -> None:
    """Of attempts that are not made, none does; of the one that is, the first one."""
    made = submission(step("sleep", {"ms": 8000}))
    plan_id = made["plan"]["id"]
    outcomes = system.system.topics.step_outcomes
    wrong = [outcome(made, 2 + number % 7, '"wrong"') for number in range(FLOOD)]
    early = [outcome(made, 1, '"early"')] * 3
    right = [outcome(made, 1, f'"{number}"') for number in range(FLOOD)]

    async def has_started() -> bool:
        found = system.ledger.trails[plan_id].outcomes
        return any(isinstance(each, StepStarted) for each in found)

    async def scenario() -> None:
        # Before there is any such plan, and a request for its step.
        await pour(system, outcomes, plan_id, early)
        await eventually(lambda: lag(system.system), lambda behind: not behind)
        await system.submit(made)
        await eventually(has_started, bool)
        await pour(system, outcomes, plan_id, wrong + right)
        await system.ledger.ended(plan_id, 60)
        await eventually(lambda: lag(system.system), lambda behind: not behind)
        await system.ledger.catch_up()

    system.run(scenario())
    trail = system.ledger.trails[plan_id]
    assert list(trail.result.result_payload.values()) == ['"0"']


def test_nothing_is_left_behind(system: Live) -> None:
    """I1, I7: each plan ended once, the tables are empty."""
    ended = [trail for trail in system.ledger.trails.values() if trail.results]
    assert len(ended) == 3
    assert all(len(trail.results) == 1 for trail in ended)
    system.run(eventually(lambda: rows_left(system.system), lambda rows: not rows))
