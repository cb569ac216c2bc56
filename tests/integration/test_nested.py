"""Plans in plans (§6.5, R39), on a real installation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from agents.nested import PARENT
from schemas import codec
from schemas.errors import ExecutionError, Severity
from schemas.results import Status
from schemas.steps import ChildEnded, ParentReference, StepStarted
from tests.conftest import Broker
from tests.integration.invariants import rows_left
from tests.integration.ledger import Trail
from tests.integration.live import Live, live
from tests.integration.plans import ENVIRONMENT, new_id, plan, step, submission
from tests.integration.system import eventually


@pytest.fixture(scope="module")
def system(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(kafka, tmp_path_factory.mktemp("nested")) as system:
        yield system


def nest(child: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A step that executes a child plan."""
    payload = {"plan": child, "environment": dict(ENVIRONMENT)}
    return step("execute_plan", payload, **members)


def parent_of(child: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A submission of a plan whose one step executes a child plan."""
    return submission(nest(child, **members))


def nested(levels: int) -> dict[str, Any]:
    """A plan in a plan in a plan, so many in all."""
    made = plan(step())
    for _ in range(levels - 1):
        made = plan(nest(made))
    return made


def answers(trail: Trail) -> list[ChildEnded]:
    """What a plan was told of the ends of its children."""
    return [each for each in trail.outcomes if isinstance(each, ChildEnded)]


def step_error(trail: Trail) -> ExecutionError:
    """The error of the nested step, for which its plan was halted."""
    assert trail.error.error_code == "EXECUTION_HALTED"
    error = trail.error.cause
    assert error is not None
    assert (error.error_code, error.severity) == ("STEP_ERROR", Severity.ERROR)
    return error


def child_trail(system: Live, child: dict[str, Any]) -> Trail:
    return system.run(system.ledger.ended(child["id"]))


def test_a_child_that_succeeds_completes_its_step(system: Live) -> None:
    """R39: the step's result is the child's PlanResult, which is published too."""
    child = plan(step("identify"))
    made = parent_of(child)
    made |= {"user_id": "u", "request_id": "r", "correlation_context": {"trace": "t"}}
    trail = system.execute(made)
    assert trail.result.status is Status.SUCCESS
    (text,) = trail.result.result_payload.values()
    own = child_trail(system, child)
    assert json.loads(text) == json.loads(codec.to_json(own.result))
    (told,) = own.result.result_payload.values()
    identity = json.loads(told)
    assert identity["plan_id"] == child["id"]
    assert identity["execution_id"] == own.result.execution_id
    assert identity["environment"] == ENVIRONMENT
    given = (identity["user_id"], identity["request_id"])
    assert (*given, identity["correlation_context"]) == ("u", "r", {"trace": "t"})
    assert own.event.request_id == "r"
    (started,) = [each for each in trail.outcomes if isinstance(each, StepStarted)]
    assert started.child_plan_id == child["id"]


def test_opaque_values_reach_the_child_as_they_were_written(system: Live) -> None:
    """F12: what is nested is carried byte for byte."""
    child = plan(step("environment", {"name": "big"}))
    made = parent_of(child)
    text = json.dumps(made).replace(
        '{"where": "here"}}', '{"where": 0, "big": [ 1e2]}}'
    )
    trail = system.produce(text.encode(), made)
    assert trail.result.status is Status.SUCCESS
    topic = system.system.topics.plans
    records = system.run(system.system.read(topic))
    (record,) = [each for each in records if each.key == child["id"].encode()]
    assert b'"environment":{"where": 0, "big": [ 1e2]}' in record.value


def test_a_partial_child_completes_its_step(system: Live) -> None:
    """R39: a partial result is a result."""
    child = plan(step(), step("fail", on_failure="skip"))
    trail = system.execute(parent_of(child))
    assert trail.result.status is Status.SUCCESS
    (text,) = trail.result.result_payload.values()
    assert json.loads(text)["status"] == "partial"
    assert child_trail(system, child).result.status is Status.PARTIAL


def test_a_child_that_fails_fails_its_step(system: Live) -> None:
    """R39: STEP_ERROR, recoverable, whose cause is the child's error."""
    child = plan(step("fail"))
    trail = system.execute(parent_of(child))
    error = step_error(trail)
    assert error.cause is not None
    assert error.cause.error_code == "EXECUTION_HALTED"
    assert error.cause == child_trail(system, child).error
    child = plan(step("fail"))
    trail = system.execute(submission(step(), nest(child, on_failure="skip")))
    assert trail.result.status is Status.PARTIAL


def test_a_refused_child_fails_its_step(system: Live) -> None:
    """R39: what admission finds wrong with a child is the cause."""
    child = plan(step(), context_requirements=["what nobody gave"])
    error = step_error(system.execute(parent_of(child)))
    assert error.cause is not None
    assert error.cause.error_code == "CONTEXT_MISSING"
    assert child_trail(system, child).result.steps_executed == 0


def test_a_child_ends_with_the_limit_of_its_step(system: Live) -> None:
    """R39: its deadline is the step's limit, however long its own timeout is."""
    child = plan(step("sleep", {"ms": 20_000}))
    trail = system.execute(parent_of(child, timeout_ms=700))
    error = step_error(trail)
    assert error.cause is not None
    assert error.cause.error_code == "DEADLINE_EXCEEDED"
    assert trail.result.duration_ms < 5000


def test_a_child_ends_with_its_parent(system: Live) -> None:
    """R39: a parent that ends first takes its children, and theirs, with it."""
    grandchild = plan(step("sleep", {"ms": 20_000}))
    child = plan(nest(grandchild))
    # The other step fails when both have long been running.
    halting = step("fail", after=(waiting := step("sleep", {"ms": 2500}),))
    trail = system.execute(submission(nest(child), waiting, halting))
    assert trail.error.error_code == "EXECUTION_HALTED"
    own = child_trail(system, child).error
    assert (own.error_code, own.severity) == ("EXECUTION_HALTED", Severity.FATAL)
    assert own.cause is not None
    assert (own.cause.error_code, own.cause.step_id) == (
        "EXECUTION_HALTED",
        halting["id"],
    )
    assert child_trail(system, grandchild).error.error_code == "EXECUTION_HALTED"


def test_a_second_attempt_is_a_duplicate(system: Live) -> None:
    """R39: a child is never run twice; the retry finds its id used."""
    child = plan(step("fail"))
    policy = {"max_attempts": 2, "retryable_error_codes": ["STEP_ERROR"]}
    made = submission(step(), nest(child, on_failure="retry"), retry_policy=policy)
    trail = system.execute(made)
    assert trail.result.status is Status.PARTIAL
    assert trail.error.error_code == "STEP_ERROR"
    assert "used before" in trail.error.message
    first, second = sorted(answers(trail), key=lambda each: each.attempt)
    assert (first.attempt, second.attempt) == (1, 2)
    assert child_trail(system, child).result.status is Status.FAILURE


def test_a_plan_that_names_itself_fails(system: Live) -> None:
    """R14, R39: its own id is used: a duplicate like any other."""
    made = parent_of(plan(step()))
    made["plan"]["steps"][0]["payload"]["plan"]["id"] = made["plan"]["id"]
    trail = system.execute(made)
    assert "used before" in step_error(trail).message


def test_plans_are_nested_eight_deep_and_no_deeper(system: Live) -> None:
    """R39: the ninth is not submitted; the eighth fails, and all above it."""
    trail = system.execute(parent_of(nested(8)), timeout=60)
    assert trail.result.status is Status.SUCCESS, trail.result
    eighth = nested(9)
    trail = system.execute(parent_of(eighth), timeout=60)
    assert trail.result.status is Status.FAILURE
    for _ in range(7):
        eighth = eighth["steps"][0]["payload"]["plan"]
    error = child_trail(system, eighth).error
    assert (error.error_code, error.severity) == ("RESOURCE_EXHAUSTED", Severity.FATAL)
    ninth = eighth["steps"][0]["payload"]["plan"]["id"]
    assert not system.ledger.trails[ninth].results


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"plan": {}},
        {"plan": plan(step()), "environment": {}, "more": 1},
        {"plan": plan(step()), "environment": []},
        {"plan": [], "environment": {}},
        {"plan": {"id": "no uuid"}, "environment": {}},
    ],
)
def test_another_payload_is_invalid(system: Live, payload: dict[str, Any]) -> None:
    """R39: exactly a plan and an environment."""
    trail = system.execute(submission(step("execute_plan", payload)))
    assert (trail.error.error_code, trail.error.severity) == (
        "INVALID_PAYLOAD",
        "fatal",
    )


def test_a_repeated_request_is_answered_once(system: Live) -> None:
    """R39: the same child of the same attempt is ignored, not refused."""
    child = plan(step("sleep", {"ms": 1500}))
    made = parent_of(child)
    requests = system.system.topics.requests["default"]

    async def scenario() -> Trail:
        await system.submit(made)
        await system.ledger.begun(made["plan"]["id"])
        wanted = made["plan"]["steps"][0]["id"].encode()
        records = await system.system.read(requests)
        (request,) = [each for each in records if each.key == wanted]
        await system.producer.send_and_wait(requests.name, request.value, key=wanted)
        return await system.ledger.ended(made["plan"]["id"])

    trail = system.run(scenario())
    assert trail.result.status is Status.SUCCESS
    system.run(system.ledger.catch_up())
    starts = [each for each in trail.outcomes if isinstance(each, StepStarted)]
    assert {each.child_plan_id for each in starts} == {child["id"]}
    assert len(starts) == 2
    assert len(answers(trail)) == 1
    assert len(system.ledger.trails[child["id"]].results) == 1


def test_a_foreign_plan_cannot_answer_for_a_child(system: Live) -> None:
    """R39: claims of plans and of outcomes count for nothing without the start's id."""
    child = plan(step("sleep", {"ms": 2000}))
    made = parent_of(child)

    async def scenario() -> Trail:
        await system.submit(made)
        await system.ledger.begun(made["plan"]["id"])
        await claim(system, made, child["id"])
        return await system.ledger.ended(made["plan"]["id"])

    trail = system.run(scenario())
    assert trail.result.status is Status.SUCCESS
    assert len(answers(trail)) == 4


async def claim(system: Live, made: dict[str, Any], child_plan_id: str) -> None:
    """Pretend to be the child of a plan, in three ways."""
    fields = {
        "plan_id": made["plan"]["id"],
        "execution_id": made["execution_id"],
        "step_id": made["plan"]["steps"][0]["id"],
        "step_number": 0,
        "attempt": 1,
        "start_id": "guessed",
    }
    reference = codec.encode_fields(ParentReference, {**fields, "depth": 1})
    members = {"parent_execution_id": made["execution_id"]}
    other = submission(step(), members=members)
    value, key = json.dumps(other).encode(), other["plan"]["id"].encode()
    await system.send(value, key, headers=[(PARENT, reference)])
    outcomes = system.system.topics.step_outcomes
    for named in (child_plan_id, new_id()):
        forged = {**fields, "child_plan_id": named, "result": '"forged"', "error": None}
        value = codec.encode_fields(ChildEnded, forged)
        key = made["plan"]["id"].encode()
        await system.producer.send_and_wait(
            outcomes.name, value, key=key, partition=system.place_of(made["plan"]["id"])
        )
    await system.ledger.ended(other["plan"]["id"])


def test_kills_in_mid_nesting_lose_and_repeat_nothing(
    kafka: Broker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """§9: kill -9 of worker and coordinator while parents wait for their children."""
    with live(kafka, tmp_path_factory.mktemp("killed")) as system:
        children = [plan(step("sleep", {"ms": 300}), step()) for _ in range(12)]
        parents = [parent_of(child) for child in children]

        async def scenario() -> list[Trail]:
            for number, made in enumerate(parents):
                await system.submit(made)
                await asyncio.sleep(0.3)
                if number in {3, 7}:
                    (member,) = system.system.of("worker")
                    await member.restart()
                if number in {5, 9}:
                    (member,) = system.system.of("coordinator")
                    await member.restart()
            ends = [system.ledger.ended(made["plan"]["id"], 50) for made in parents]
            trails = await asyncio.gather(*ends)
            await system.ledger.catch_up()
            return trails

        for trail, child in zip(system.run(scenario()), children, strict=True):
            assert trail.result.status is Status.SUCCESS, trail.result
            assert system.ledger.trails[child["id"]].result.status is Status.SUCCESS
        system.run(eventually(lambda: rows_left(system.system), lambda left: not left))
