"""What does not belong on the internal topics harms nobody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from agents.partitioner import partition_of
from schemas.codec import encode_fields
from schemas.commands import DeadlineFired, Limit, RetryDue
from schemas.record import Record
from schemas.results import Status
from schemas.steps import (
    ExecutionHalted,
    StepFailed,
    StepRequest,
    StepStarted,
    StepSucceeded,
    StepWarned,
)
from streams.topics import Topic
from tests.conftest import Broker
from tests.integration.invariants import lag, rows_left
from tests.integration.ledger import Trail
from tests.integration.live import Live, live
from tests.integration.plans import new_id, now_ms, step, submission
from tests.integration.system import eventually

GARBAGE = [b"garbage", b"", None, b"\xc3\x01", b"[" * 100_000, b'{"type": "X"}', b"{}"]
OPEN_MS = 1200
"""How long a step runs whose plan strangers meddle with."""


@pytest.fixture(scope="module")
def system(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(kafka, tmp_path_factory.mktemp("intruders")) as system:
        yield system


async def put(
    system: Live, topic: Topic, value: bytes | None, plan_id: str | None = None
) -> Any:
    """Produce a record, to the partition of a plan if one is given."""
    partition, key = 0, b"key"
    if plan_id is not None:
        key = plan_id.encode()
        partition = partition_of(key, topic.partitions)
    return await system.producer.send_and_wait(
        topic.name, value, key=key, partition=partition
    )


def meddle(
    system: Live, made: dict[str, Any], *forged: tuple[Topic, type[Record], Any]
) -> Trail:
    """Submit, wait until its first step runs, send forged records, wait for the end."""
    plan_id = made["plan"]["id"]

    async def scenario() -> Trail:
        await system.submit(made)
        await system.ledger.begun(plan_id)
        for topic, model, fields in forged:
            await put(system, topic, encode_fields(model, fields), plan_id)
        return await system.ledger.ended(plan_id)

    return system.run(scenario())


def of_step(made: dict[str, Any], number: int, **fields: Any) -> dict[str, Any]:
    """The fields by which an outcome refers to a step."""
    return {
        "plan_id": made["plan"]["id"],
        "execution_id": made["execution_id"],
        "step_id": made["plan"]["steps"][number]["id"],
        "step_number": number,
        "attempt": 1,
        **fields,
    }


def success(**fields: Any) -> tuple[type[Record], dict[str, Any]]:
    ran = {"worker": "forged", "started_at": now_ms(), "ended_at": now_ms()}
    return StepSucceeded, {**ran, "result": '"forged"', **fields}


def open_plan() -> dict[str, Any]:
    """Two steps, of which the first runs long enough to be meddled with."""
    first = step("sleep", {"ms": OPEN_MS})
    return submission(first, step(after=(first,)))


def assert_untouched(trail: Trail) -> None:
    """The plan ended as if nothing had been sent."""
    assert trail.result.status is Status.SUCCESS, trail.result
    assert "forged" not in json.dumps(dict(trail.result.result_payload))


def test_garbage_on_the_internal_topics_becomes_dead_letters(system: Live) -> None:
    """R38: coordinator and worker name the source, and go on."""
    topics = system.system.topics
    read = (topics.step_outcomes, topics.commands, topics.requests["default"])

    async def scenario() -> None:
        for topic in read:
            for value in GARBAGE:
                place = await put(system, topic, value)
                letter = await system.ledger.dead_letter(place)
                assert (letter.key, letter.value) == (b"key", value)
                assert dict(letter.headers)["reason"] in {b"MALFORMED", b"TOO_DEEP"}

    system.run(scenario())
    assert_untouched(system.execute(submission(step())))


def test_records_larger_than_our_topics_take_are_cut(system: Live) -> None:
    """R38: compressed on their way in, they would not fit on their way out."""
    topics = system.system.topics

    async def scenario() -> None:
        async with system.system.producer(compression_type="gzip") as producer:
            for topic in (topics.step_outcomes, topics.requests["default"]):
                huge = b"z" * 12_000_000
                place = await producer.send_and_wait(topic.name, huge, partition=0)
                letter = await system.ledger.dead_letter(place)
                assert letter.value == huge[:65_536]

    system.run(scenario())
    assert_untouched(system.execute(submission(step())))


def test_garbage_among_the_halts_is_passed_over(system: Live) -> None:
    """Workers go on reading halts: a later one cancels what runs."""
    topics = system.system.topics

    async def scenario() -> None:
        for value in GARBAGE:
            await put(system, topics.halts, value)

    system.run(scenario())
    made = submission(step("sleep", {"ms": 9000}), timeout_ms=400)
    assert system.execute(made).error.error_code == "PLAN_TIMEOUT"
    assert_untouched(system.execute(submission(step())))


def test_outcomes_of_nobodys_steps_are_ignored(system: Live) -> None:
    """Refusals: what speaks of no open plan, step or attempt changes nothing."""
    made = open_plan()
    outcomes = system.system.topics.step_outcomes
    strange: list[dict[str, Any]] = [
        of_step(made, 0, plan_id=new_id()),
        of_step(made, 0, execution_id=new_id()),
        of_step(made, 0, step_id=new_id()),
        of_step(made, 0, step_number=1),
        of_step(made, 0, step_number=2),
        of_step(made, 0, step_number=2**40),
        of_step(made, 0, attempt=2),
        of_step(made, 0, attempt=2**40),
        of_step(made, 1),
    ]
    forged = [(outcomes, *success(**fields)) for fields in strange]
    assert_untouched(meddle(system, made, *forged))


def test_a_late_outcome_changes_nothing(system: Live) -> None:
    """Refusals, R13: neither a second success nor a failure after the end."""
    made = submission(step())
    trail = system.execute(made)
    error = {
        "error_code": "LATE",
        "message": "",
        "step_id": None,
        "severity": "fatal",
        "recoverable": False,
        "cause": None,
        "context": "{}",
    }
    model, fields = success(**of_step(made, 0))
    failed = {**fields, "error": error}
    failed.pop("result")
    outcomes, plan_id = system.system.topics.step_outcomes, made["plan"]["id"]

    async def late() -> None:
        await put(system, outcomes, encode_fields(model, fields), plan_id)
        await put(system, outcomes, encode_fields(StepFailed, failed), plan_id)

    system.run(late())
    system.run(eventually(lambda: lag(system.system), lambda behind: not behind))
    system.run(system.ledger.catch_up())
    assert len(trail.results) == 1
    assert_untouched(trail)


def test_commands_about_nobodys_steps_are_ignored(system: Live) -> None:
    """Limits and retries that were never armed, for steps that are not there."""
    made = open_plan()
    commands = system.system.topics.commands
    ids = {"plan_id": made["plan"]["id"], "execution_id": made["execution_id"]}
    retries = [
        {**ids, "step_number": number, "attempt": attempt, "due_at": 1}
        for number, attempt in [(0, 1), (0, 2), (1, 1), (2, 1), (2**40, 1)]
    ]
    limits = [
        {
            **ids,
            "limit": Limit.STEP_TIMEOUT,
            "due_at": 1,
            "step_number": number,
            "attempt": attempt,
        }
        for number, attempt in [
            (0, 1),
            (1, 1),
            (0, 9),
            (2, 1),
            (2**40, 1),
            (None, None),
        ]
    ]
    strange = [{**ids, "plan_id": new_id()}, {**ids, "execution_id": new_id()}]
    others = [
        {**each, "limit": Limit.DEADLINE, "due_at": 1, "step_number": None}
        for each in strange
    ]
    forged: list[tuple[Topic, type[Record], Any]] = [
        *((commands, RetryDue, each) for each in retries),
        *((commands, DeadlineFired, each) for each in limits),
        *((commands, DeadlineFired, {**each, "attempt": None}) for each in others),
    ]
    assert_untouched(meddle(system, made, *forged))


def test_a_result_that_is_no_json_fails_its_step(system: Live) -> None:
    """R22, §6.16: a foreign worker's mistake is its step's, not the coordinator's."""
    outcomes = system.system.topics.step_outcomes
    for result, code in [
        ("{", "UNKNOWN_ERROR"),
        ("NaN", "UNKNOWN_ERROR"),
        ("", "UNKNOWN_ERROR"),
        ("[" * 5000 + "]" * 5000, "UNKNOWN_ERROR"),
        ('"' + "x" * 262_144 + '"', "RESOURCE_EXHAUSTED"),
    ]:
        made = open_plan()
        model, fields = success(**of_step(made, 0), result=result)
        trail = meddle(system, made, (outcomes, model, fields))
        assert trail.error.error_code == code, result[:20]
        assert trail.error.step_id == made["plan"]["steps"][0]["id"]


def test_an_unregulated_error_is_brought_into_line(system: Live) -> None:
    """§4: severities are the registry's, contexts that are no JSON are dropped."""
    made = open_plan()
    error: dict[str, Any] = {
        "error_code": "UNKNOWN_ERROR",
        "message": "forged",
        "step_id": None,
        "severity": "error",
        "recoverable": True,
        "cause": None,
        "context": "{" * 9000,
    }
    fields = of_step(made, 0, worker="w", started_at=1, ended_at=2, error=error)
    outcomes = system.system.topics.step_outcomes
    trail = meddle(system, made, (outcomes, StepFailed, fields))
    assert (trail.error.error_code, trail.error.severity) == ("UNKNOWN_ERROR", "fatal")
    assert trail.error.step_id == made["plan"]["steps"][0]["id"]
    json.loads(trail.error.context)


def test_too_many_starts_of_one_attempt_end_it(system: Live) -> None:
    """R29: repeats of one start count once, different starts each."""
    made = open_plan()
    starts = [
        of_step(
            made,
            0,
            worker="w",
            start_id=start_id,
            started_at=1,
            elapsed_ms=1,
            child_plan_id=None,
        )
        for start_id in ["a", "a", "b", "b", "c"]
    ]
    outcomes = system.system.topics.step_outcomes
    few = [(outcomes, StepStarted, each) for each in starts[:4]]
    assert_untouched(meddle(system, made, *few))
    made = open_plan()
    starts = [{**each, **of_step(made, 0)} for each in starts]
    many = [(outcomes, StepStarted, each) for each in starts]
    error = meddle(system, made, *many).error
    assert (error.error_code, error.severity) == ("UNKNOWN_ERROR", "fatal")


def test_a_flood_of_warnings_is_bounded(system: Live) -> None:
    """R6: an audit lists what fits into a record, and the plan goes on."""
    made = open_plan()
    outcomes = system.system.topics.step_outcomes
    forged = [
        (
            outcomes,
            StepWarned,
            of_step(made, 0, code="C", message=f"{number} {'m' * 990}", at=1),
        )
        for number in range(300)
    ]
    trail = meddle(system, made, *forged)
    assert_untouched(trail)
    assert 1 < len(trail.audit.warnings) < 300


def test_a_request_that_nobody_made_is_answered_and_ignored(system: Live) -> None:
    """A repeated or foreign request runs its handler; its outcome finds no plan."""
    requests = system.system.topics.requests["default"]
    fields = {
        **of_step(submission(step()), 0),
        "action": "echo",
        "payload": "{}",
        "environment": {},
        "environment_at": None,
        "timeout_ms": None,
        "deadline_ms": now_ms() + 60_000,
        "priority": 0,
        "requested_at": now_ms(),
        "user_id": None,
        "request_id": None,
        "correlation_context": None,
    }
    plan_id = str(fields["plan_id"])

    async def scenario() -> None:
        await put(system, requests, encode_fields(StepRequest, fields), plan_id)
        await system.ledger.begun(plan_id)

    system.run(scenario())
    assert not system.ledger.trails[plan_id].results


def test_a_halt_of_an_unknown_execution_is_remembered(system: Live) -> None:
    """A halt may overtake the request that it stops: the step is not run then."""
    made = submission(step(), timeout_ms=800)
    halt = {
        "plan_id": made["plan"]["id"],
        "execution_id": made["execution_id"],
        "at": now_ms(),
        "error_code": "FORGED",
    }

    async def scenario() -> Trail:
        halts = system.system.topics.halts
        await put(system, halts, encode_fields(ExecutionHalted, halt))
        other = submission(step("sleep", {"ms": 300}))
        await system.submit(other)
        await system.ledger.ended(other["plan"]["id"])
        await system.submit(made)
        return await system.ledger.ended(made["plan"]["id"])

    trail = system.run(scenario())
    assert trail.error.error_code == "PLAN_TIMEOUT"
    assert not trail.outcomes


def test_nothing_is_left_behind(system: Live) -> None:
    """I1, I6, I7: all is folded, each plan ended once, the tables are empty."""
    system.run(eventually(lambda: lag(system.system), lambda behind: not behind))
    system.run(system.ledger.catch_up())
    ended = [trail for trail in system.ledger.trails.values() if trail.results]
    assert all(
        (len(each.results), len(each.audits), len(each.events)) == (1, 1, 1)
        for each in ended
    )
    system.run(eventually(lambda: rows_left(system.system), lambda rows: not rows))
