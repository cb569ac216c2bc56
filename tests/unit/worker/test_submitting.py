"""The built-in handler of `execute_plan` (§6.5, R39)."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import Any

import pytest

from agents.engine import EngineSettings, StepEngine
from agents.nested import MAX_DEPTH, PARENT
from agents.scheduling import Position
from schemas import codec
from schemas.steps import ParentReference
from tests.unit.worker.harness import (
    TOPIC,
    Bench,
    MemorySink,
    bench,
    eventually,
    in_loop,
    request,
)
from tests.unit.worker.quick import registry

PARTITION = (TOPIC, 0)


def payload(**members: Any) -> str:
    """What a nested step is given; opaque values are written in a way of their own."""
    plan = json.dumps({"id": str(uuid.uuid4()), "metadata": {"n": [1.50, 10**30]}})
    return json.dumps({"plan": 0, "environment": {}, **members}).replace(
        '"plan": 0', f'"plan":  {plan}'
    )


def child_id(text: str) -> str:
    made: str = json.loads(text)["plan"]["id"]
    return made


async def settled(b: Bench) -> None:
    await eventually(lambda: b.engine.committable() == {PARTITION: b.offset})


@in_loop
async def test_the_child_is_submitted_once_its_name_is_in_the_log() -> None:
    """R39: nothing is submitted, nothing committed, before the acknowledgements."""
    async with bench(registry) as b:
        b.sink.is_holding = True
        text = payload()
        b.offer("execute_plan", text)
        await eventually(lambda: b.sink.started)
        await asyncio.sleep(0.02)
        assert b.sink.submitted == []
        b.sink.pending.pop().set_result(None)
        await eventually(lambda: b.sink.submitted)
        assert b.sink.started[0].child_plan_id == child_id(text)
        assert not b.engine.committable().get(PARTITION)
        b.sink.release()
        await settled(b)
        assert len(b.sink.records) == 1, "its outcome is left to the child"
        assert b.engine.load().running == 0


@in_loop
async def test_a_submission_carries_what_the_step_says() -> None:
    """R39, F12: plan and environment byte for byte, the parent's fields, its limit."""
    async with bench(registry) as b:
        before = int(time.time() * 1000)
        text = payload(environment={"where": "here"})
        given = b.offer(
            "execute_plan",
            text,
            attempt=2,
            step_number=3,
            timeout_ms=5000,
            user_id="ann",
            request_id="r",
            correlation_context={"a": "b"},
        )
        await settled(b)
        ((plan_id, value, headers),) = b.sink.submitted
        made = json.loads(value)
        assert plan_id == made["plan"]["id"] == child_id(text)
        assert b'"metadata": {"n": [1.5, 1' + b"0" * 30 in value
        assert b'"environment":{"where": "here"}' in value
        assert made["parent_execution_id"] == given["execution_id"]
        assert made["started_at"] >= before
        assert made["deadline_ms"] == made["started_at"] + 5000
        names = ("user_id", "request_id", "correlation_context")
        assert [made[each] for each in names] == ["ann", "r", {"a": "b"}]
        parent = codec.decode(dict(headers)[PARENT], ParentReference)
        assert (parent.attempt, parent.step_number, parent.depth) == (2, 3, 1)
        assert parent.start_id == b.sink.started[0].start_id
        uuid.UUID(made["execution_id"], version=4)


@in_loop
async def test_a_child_ends_no_later_than_its_parent() -> None:
    """R39: the earliest of the parent's limits and the step's."""
    async with bench(registry) as b:
        given = b.offer("execute_plan", payload(), timeout_ms=10**9)
        b.offer("execute_plan", payload(), deadline_ms=given["deadline_ms"])
        await settled(b)
        made = [json.loads(value) for _, value, _ in b.sink.submitted]
        assert {each["deadline_ms"] for each in made} == {given["deadline_ms"]}


@in_loop
async def test_a_redelivery_submits_the_same_child_again() -> None:
    """R29, R39: with a start of its own, and the same execution id."""
    async with bench(registry) as b:
        text = payload()
        given = b.offer("execute_plan", text)
        await settled(b)
        b.engine.offer(Position(TOPIC, 0, b.offset), dict(given), 0, redelivered=True)
        b.offset += 1
        await settled(b)
        first, second = (json.loads(value) for _, value, _ in b.sink.submitted)
        assert first["execution_id"] == second["execution_id"]
        starts = [each.start_id for each in b.sink.started]
        assert len(set(starts)) == len(starts) == 2
        assert {each.child_plan_id for each in b.sink.started} == {child_id(text)}


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"environment":{}}',
        payload(more=1),
        payload(environment=None),
        '{"plan":[],"environment":{}}',
        '{"plan":{"id":7},"environment":{}}',
        '{"plan":{"id":"\\u0041"},"environment":{}}',
        '{"plan":{},"environment":{}}',
    ],
)
def test_another_payload_is_refused(text: str) -> None:
    """R39: INVALID_PAYLOAD, fatal, and nobody is named."""

    @in_loop
    async def scenario() -> None:
        async with bench(registry) as b:
            outcome = await b.run("execute_plan", text)
            error = outcome.error
            assert (error.error_code, error.severity) == ("INVALID_PAYLOAD", "fatal")
            assert not b.sink.started
            assert not b.sink.submitted

    scenario()


@in_loop
async def test_plans_are_nested_so_deep_and_no_deeper() -> None:
    """R39: the limit of eight."""
    async with bench(registry) as b:
        given = request("execute_plan", payload())
        for place, depth in enumerate((MAX_DEPTH - 1, MAX_DEPTH)):
            fields = {**given, "step_id": str(uuid.uuid4()), "depth": depth}
            b.engine.offer(Position(TOPIC, 0, place), fields, 0, redelivered=False)
        await b.answered()
        assert b.sink.failed[0].error.error_code == "RESOURCE_EXHAUSTED"
        ((_, _, headers),) = b.sink.submitted
        parent = codec.decode(dict(headers)[PARENT], ParentReference)
        assert parent.depth == MAX_DEPTH == 8


@in_loop
async def test_a_halt_comes_before_the_submission() -> None:
    """R39: the child of a plan that has ended is not submitted any more."""
    async with bench(registry) as b:
        b.sink.is_holding = True
        given = b.offer("execute_plan", payload())
        await eventually(lambda: b.sink.started)
        (shared,) = b.sink.pending
        b.engine.halt(given["execution_id"])
        await settled(b)
        assert not shared.cancelled(), "others wait for this acknowledgement too"
        b.sink.release()
        await asyncio.sleep(0.02)
        assert b.sink.submitted == []


@in_loop
async def test_a_submission_that_cannot_be_sent_is_fatal() -> None:
    """R29: its request stays open, and is redelivered to whoever comes after."""
    async with bench(registry) as b:
        b.sink.is_holding = True
        b.offer("execute_plan", payload())
        await eventually(lambda: b.sink.pending)
        b.sink.pending.pop().set_result(None)
        await eventually(lambda: b.sink.submitted)
        b.sink.pending.pop().set_exception(OSError("no broker"))
        await eventually(lambda: b.fatal)
        assert "no broker" in b.fatal[0]
        assert not b.engine.committable().get(PARTITION)
        assert b.sink.failed == []


async def nothing(_partition: int, _offset: int) -> None:
    """There are no submissions here."""


@in_loop
async def test_an_engine_without_a_way_to_submit_has_no_such_handler() -> None:
    """R23: it says so, as for any action it does not know."""
    sink = MemorySink()
    engine = StepEngine({}, sink, EngineSettings(), "w", read=nothing)
    await engine.start()
    engine.offer(
        Position(TOPIC, 0, 0), request("execute_plan", payload()), 0, redelivered=False
    )
    assert sink.failed[0].error.error_code == "ACTION_NOT_FOUND"
    await engine.stop(0)
