"""Recorded workflows of other people run to their end, as fast as they can."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.wfcommons import wfplans
from examples.wfcommons.bounds import runtime_ms
from examples.wfcommons.wfplans import Bound, Instance, bound, load, submission
from schemas.results import Status
from schemas.steps import StepSucceeded
from tests.conftest import Broker
from tests.integration.invariants import rows_left
from tests.integration.ledger import Trail
from tests.integration.live import Live, live
from tests.integration.system import eventually

INSTANCES = sorted((Path(wfplans.__file__).parent / "instances").glob("*.json"))
CONCURRENCY = 64
CRITICAL_PATH_MS = 1000
"""How long the longest chain of run times is to take."""
ROUNDING_MS = 2
"""Two clocks, each cut to whole milliseconds."""
FACTOR, EXTRA_MS = 3, 1500
"""What the slowest machine may need of the bound, and beside it; for figures see
benchmarks/."""


@pytest.fixture(scope="module")
def system(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    directory = tmp_path_factory.mktemp("wfcommons")
    handlers = "examples.wfcommons.handlers"
    with live(kafka, directory, handlers=handlers, concurrency=CONCURRENCY) as system:
        yield system


def speedup_of(instance: Instance, critical_path_ms: int) -> float:
    """The speed-up that makes the instance's critical path so long."""
    return bound(instance, 1, 1).critical_path_ms / critical_path_ms


def check(trail: Trail, instance: Instance, made: dict[str, Any]) -> list[int]:
    """I2, I3, I4: success, each step once, after its dependencies; starts and ends."""
    steps = made["plan"]["steps"]
    result = trail.result
    assert result.status is Status.SUCCESS, result.error
    assert result.steps_executed == result.steps_total == len(instance.tasks)
    tasks = [result.result_payload[each["id"]] for each in steps]
    assert [json.loads(text)["task"] for text in tasks] == [
        task.id for task in instance.tasks
    ]
    completed = trail.succeeded()
    assert completed.keys() == {each["id"] for each in steps}
    assert not trail.failed()
    assert all(len(done) == 1 for done in completed.values())
    ran = {step_id: done[0] for step_id, done in completed.items()}
    assert_in_order(ran, steps)
    return most_at_once(list(ran.values()))


def assert_in_order(ran: dict[str, StepSucceeded], steps: list[dict[str, Any]]) -> None:
    for each in steps:
        mine = ran[each["id"]]
        took_ms = mine.ended_at - mine.started_at
        assert took_ms >= each["payload"]["runtime_ms"] - ROUNDING_MS
        for needed in each["depends_on"]:
            assert ran[needed].ended_at <= mine.started_at


def most_at_once(ran: list[StepSucceeded]) -> list[int]:
    """How many steps ran at the same time, after each start or end."""
    ends = [(each.ended_at, -1) for each in ran]
    starts = [(each.started_at, 1) for each in ran]
    running, counts = 0, []
    for _, change in sorted(ends + starts):
        running += change
        counts.append(running)
    return counts


def tell(name: str, took_ms: int, limit: Bound) -> None:
    print(
        f"{name}: {took_ms} ms, {took_ms / limit.greedy_ms:.2f} of a plain dispatch "
        f"without costs, {took_ms / limit.lower_ms:.2f} of the lower bound"
    )


@pytest.mark.parametrize("path", INSTANCES, ids=lambda path: path.stem)
def test_a_recorded_workflow_runs_to_success(system: Live, path: Path) -> None:
    """I2, I3, I4, R9: every step once, in order, near what a plain dispatch needs."""
    instance = load(path)
    speedup = speedup_of(instance, CRITICAL_PATH_MS)
    made = submission(instance, speedup)
    trail = system.execute(made, timeout=60)
    counts = check(trail, instance, made)
    assert max(counts) <= CONCURRENCY
    limit = bound(instance, CONCURRENCY, speedup)
    took_ms = trail.result.duration_ms
    tell(instance.name, took_ms, limit)
    assert limit.lower_ms - ROUNDING_MS * len(instance.tasks) <= took_ms
    assert took_ms <= FACTOR * limit.greedy_ms + EXTRA_MS


def test_all_of_them_run_at_the_same_time(system: Live) -> None:
    """I2, I3, I4: 1,530 steps of eight plans share the worker's places."""
    instances = [load(path) for path in INSTANCES]
    speedups = [speedup_of(each, CRITICAL_PATH_MS // 2) for each in instances]
    made = [
        submission(instance, speedup)
        for instance, speedup in zip(instances, speedups, strict=True)
    ]
    trails = system.execute_all(*made, timeout=60)
    for trail, instance, each in zip(trails, instances, made, strict=True):
        check(trail, instance, each)
    ran = [done[0] for trail in trails for done in trail.succeeded().values()]
    assert CONCURRENCY // 2 < max(most_at_once(ran)) <= CONCURRENCY
    busy_ms = sum(
        runtime_ms(task, speedup)
        for instance, speedup in zip(instances, speedups, strict=True)
        for task in instance.tasks
    )
    took_ms = max(trail.result.completed_at for trail in trails) - min(
        each["started_at"] for each in made
    )
    print(f"all: {took_ms} ms, {took_ms * CONCURRENCY / busy_ms:.2f} of the places")
    assert took_ms <= FACTOR * busy_ms / CONCURRENCY + EXTRA_MS


def test_tables_are_empty_but_for_the_registry(system: Live) -> None:
    """I7, U3: no rows of plans, steps or deadlines are left when all plans ended."""
    system.run(eventually(lambda: rows_left(system.system), lambda rows: not rows))
