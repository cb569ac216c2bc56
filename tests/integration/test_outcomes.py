"""How plans end: in success, in part, and once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from agents.partitioner import partition_of
from schemas.errors import Severity
from schemas.results import ExecutionAudit, Status
from tests.conftest import Broker
from tests.integration.invariants import rows_left
from tests.integration.ledger import Trail
from tests.integration.live import HANDLERS, Live, live
from tests.integration.plans import chain, diamond, step, submission
from tests.integration.system import eventually

SUCCESS = [
    "validate_completion",
    "capture_metadata",
    "set_status_success",
    "persist_result",
    "emit_plan_execution_success",
    "mark_completed_in_registry",
    "release_resources",
    "return_result",
]
PARTIAL = [
    "classify_failure",
    "aggregate_errors",
    "validate_partial_execution",
    "preserve_completed_output",
    "capture_metadata",
    "set_status_partial",
    "persist_result",
    "emit_plan_execution_partial",
    "record_incomplete_steps",
    "return_result",
]
CONTEXT = {
    "user_id": "u-7",
    "request_id": "r-8",
    "correlation_context": {"trace": "abc", "käse": "grün"},
}


@pytest.fixture(scope="module")
def system(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    directory = tmp_path_factory.mktemp("outcomes")
    with live(kafka, directory, routes="tick=single") as system:
        options = ("--queue", "single", "--concurrency", "1", "--name", "single")
        single = system.system.worker(HANDLERS, options=options)
        system.run(single.start())
        yield system


def assert_actions(audit: ExecutionAudit, names: list[str]) -> None:
    """The audit lists these actions of §5 in this order, with times that agree."""
    numbered = [(action.number, action.name) for action in audit.actions]
    assert numbered == list(enumerate(names, 1))
    times = [action.at for action in audit.actions]
    assert times == sorted(times)


def assert_times(trail: Trail, started_at: int) -> None:
    """§3: the result's times agree with each other, with audit and event."""
    result = trail.result
    assert result.completed_at >= started_at
    assert result.duration_ms == result.completed_at - started_at
    assert trail.event.at == result.completed_at


def results(trail: Trail) -> dict[str, Any]:
    """What the steps returned, by step id."""
    payload = trail.result.result_payload
    return {step_id: json.loads(text) for step_id, text in payload.items()}


# -- success


def test_a_chain_succeeds_with_everything_about_it_published(system: Live) -> None:
    """§5.1, R3, R41: result with headers, audit in order, event, each once."""
    steps = chain(3, word="hi", number=2**70)
    made = submission(*steps, members=CONTEXT)
    trail = system.execute(made)
    result = trail.result
    assert result.status is Status.SUCCESS
    assert result.error is None
    assert (result.steps_executed, result.steps_total) == (3, 3)
    payload = {"word": "hi", "number": 2**70}
    assert results(trail) == {
        each["id"]: {"payload": payload, "step": each["id"], "attempt": 1}
        for each in steps
    }
    assert_times(trail, made["started_at"])
    assert_actions(trail.audit, SUCCESS)
    assert trail.audit.outcome is Status.SUCCESS
    assert not trail.audit.incomplete_steps
    assert not trail.audit.warnings
    event = trail.event
    assert event.event.value == "plan_execution_success"
    assert event.status is Status.SUCCESS
    assert event.error is None
    assert event.model_dump(include=set(CONTEXT)) == CONTEXT
    assert {each.execution_id for each in (result, trail.audit, event)} == {
        made["execution_id"]
    }


def test_a_result_says_in_its_key_and_headers_whose_it_is(system: Live) -> None:
    """R41, R36: key plan id, on its partition; execution, status, correlation."""
    made = submission(step(), members=CONTEXT)
    plan_id = made["plan"]["id"].encode()
    (record,) = system.execute(made).records
    topics = system.system.topics
    assert record.topic == topics.success.name
    assert record.key == plan_id
    assert record.partition == partition_of(plan_id, topics.success.partitions)
    assert list(record.headers) == [
        ("execution_id", made["execution_id"].encode()),
        ("status", b"success"),
        ("trace", b"abc"),
        ("käse", "grün".encode()),
    ]


def test_handlers_are_told_whose_step_they_run(system: Live) -> None:
    """§2: ids, submitter's fields and environment reach the handler."""
    only = step("identify")
    environment = {"where": {"deep": [1, None, "ü"]}, "more": 10**30}
    made = submission(only, members={**CONTEXT, "environment": environment})
    assert results(system.execute(made))[only["id"]] == {
        "plan_id": made["plan"]["id"],
        "execution_id": made["execution_id"],
        **CONTEXT,
        "environment": environment,
    }


def test_a_diamond_runs_its_steps_after_their_dependencies(system: Live) -> None:
    """§1, R9: no step starts before those that it depends on have ended."""
    steps = diamond()
    trail = system.execute(submission(*reversed(steps)))
    assert trail.result.status is Status.SUCCESS
    ran = {step_id: done[0] for step_id, done in trail.succeeded().items()}
    assert ran.keys() == {each["id"] for each in steps}
    for each in steps:
        for needed in each["depends_on"]:
            assert ran[needed].ended_at <= ran[each["id"]].started_at


def test_independent_steps_run_at_the_same_time(system: Live) -> None:
    """R9: ten sleeps of 400 ms beside each other take nowhere near four seconds."""
    trail = system.execute(submission(*(step("sleep", {"ms": 400}) for _ in range(10))))
    assert trail.result.status is Status.SUCCESS
    ran = [done[0] for done in trail.succeeded().values()]
    assert max(each.started_at for each in ran) < min(each.ended_at for each in ran)


def test_a_plan_of_1024_steps_succeeds(system: Live) -> None:
    """§1: as many steps as a plan may have, all but two beside each other."""
    first = step()
    middle = [step(after=(first,)) for _ in range(1022)]
    trail = system.execute(submission(first, *middle, step(after=tuple(middle))))
    assert trail.result.status is Status.SUCCESS
    assert trail.result.steps_executed == 1024
    assert len(trail.result.result_payload) == 1024


def test_warnings_of_handlers_are_in_the_audit(system: Live) -> None:
    """R6: a step that warned has completed; its warning is in the trace."""
    first = step("warn")
    second = step(after=(first,))
    trail = system.execute(submission(first, second))
    assert trail.result.status is Status.SUCCESS
    (warning,) = trail.audit.warnings
    assert (warning.step_id, warning.code) == (first["id"], "SLOW")
    assert warning.message == "took its time"


def test_retries_succeed_after_their_backoff(system: Live) -> None:
    """§1.1: attempts wait min(backoff × multiplier^(n−2), max) after the failure."""
    policy = {
        "max_attempts": 4,
        "backoff_ms": 100,
        "backoff_multiplier": 3.0,
        "max_backoff_ms": 500,
        "retryable_error_codes": ["FLAKY"],
    }
    only = step("flaky", {"succeeds_at": 4}, on_failure="retry")
    trail = system.execute(submission(only, retry_policy=policy))
    assert trail.result.status is Status.SUCCESS
    assert results(trail) == {only["id"]: 4}
    failed = trail.failed()
    (done,) = trail.succeeded()[only["id"]]
    assert [each.attempt for each in failed] == [1, 2, 3]
    starts = [*(each.started_at for each in failed[1:]), done.started_at]
    waits = [start - each.ended_at for start, each in zip(starts, failed, strict=True)]
    assert all(
        delay <= wait < delay + 1000
        for wait, delay in zip(waits, [100, 300, 500], strict=True)
    ), waits


def test_retries_without_backoff_follow_at_once(system: Live) -> None:
    """§1.1: a backoff of 0 delays nothing, however many attempts."""
    policy = {"max_attempts": 9, "retryable_error_codes": ["FLAKY"]}
    only = step("flaky", {"succeeds_at": 9}, on_failure="retry")
    trail = system.execute(submission(only, retry_policy=policy))
    assert results(trail) == {only["id"]: 9}
    assert [each.attempt for each in trail.failed()] == list(range(1, 9))


def test_higher_priorities_go_first_where_requests_wait(system: Live) -> None:
    """R40: of the requests that wait for a worker's one place, the highest is next."""
    holding = submission(step("tick", {"ms": 1500}))
    priorities = [0, 5, -3, 5, 9]
    made = [submission(step("tick", {"ms": 10}), priority=each) for each in priorities]

    async def hold() -> None:
        await system.submit(holding)
        await system.ledger.begun(holding["plan"]["id"])

    system.run(hold())
    trails = system.execute_all(*made)
    starts = [
        (done[0].started_at, priority)
        for priority, trail in zip(priorities, trails, strict=True)
        for done in trail.succeeded().values()
    ]
    assert [priority for _, priority in sorted(starts)] == [9, 5, 5, 0, -3]


# -- partial


def test_a_skipped_step_makes_the_outcome_partial(system: Live) -> None:
    """§5.2, R17: STEP_SKIPPED, its cause the step's own error; result, audit, event."""
    good, bad = step(), step("fail", {"code": "NO_CARD"}, on_failure="skip")
    made = submission(good, bad)
    trail = system.execute(made)
    result, error = trail.result, trail.error
    assert trail.records[0].topic == system.system.topics.partial.name
    assert result.status is Status.PARTIAL
    assert (result.steps_executed, result.steps_total) == (1, 2)
    assert results(trail).keys() == {good["id"]}
    assert (error.error_code, error.step_id) == ("STEP_SKIPPED", bad["id"])
    assert (error.severity, error.recoverable) == (Severity.WARN, True)
    assert error.cause is not None
    assert (error.cause.error_code, error.cause.message) == ("NO_CARD", "as asked")
    assert (error.cause.severity, error.cause.step_id) == (Severity.ERROR, bad["id"])
    assert "errors" not in json.loads(error.context)
    assert_times(trail, made["started_at"])
    assert_actions(trail.audit, PARTIAL)
    assert trail.audit.incomplete_steps == (bad["id"],)
    (warning,) = trail.audit.warnings
    assert (warning.code, warning.step_id) == ("STEP_SKIPPED", bad["id"])
    assert trail.event.event.value == "plan_execution_partial"
    assert trail.event.error == error


def test_exhausted_retries_make_the_outcome_partial(system: Live) -> None:
    """R17, R21: the last attempt's error, earlier ones in its context."""
    policy = {"max_attempts": 3, "retryable_error_codes": ["FLAKY"]}
    bad = step("flaky", {"succeeds_at": 9}, on_failure="retry")
    trail = system.execute(submission(step(), bad, retry_policy=policy))
    assert trail.result.status is Status.PARTIAL
    error = trail.error
    assert (error.error_code, error.step_id) == ("FLAKY", bad["id"])
    assert (error.severity, error.message) == (Severity.ERROR, "attempt 3 fails")
    context = json.loads(error.context)
    assert context["attempt"] == 3
    assert [each["message"] for each in context["attempts"]] == [
        "attempt 1 fails",
        "attempt 2 fails",
    ]
    assert [each["context"]["attempt"] for each in context["attempts"]] == [1, 2]
    assert not trail.audit.warnings


@pytest.mark.parametrize("codes", [[], ["OTHER"]])
def test_codes_that_are_not_listed_are_not_retried(
    system: Live, codes: list[str]
) -> None:
    """R7 and rule 2 of §4: one attempt, and the plan goes on."""
    policy = {"max_attempts": 5, "retryable_error_codes": codes}
    bad = step("fail", on_failure="retry")
    trail = system.execute(submission(bad, *chain(2), retry_policy=policy))
    assert trail.result.status is Status.PARTIAL
    assert trail.error.error_code == "BROKEN"
    assert trail.result.steps_executed == 2
    assert [each.attempt for each in trail.failed()] == [1]


def test_all_failures_of_a_partial_outcome_are_told(system: Live) -> None:
    """R11, R19: the first folded is primary, the others follow in its context."""
    bad = [
        step("fail", {"code": f"CODE_{number}"}, on_failure=policy)
        for number, policy in enumerate(["skip", "retry", "skip", "retry"])
    ]
    trail = system.execute(submission(*bad, step("sleep", {"ms": 300})))
    assert trail.result.status is Status.PARTIAL
    order = [each.step_id for each in trail.failed()]
    context = json.loads((trail.error.cause or trail.error).context)
    others = json.loads(trail.error.context)
    assert trail.error.step_id == order[0]
    assert others["errors_total"] == 4
    assert [each["step_id"] for each in others["errors"]] == order[1:]
    for each in others["errors"]:
        policy = next(s["on_failure"] for s in bad if s["id"] == each["step_id"])
        assert (each["error_code"] == "STEP_SKIPPED") is (policy == "skip")
        assert "errors" not in each["context"]
    assert context["attempt"] == 1
    assert set(trail.audit.incomplete_steps) == set(order)


# -- always


def test_every_plan_has_one_result_one_audit_and_one_event(system: Live) -> None:
    """§5, I1: whatever the tests before this one submitted, and nothing is left."""
    system.run(system.ledger.catch_up())
    assert len(system.ledger.trails) > 10
    for plan_id, trail in system.ledger.trails.items():
        counts = (len(trail.results), len(trail.audits), len(trail.events))
        assert counts == (1, 1, 1), plan_id
        assert trail.audit.outcome is trail.result.status is trail.event.status
        assert trail.result.steps_executed == len(trail.result.result_payload)
        assert all(len(done) == 1 for done in trail.succeeded().values())
    assert not system.ledger.rejected


def test_tables_are_empty_but_for_the_registry(system: Live) -> None:
    """I7, U3: no rows of plans, steps or deadlines are left when all plans ended."""
    system.run(eventually(lambda: rows_left(system.system), lambda rows: not rows))
