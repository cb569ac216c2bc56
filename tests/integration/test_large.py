"""Large things: a thousand steps, a megabyte that all of them see, many results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from schemas import codec
from schemas.context import PlanSubmission
from schemas.results import Status
from schemas.steps import StepRequest
from tests.conftest import Broker
from tests.integration.invariants import rows_left
from tests.integration.ledger import Trail
from tests.integration.live import Live, live
from tests.integration.plans import chain, now_ms, step, submission
from tests.integration.system import eventually

STEPS = 1024
MEGABYTE = 2**20
ENVIRONMENT = {"where": "here", "blob": "x" * MEGABYTE}
RESULT = 2**18
"""The largest result of a step."""
RESULTS = 23
"""So many fit into a plan's result with its error."""


@pytest.fixture(scope="module")
def system(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(
        kafka,
        tmp_path_factory.mktemp("large"),
        members={"workers": 2},
        max_submission_bytes=4 * MEGABYTE,
    ) as system:
        yield system


def large(*steps: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A submission with a megabyte of environment."""
    return submission(*steps, members={"environment": ENVIRONMENT}, **members)


def requests_of(system: Live, made: dict[str, Any]) -> list[tuple[int, StepRequest]]:
    """The step requests of a plan, and the bytes of each."""
    topic = system.system.topics.requests["default"]
    records = system.run(system.system.read(topic))
    decoded = [
        (len(each.value), codec.decode(each.value, StepRequest)) for each in records
    ]
    return [each for each in decoded if each[1].plan_id == made["plan"]["id"]]


def succeeded(trail: Trail, steps: int) -> dict[str, str]:
    """The results of a plan all of whose steps completed."""
    assert trail.result.status is Status.SUCCESS, trail.result.error
    assert trail.result.steps_executed == steps
    return trail.result.result_payload


def test_a_megabyte_is_not_copied_into_a_thousand_requests(system: Live) -> None:
    """All ready at once; each handler, on either worker, sees all of it."""
    made = large(*(step("length", {"name": "blob"}) for _ in range(STEPS)))
    results = succeeded(system.execute(made, timeout=60), STEPS)
    assert set(results.values()) == {str(MEGABYTE)}
    requests = requests_of(system, made)
    assert {each.step_id for _, each in requests} == results.keys()
    assert sum(size for size, _ in requests) < 500 * len(requests)
    places = {each.environment_at for _, each in requests}
    assert len(places) == 1
    assert None not in places


def test_a_megabyte_in_avro_is_found_too(system: Live) -> None:
    """As our client submits it."""
    steps = [step("length", {"name": "blob"}), step("environment", {"name": "where"})]
    made = large(*steps)
    text = json.dumps(made).encode()
    value = codec.encode(codec.decode(text, PlanSubmission))
    results = succeeded(system.produce(value, made), 2)
    assert set(results.values()) == {str(MEGABYTE), '"here"'}


def test_a_child_plan_has_a_megabyte_too(system: Live) -> None:
    """§6.5: its submission is a record like any other."""
    child = large(step("length", {"name": "blob"}))
    payload = {name: child[name] for name in ("plan", "environment")}
    parent = submission(step("execute_plan", payload))
    (result,) = succeeded(system.execute(parent), 1).values()
    assert list(json.loads(result)["result_payload"].values()) == [MEGABYTE]
    ((_, request),) = requests_of(system, child)
    assert request.environment_at


def test_a_thousand_steps_in_a_chain(system: Live) -> None:
    """Each is asked for when the one before it has completed."""
    trail = system.execute(large(*chain(STEPS, "length", name="blob")), timeout=60)
    assert set(succeeded(trail, STEPS).values()) == {str(MEGABYTE)}


def test_many_results_of_the_largest_size(system: Live) -> None:
    """R22: as many as the plan's result has room for; with one more it fails."""

    def made(count: int) -> dict[str, Any]:
        blob = {"characters": RESULT - 2}
        return submission(*(step("blob", blob) for _ in range(count)))

    results = succeeded(system.execute(made(RESULTS)), RESULTS)
    assert {len(each) for each in results.values()} == {RESULT}
    trail = system.execute(made(RESULTS + 1))
    assert trail.error.error_code == "RESOURCE_EXHAUSTED"
    assert trail.result.steps_executed == RESULTS


def test_ten_thousand_tags(system: Live) -> None:
    """§1 bounds neither their number nor their length; the submission's size does."""
    tags = [f"tag-{number}" for number in range(10_000)]
    succeeded(system.execute(submission(step(), tags=tags)), 1)
    trail = system.execute(submission(step(), tags=[*tags, "x" * 4 * MEGABYTE]))
    assert trail.error.error_code == "RESOURCE_EXHAUSTED"


def test_a_plan_that_outlives_retention_is_copied(system: Live) -> None:
    """Its submission may be gone before it ends: requests carry the environment."""
    later = now_ms() + system.system.settings.retention_ms + 60_000
    week = 8 * 86_400_000
    environment = {"where": "here", "blob": "x" * 100_000}
    made = submission(
        step("length", {"name": "blob"}),
        timeout_ms=week,
        members={"environment": environment, "deadline_ms": later + week},
    )
    assert set(succeeded(system.execute(made), 1).values()) == {"100000"}
    ((size, request),) = requests_of(system, made)
    assert request.environment_at is None
    assert size > 100_000


def test_an_environment_that_somebody_deleted_fails_its_plan(system: Live) -> None:
    """Once no worker remembers it; and says where it was."""
    made = large(step("sleep", {"ms": 5_000}))
    trail = system.run(_deleted_under(system, made))
    assert trail.result.status is Status.FAILURE
    assert trail.error.error_code == "UNKNOWN_ERROR"
    assert "the environment is gone" in trail.error.message


async def _deleted_under(system: Live, made: dict[str, Any]) -> Trail:
    """Delete all submissions while a step runs, and kill the workers."""
    await system.submit(made)
    await system.ledger.begun(made["plan"]["id"])
    settings = system.system.settings
    plans = system.system.topics.plans
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.broker)
    await admin.start()
    try:
        tps = [TopicPartition(plans.name, number) for number in range(plans.partitions)]
        await admin.delete_records({tp: RecordsToDelete(-1) for tp in tps})
    finally:
        await admin.close()
    for worker in system.system.of("worker"):
        await worker.restart()
    return await system.ledger.ended(made["plan"]["id"], 60)


def test_nothing_is_left(system: Live) -> None:
    """U3: of all that was here before."""
    system.run(eventually(lambda: rows_left(system.system), lambda rows: not rows))
