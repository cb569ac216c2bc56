"""How plans fail: each error code, by what raises it on a real installation."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import ExecutionError, Severity
from schemas.results import Status
from schemas.steps import StepFailed, StepStarted
from tests.conftest import Broker
from tests.integration.invariants import rows_left
from tests.integration.ledger import Trail
from tests.integration.live import Live, live
from tests.integration.plans import chain, now_ms, step, submission
from tests.integration.system import eventually

FAILURE = [
    "identify_cause",
    "assert_severity_fatal",
    "halt_in_flight_steps",
    "capture_failure_context",
    "keep_completed_results",
    "validate_execution_count",
    "set_error",
    "set_status_failure",
    "persist_result",
    "emit_plan_execution_failure",
    "release_resources",
    "notify_error_handler",
    "return_result",
]
SLACK_MS = 1500
"""How late a limit may be noticed here: the machine is shared, and slow at times."""
ROUNDING_MS = 2
"""Two clocks, each cut to whole milliseconds."""


@pytest.fixture(scope="module")
def system(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    directory = tmp_path_factory.mktemp("failures")
    with live(kafka, directory, routes="unserved=nobody") as system:
        yield system


def fatal_error(trail: Trail, code: str, step_id: str | None) -> ExecutionError:
    """The error of a failure, which is fatal, of this code, at this step."""
    error = trail.error
    assert trail.result.status is Status.FAILURE
    assert (error.error_code, error.step_id) == (code, step_id)
    assert error.severity is Severity.FATAL
    assert not error.recoverable
    return error


def assert_took(failed: StepFailed, limit_ms: int) -> None:
    """The attempt ended at its limit, not before and not much later."""
    took_ms = failed.ended_at - failed.started_at
    assert limit_ms - ROUNDING_MS <= took_ms < limit_ms + SLACK_MS


def context_of(error: ExecutionError) -> dict[str, Any]:
    context = json.loads(error.context)
    assert isinstance(context, dict)
    return context


# -- what a failed step does to its plan


def test_a_halt_fails_the_plan_and_keeps_what_completed(system: Live) -> None:
    """§5.3, R5, R3: EXECUTION_HALTED, its cause the step's own error, unchanged."""
    steps = chain(2)
    bad = step("fail", {"code": "NO_CARD"}, (steps[1],), on_failure="halt")
    never = step(after=(bad,))
    made = submission(*steps, bad, never)
    trail = system.execute(made)
    error = fatal_error(trail, "EXECUTION_HALTED", bad["id"])
    (failed,) = trail.failed()
    assert error.cause == failed.error
    assert failed.error.error_code == "NO_CARD"
    assert failed.error.severity is Severity.ERROR
    result = trail.result
    assert (result.steps_executed, result.steps_total) == (2, 4)
    assert result.result_payload.keys() == {each["id"] for each in steps}
    assert trail.records[0].topic == system.system.topics.failure.name
    assert ("status", b"failure") in trail.records[0].headers
    assert result.duration_ms == result.completed_at - made["started_at"]
    numbered = [(action.number, action.name) for action in trail.audit.actions]
    assert numbered == list(enumerate(FAILURE, 1))
    assert set(trail.audit.incomplete_steps) == {bad["id"], never["id"]}
    assert trail.event.event.value == "plan_execution_failure"
    assert trail.event.error == error


def test_a_fatal_error_is_the_plans_own_whatever_the_policy(system: Live) -> None:
    """R5: not skipped, not retried, not wrapped."""
    payload = {"code": "ACCOUNT_CLOSED", "severity": "fatal"}
    policy = {"max_attempts": 5, "retryable_error_codes": ["ACCOUNT_CLOSED"]}
    for on_failure in ("skip", "retry", "halt"):
        bad = step("fail", payload, on_failure=on_failure)
        trail = system.execute(submission(bad, *chain(2), retry_policy=policy))
        error = fatal_error(trail, "ACCOUNT_CLOSED", bad["id"])
        assert error.cause is None
        assert len(trail.failed()) == 1


@pytest.mark.parametrize("on_failure", ["skip", "retry"])
def test_a_dependency_that_did_not_complete_fails_the_plan_at_once(
    system: Live, on_failure: str
) -> None:
    """R8, R18: DEPENDENCY_UNRESOLVED at the first waiting step; none is awaited."""
    bad = step("fail", {"code": "NO_CARD"}, on_failure=on_failure)
    other = step("sleep", {"ms": 8000})
    stuck = [step(after=(bad,)), step(after=(bad, other))]
    trail = system.execute(submission(other, *stuck, bad))
    error = fatal_error(trail, "DEPENDENCY_UNRESOLVED", stuck[0]["id"])
    assert error.cause is not None
    if on_failure == "skip":
        assert error.cause.error_code == "STEP_SKIPPED"
        assert error.cause.cause is not None
        assert error.cause.cause.error_code == "NO_CARD"
    else:
        assert error.cause.error_code == "NO_CARD"
    assert error.cause.step_id == bad["id"]
    assert trail.result.duration_ms < 8000
    assert set(trail.audit.incomplete_steps) == {
        each["id"] for each in (bad, other, *stuck)
    }


def test_a_plan_of_which_nothing_completed_fails(system: Live) -> None:
    """R12, R17, R19: EXECUTION_HALTED caused by the first failure, others listed."""
    bad = [step("fail", on_failure=policy) for policy in ("skip", "retry", "skip")]
    trail = system.execute(submission(*bad))
    order = [each.step_id for each in trail.failed()]
    error = fatal_error(trail, "EXECUTION_HALTED", order[0])
    assert error.cause is not None
    assert error.cause.step_id == order[0]
    context = context_of(error)
    assert context["errors_total"] == 3
    assert [each["step_id"] for each in context["errors"]] == order[1:]
    assert trail.result.steps_executed == 0
    assert trail.result.result_payload == {}


def test_earlier_failures_are_told_with_the_one_that_halts(system: Live) -> None:
    """R19: a failure's error lists the step failures before it."""
    first = step("fail", {"code": "EARLY"}, on_failure="skip")
    pause = step("sleep", {"ms": 300})
    last = step("fail", {"code": "LATE"}, (pause,), on_failure="halt")
    error = fatal_error(
        system.execute(submission(first, pause, last)), "EXECUTION_HALTED", last["id"]
    )
    context = context_of(error)
    assert context["errors_total"] == 2
    (earlier,) = context["errors"]
    assert (earlier["error_code"], earlier["step_id"]) == ("STEP_SKIPPED", first["id"])
    assert earlier["cause"]["error_code"] == "EARLY"


def test_the_end_of_a_plan_cancels_its_running_steps(
    system: Live, tmp_path: Path
) -> None:
    """§5.3.3: a halt reaches handlers that run, long before they would end."""
    told = [tmp_path / name for name in "ab"]
    lingering = [step("linger", {"told": str(each)}) for each in told]
    pause = step("sleep", {"ms": 400})
    bad = step("fail", after=(pause,))
    trail = system.execute(submission(*lingering, pause, bad))
    fatal_error(trail, "EXECUTION_HALTED", bad["id"])

    async def ends() -> list[str]:
        return [each.read_text() for each in told]

    system.run(eventually(ends, lambda found: found == ["cancelled"] * 2, timeout=5))
    outcomes = {each.step_id for each in trail.failed()} | trail.succeeded().keys()
    assert outcomes == {pause["id"], bad["id"]}


# -- what a handler may do wrong


def test_an_exception_without_a_code_is_a_step_error(system: Live) -> None:
    """R6, R21: STEP_ERROR, with exception, frames, attempt, worker and times."""
    bad = step("raise", {"type": "KeyError"})
    trail = system.execute(submission(bad))
    cause = fatal_error(trail, "EXECUTION_HALTED", bad["id"]).cause
    assert cause is not None
    assert (cause.error_code, cause.severity) == ("STEP_ERROR", Severity.ERROR)
    context = context_of(cause)
    assert context["exception"] == "builtins.KeyError"
    assert "handlers.py" in context["frames"][-1]
    assert context["attempt"] == 1
    assert context["worker"]
    assert context["started_at"] <= context["ended_at"]


@pytest.mark.parametrize(
    "exception", ["SystemExit", "KeyboardInterrupt", "TimeoutError", "BaseException"]
)
def test_whatever_leaves_a_handler_fails_its_step_alone(
    system: Live, exception: str
) -> None:
    """R26: the worker lives on."""
    bad = step("raise", {"type": exception}, on_failure="skip")
    trail = system.execute(submission(bad, step()))
    assert trail.result.status is Status.PARTIAL
    assert trail.error.cause is not None
    assert trail.error.cause.error_code == "STEP_ERROR"


def test_a_step_error_can_be_retried(system: Live) -> None:
    """R6: retryable_error_codes apply to STEP_ERROR as to any code."""
    policy = {"max_attempts": 3, "retryable_error_codes": ["STEP_ERROR"]}
    bad = step("raise", {"type": "ValueError"}, on_failure="retry")
    trail = system.execute(submission(bad, step(), retry_policy=policy))
    assert [each.attempt for each in trail.failed()] == [1, 2, 3]


def test_a_payload_that_does_not_fit_its_handler_fails_the_plan(system: Live) -> None:
    """§4 INVALID_PAYLOAD, fatal: every misfit with its path, no value of it."""
    bad = step("charge", {"cents": "ten", "card": 4}, on_failure="skip")
    trail = system.execute(submission(bad, step()))
    context = context_of(fatal_error(trail, "INVALID_PAYLOAD", bad["id"]))
    paths = {each["path"] for each in context["violations"]}
    assert paths == {"payload.cents", "payload.card"}
    assert "ten" not in trail.error.message + trail.error.context


def test_a_model_as_payload_and_result(system: Live) -> None:
    """R27: a handler's annotation reads the payload, a returned model is dumped."""
    good = step("charge", {"card": "c-1", "cents": 5})
    text = system.execute(submission(good)).result.result_payload[good["id"]]
    assert json.loads(text) == {"card": "c-1", "cents": 5}


def test_an_unknown_action_fails_the_plan(system: Live) -> None:
    """§4 ACTION_NOT_FOUND, from a running step agent (R23)."""
    bad = step("no-such-action", on_failure="skip")
    trail = system.execute(submission(bad, step("sleep", {"ms": 5000})))
    fatal_error(trail, "ACTION_NOT_FOUND", bad["id"])


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (("nan", {}), "UNKNOWN_ERROR"),
        (("blob", {"characters": 262_144}), "RESOURCE_EXHAUSTED"),
        (("raise", {"type": "MemoryError"}), "RESOURCE_EXHAUSTED"),
    ],
    ids=["nan", "oversize", "out of memory"],
)
def test_a_result_that_cannot_be_kept_fails_its_step(
    system: Live, bad: tuple[str, dict[str, Any]], code: str
) -> None:
    """R22, R26, R27: fatal, whatever the policy."""
    broken = step(*bad, on_failure="skip")
    fatal_error(system.execute(submission(broken, step())), code, broken["id"])


def test_the_largest_result_of_a_step_is_kept(system: Live) -> None:
    """R22: max_step_result_bytes is a limit, not a length that already breaks it."""
    big = step("blob", {"characters": 262_142})
    text = system.execute(submission(big)).result.result_payload[big["id"]]
    assert len(text) == 262_144


def test_results_that_do_not_fit_together_fail_the_step_that_is_too_much(
    system: Live,
) -> None:
    """R22: RESOURCE_EXHAUSTED, fatal; what completed before is in the result."""
    steps = [step("blob", {"characters": 250_000}) for _ in range(30)]
    trail = system.execute(submission(*steps))
    error = trail.error
    fatal_error(trail, "RESOURCE_EXHAUSTED", error.step_id)
    assert 20 <= trail.result.steps_executed < 30
    assert len(trail.result.result_payload) == trail.result.steps_executed
    assert error.step_id not in trail.result.result_payload


# -- limits


def test_a_step_past_its_own_limit_is_a_fatal_timeout(
    system: Live, tmp_path: Path
) -> None:
    """R4, R10: STEP_TIMEOUT, fatal when it is not listed; the handler is cancelled."""
    told = tmp_path / "told"
    slow = step("linger", {"told": str(told)}, timeout_ms=300, on_failure="skip")
    trail = system.execute(submission(slow, step()))
    fatal_error(trail, "STEP_TIMEOUT", slow["id"])
    assert told.read_text() == "cancelled"
    (failed,) = trail.failed()
    assert_took(failed, 300)


def test_a_listed_step_timeout_is_retried(system: Live) -> None:
    """R4: severity error when STEP_TIMEOUT is listed, and so retryable."""
    policy = {"max_attempts": 2, "retryable_error_codes": ["STEP_TIMEOUT"]}
    slow = step("slow-at-first", timeout_ms=300, on_failure="retry")
    trail = system.execute(submission(slow, retry_policy=policy))
    assert trail.result.status is Status.SUCCESS
    assert trail.result.result_payload == {slow["id"]: "2"}
    (failed,) = trail.failed()
    assert failed.error.error_code == "STEP_TIMEOUT"


def test_a_listed_step_timeout_can_be_skipped(system: Live) -> None:
    """R4, R17: the recoverable STEP_TIMEOUT is the cause of STEP_SKIPPED."""
    policy = {"retryable_error_codes": ["STEP_TIMEOUT"]}
    slow = step("sleep", {"ms": 9000}, timeout_ms=200, on_failure="skip")
    trail = system.execute(submission(slow, step(), retry_policy=policy))
    assert trail.result.status is Status.PARTIAL
    cause = trail.error.cause
    assert cause is not None
    assert (cause.error_code, cause.severity) == ("STEP_TIMEOUT", Severity.ERROR)
    assert cause.recoverable


def test_a_plain_functions_timeout_is_hard(system: Live, tmp_path: Path) -> None:
    """§6.9: the process of a `def` handler that blocks is killed at its limit."""
    pid = tmp_path / "pid"
    slow = step("block", {"ms": 30_000, "pid": str(pid)}, timeout_ms=500)
    trail = system.execute(submission(slow))
    fatal_error(trail, "STEP_TIMEOUT", slow["id"])
    (failed,) = trail.failed()
    assert_took(failed, 500)

    async def is_alive() -> bool:
        try:
            os.kill(int(pid.read_text()), 0)
        except ProcessLookupError:
            return False
        return True

    system.run(eventually(is_alive, lambda alive: not alive, timeout=5))


def test_a_plain_function_runs_in_a_process_of_its_own(system: Live) -> None:
    """Several at once do not wait for each other, nor hold the worker's loop."""
    blocking = [step("block", {"ms": 700}) for _ in range(2)]
    trail = system.execute(submission(*blocking, *chain(5)))
    assert trail.result.status is Status.SUCCESS
    ran = [trail.succeeded()[each["id"]][0] for each in blocking]
    quick = [done[0] for done in trail.succeeded().values() if done[0] not in ran]
    assert max(each.ended_at for each in quick) < min(each.ended_at for each in ran)


def test_a_plain_function_fails_like_any_other(system: Live) -> None:
    """R6, R26, R27: models, warnings and errors pass between the processes."""
    good = step("plain", {"card": "c-1", "cents": 5})
    bad = step("plain", {"card": "unknown", "cents": 5}, on_failure="skip")
    trail = system.execute(submission(good, bad))
    assert json.loads(trail.result.result_payload[good["id"]])["card"] == "c-1"
    cause = trail.error.cause
    assert cause is not None
    assert (cause.error_code, cause.message) == ("NO_CARD", "unknown")
    assert context_of(cause)["pid"] not in (os.getpid(), None)
    assert [each.code for each in trail.audit.warnings].count("PLAIN") == 2
    misfit = step("plain", {"card": "c-1"})
    fatal_error(system.execute(submission(misfit)), "INVALID_PAYLOAD", misfit["id"])


def test_a_plain_function_that_takes_its_process_down_fails_alone(
    system: Live,
) -> None:
    """R6, R26: UNKNOWN_ERROR, fatal; the worker starts another process."""
    bad = step("die-alone", on_failure="skip")
    fatal_error(system.execute(submission(bad)), "UNKNOWN_ERROR", bad["id"])
    good = step("plain", {"card": "c-1", "cents": 5})
    assert system.execute(submission(good)).result.status is Status.SUCCESS


def test_a_frozen_worker_does_not_hold_a_step_past_its_limit(system: Live) -> None:
    """DESIGN §6: the coordinator holds an announced step's limit; no late outcome."""
    (worker,) = system.system.of("worker")
    slow = step("sleep", {"ms": 1500}, timeout_ms=1200)
    made = submission(slow)
    plan_id = made["plan"]["id"]

    async def freeze() -> Trail:
        await system.submit(made)
        await system.ledger.begun(plan_id)
        assert worker.process is not None
        os.kill(worker.process.pid, signal.SIGSTOP)
        try:
            return await system.ledger.ended(plan_id)
        finally:
            os.kill(worker.process.pid, signal.SIGCONT)

    trail = system.run(freeze())
    error = fatal_error(trail, "STEP_TIMEOUT", slow["id"])
    assert context_of(error)["timeout_ms"] == 1200
    assert system.execute(submission(step())).result.status is Status.SUCCESS


def test_a_plan_past_its_timeout_fails(system: Live, tmp_path: Path) -> None:
    """R10, R20, R31: PLAN_TIMEOUT from admission on, what it cut off in its context."""
    told = tmp_path / "told"
    done, slow = step(), step("linger", {"told": str(told)})
    waiting = step(after=(slow,))
    made = submission(done, slow, waiting, timeout_ms=700)
    trail = system.execute(made)
    error = fatal_error(trail, "PLAN_TIMEOUT", None)
    assert context_of(error)["in_flight"] == [{"step_id": slow["id"], "attempt": 1}]
    assert 700 <= trail.result.duration_ms < 700 + SLACK_MS
    assert trail.result.result_payload.keys() == {done["id"]}
    assert trail.audit.incomplete_steps == (slow["id"], waiting["id"])

    async def read() -> str:
        return told.read_text()

    system.run(eventually(read, lambda found: found == "cancelled", timeout=5))


def test_a_plan_past_its_deadline_fails(system: Live) -> None:
    """R10, R20: DEADLINE_EXCEEDED when the absolute limit is the earlier one."""
    slow = step("sleep", {"ms": 20_000})
    made = submission(slow)
    made["deadline_ms"] = now_ms() + 800
    made["started_at"] = made["deadline_ms"] - made["plan"]["timeout_ms"]
    trail = system.execute(made)
    error = fatal_error(trail, "DEADLINE_EXCEEDED", None)
    assert context_of(error)["in_flight"] == [{"step_id": slow["id"], "attempt": 1}]
    assert 0 <= trail.result.completed_at - made["deadline_ms"] < SLACK_MS


def test_a_backoff_does_not_outlast_a_limit(system: Live) -> None:
    """R31: the limit ends the plan while a step waits for its next attempt."""
    policy = {
        "max_attempts": 2,
        "backoff_ms": 50_000,
        "retryable_error_codes": ["FLAKY"],
    }
    bad = step("flaky", {"succeeds_at": 2}, on_failure="retry")
    made = submission(bad, retry_policy=policy, timeout_ms=600)
    trail = system.execute(made)
    fatal_error(trail, "PLAN_TIMEOUT", None)
    assert len(trail.failed()) == 1


def test_a_step_whose_queue_nobody_serves_waits_for_the_plans_limit(
    system: Live,
) -> None:
    """R23: no ACTION_NOT_FOUND without a step agent that says so."""
    made = submission(step("unserved"), step(), timeout_ms=600)
    trail = system.execute(made)
    fatal_error(trail, "PLAN_TIMEOUT", None)
    assert trail.result.steps_executed == 1


def test_long_attempts_are_announced_and_short_ones_are_not(system: Live) -> None:
    """DESIGN §6: StepStarted after 100 ms, so that a dead worker's limit is known."""
    short, long = step(), step("sleep", {"ms": 400})
    trail = system.execute(submission(short, long))
    started = [each for each in trail.outcomes if isinstance(each, StepStarted)]
    assert [each.step_id for each in started] == [long["id"]]
    assert started[0].elapsed_ms >= 100 - ROUNDING_MS


def test_waiting_in_a_queue_does_not_count_against_a_steps_limit(system: Live) -> None:
    """R10: the limit of a step runs from the start of its attempt."""
    steps = [step("sleep", {"ms": 300}, timeout_ms=900) for _ in range(300)]
    began = time.monotonic()
    trail = system.execute(submission(*steps))
    assert trail.result.status is Status.SUCCESS
    assert time.monotonic() - began > 1.2, "all ran at once: nothing has waited"


# -- always


def test_every_plan_has_one_result_one_audit_and_one_event(system: Live) -> None:
    """§5, I1: whatever the tests before this one submitted."""
    system.run(system.ledger.catch_up())
    assert len(system.ledger.trails) > 20
    for plan_id, trail in system.ledger.trails.items():
        counts = (len(trail.results), len(trail.audits), len(trail.events))
        assert counts == (1, 1, 1), plan_id
        assert trail.audit.outcome is trail.result.status is trail.event.status
        assert trail.event.error == trail.result.error
    assert not system.ledger.rejected


def test_tables_are_empty_but_for_the_registry(system: Live) -> None:
    """I7, U3: no rows of plans, steps or deadlines are left when all plans ended."""
    system.run(eventually(lambda: rows_left(system.system), lambda rows: not rows))
