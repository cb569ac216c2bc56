"""Much of everything, with little room: back-pressure delays, and loses nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaConsumer

from schemas.results import Status
from schemas.steps import StepSucceeded
from tests.conftest import Broker
from tests.integration.invariants import rows_left
from tests.integration.ledger import Trail
from tests.integration.live import Live, live
from tests.integration.plans import chain, step, submission
from tests.integration.system import eventually

CONCURRENCY = 3
WINDOW = 5
OPEN_PLANS = 4
RETENTION_MS = 3000


@pytest.fixture(scope="module")
def system(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(
        kafka,
        tmp_path_factory.mktemp("bounds"),
        partitions=1,
        concurrency=CONCURRENCY,
        window=WINDOW,
        max_plans_in_flight=OPEN_PLANS,
        registry_retention_ms=RETENTION_MS,
        commit_rows=20,
    ) as system:
        yield system


def runs_of(*trails: Trail) -> list[StepSucceeded]:
    """The one completion of each step of some plans."""
    completed = [done for trail in trails for done in trail.succeeded().values()]
    assert all(len(done) == 1 for done in completed)
    return [done[0] for done in completed]


def most_at_once(spans: list[tuple[int, int]]) -> int:
    """How many of these (start, end) overlap at most."""
    changes = sorted(
        [(end, -1) for _, end in spans] + [(start, 1) for start, _ in spans]
    )
    running = most = 0
    for _, change in changes:
        running += change
        most = max(most, running)
    return most


def test_a_worker_runs_no_more_at_once_than_it_may(system: Live) -> None:
    """The window fills and empties many times over; each step runs once."""
    trail = system.execute(submission(*(step("sleep", {"ms": 10}) for _ in range(120))))
    assert trail.result.status is Status.SUCCESS
    runs = runs_of(trail)
    assert len(runs) == 120
    spans = [(each.started_at, each.ended_at) for each in runs]
    assert most_at_once(spans) == CONCURRENCY


def test_plans_wait_in_their_topic_while_too_many_are_open(system: Live) -> None:
    """max_plans_in_flight: later plans are admitted as earlier ones end."""
    made = [submission(*chain(3, "sleep", ms=30)) for _ in range(24)]
    trails = system.execute_all(*made)
    assert all(trail.result.status is Status.SUCCESS for trail in trails)
    spans = []
    for trail in trails:
        runs = runs_of(trail)
        spans.append((min(each.started_at for each in runs), trail.result.completed_at))
    assert most_at_once(spans) <= OPEN_PLANS


def test_a_limit_holds_for_a_plan_that_holds_up_others(system: Live) -> None:
    """A partition full of plans that wait for their limits goes on when they end."""
    stuck = [
        submission(step("sleep", {"ms": 20_000}), timeout_ms=600)
        for _ in range(OPEN_PLANS)
    ]
    trails = system.execute_all(*stuck, submission(step()))
    codes = [trail.error.error_code for trail in trails[:-1]]
    assert codes == ["PLAN_TIMEOUT"] * OPEN_PLANS
    assert trails[-1].result.status is Status.SUCCESS


def test_large_environments_reach_many_steps(system: Live) -> None:
    """Requests of 20 MB in all, of a submission of 500 kB: sent in several batches."""
    environment = {"where": "ü" * 80_000, "more": "x" * 320_000}
    steps = [step("length", {"name": "where"}) for _ in range(40)]
    trail = system.execute(submission(*steps, members={"environment": environment}))
    assert trail.result.status is Status.SUCCESS
    assert list(trail.result.result_payload.values()) == ["80000"] * 40


def test_failures_of_very_many_steps_fit_into_a_result(system: Live) -> None:
    """R11, R21: errors are listed up to a bound, counted all, messages cut."""
    payload = {"message": 5000, "detail": 20_000}
    bad = [step("complain", payload, on_failure="skip") for _ in range(300)]
    trail = system.execute(submission(step(), *bad), timeout=60)
    assert trail.result.status is Status.PARTIAL
    cause = trail.error.cause
    assert cause is not None
    assert len(cause.message) == 1000
    assert cause.message.endswith(" …[+4009]")
    context = json.loads(trail.error.context)
    assert context["errors_total"] == 300
    assert 1 <= len(context["errors"]) <= 50
    assert len(trail.audit.incomplete_steps) == 300
    assert len(trail.records[0].value) < 3_000_000


def test_integers_of_any_size_survive(system: Live) -> None:
    """R27: six thousand digits there and back."""
    only = step("echo", {"n": 7 * 10**4000 + 1})
    text = system.execute(submission(only)).result.result_payload[only["id"]]
    assert f'"n":{7 * 10**4000 + 1}' in text


def test_a_reader_of_results_that_stops_holds_nobody_up(system: Live) -> None:
    """It is a member that fetches nothing; later it goes on where it was."""
    topics = system.system.topics

    async def started() -> AIOKafkaConsumer:
        reader = AIOKafkaConsumer(
            topics.success.name,
            bootstrap_servers=system.system.settings.broker,
            group_id=f"{topics.success.name}-reader",
            isolation_level="read_committed",
        )
        await reader.start()
        await reader.seek_to_end()
        return reader

    async def read(reader: AIOKafkaConsumer, count: int) -> list[str]:
        async with asyncio.timeout(30):
            return [(await reader.getone()).key.decode() for _ in range(count)]

    reader = system.run(started())
    try:
        first = submission(*chain(2))
        system.execute(first)
        assert system.run(read(reader, 1)) == [first["plan"]["id"]]
        made = [submission(*chain(2)) for _ in range(40)]
        trails = system.execute_all(*made)
        assert all(trail.result.status is Status.SUCCESS for trail in trails)
        late = system.run(read(reader, len(made)))
        assert sorted(late) == sorted(each["plan"]["id"] for each in made)
    finally:
        system.run(reader.stop())


def test_ids_are_free_again_after_their_retention(system: Live) -> None:
    """R14: the registry remembers ids for registry_retention, then forgets them."""
    made = submission(step())
    plan_id = made["plan"]["id"]
    system.execute(made)

    async def again() -> int:
        await system.submit(made)
        await asyncio.sleep(0.5)
        return len(system.ledger.trails[plan_id].results)

    system.run(eventually(again, lambda count: count == 2, timeout=40))
    refused = [each for each in system.ledger.rejected if plan_id.encode() == each.key]
    reasons = {dict(each.headers)["reason"] for each in refused}
    assert reasons == {b"DUPLICATE_EXECUTION"}
    first, second = system.ledger.trails[plan_id].results
    assert second.completed_at - first.completed_at >= RETENTION_MS


def test_nothing_is_left_behind(system: Live) -> None:
    """I7, U3: no rows of plans, steps or deadlines are left when all plans ended."""
    system.run(eventually(lambda: rows_left(system.system), lambda rows: not rows))
