"""Rows of steps: what is written, and what is read back after a crash."""

from typing import Any

import pytest

from agents.core.commands import ArmStepLimit, RequestStep, SaveStep
from agents.core.events import Succeeded, Warned
from agents.core.folding import Bounds
from agents.core.progress import PlanProgress
from agents.core.recovery import restore, row_fields
from agents.core.states import StepState
from schemas.codec import decode_row, encode_row
from schemas.commands import Limit
from schemas.results import Status
from schemas.rows import StepRow
from tests.unit.core.plans import ADMITTED_AT, Run, error, of_type, retry, step, terms

RETRY = retry(3, "CARD_DECLINED", backoff_ms=100)


def stored(run: Run) -> dict[int, dict[str, Any]]:
    """The rows that a run has written, through the bytes of the changelog."""
    rows = {}
    for number in {saved.step for saved in of_type(run.commands, SaveStep)}:
        fields = row_fields(run.progress, number, run.now) | {"result": None}
        rows[number] = dict(decode_row(StepRow, encode_row(StepRow, fields)))
    return rows


def recover(run: Run, result_size: int = 0) -> Run:
    """The run after a crash of its coordinator, all of it committed."""
    restored = restore(run.terms, ADMITTED_AT, stored(run).items(), result_size)
    run.progress, run.commands = restored, []
    return run


def view(progress: PlanProgress) -> dict[str, Any]:
    """All that decides what a plan does next."""
    return {
        "rows": [row_fields(progress, n, 0) for n in range(progress.terms.steps_total)],
        "missing": progress.missing,
        "counts": (progress.unfinished, progress.completed, progress.warned),
        "failures": progress.failures,
        "state": progress.state,
    }


def busy() -> Run:
    """A plan with a step in each state that can be."""
    run = Run(
        terms(
            step(0),
            step(1, 0),
            step(2, timeout_ms=900),
            step(3, on_failure="retry"),
            step(4, on_failure="skip"),
            step(5, on_failure="retry"),
            step(6, 1, 2),
            step(7, on_failure="retry"),
            retry_policy=RETRY,
        )
    )
    run.fail(5, error("UNLISTED", worker="w"))
    run.succeed(0)
    run.start(2, "w1-1", child="a-child")
    run.start(2, "w2-1")
    run.fail(3, error(attempt=1))
    run.fail(4)
    run.fold(Warned(2, 1, "SLOW", "took its time", 77))
    run.fail(7)
    run.retry_fires(7, 2)
    return run


def test_the_busy_plan_has_a_step_in_every_state() -> None:
    """Else the tests below would show little."""
    assert set(busy().progress.states) == set(StepState)


def test_progress_survives_its_rows() -> None:
    """R15: an execution in progress survives the crash of a worker."""
    run = busy()
    before = view(run.progress)
    assert view(recover(run).progress) == before


def test_a_step_without_a_row_follows_from_its_dependencies() -> None:
    """A first request writes no row: it is known from those before it."""
    run = recover(busy())
    assert run.progress.step_state(1) is StepState.REQUESTED
    assert run.progress.step_state(6) is StepState.WAITING
    assert run.succeed(2) == [*run.commands[:1], SaveStep(2)]
    assert run.succeed(1) == [SaveStep(1), RequestStep(6, 1)]


def test_a_plan_without_any_row_is_as_it_was_begun() -> None:
    """A crash right after the admission."""
    run = Run(terms(step(0), step(1, 0)))
    before = view(run.progress)
    assert view(recover(run).progress) == before


def test_failures_keep_their_order() -> None:
    """R11: the order in which they were folded, not that of the list."""
    run = recover(busy())
    assert run.progress.failures == [5, 4]
    run.succeed(1, 2)
    run.succeed(6)
    run.succeed(7, attempt=2)
    run.retry_fires(3, 2)
    run.succeed(3, attempt=2)
    assert run.result.status is Status.PARTIAL
    assert run.failure.error_code == "UNLISTED"


def test_starts_are_still_counted() -> None:
    """R29: a step that kills its worker cannot live on by killing the coordinator."""
    run = recover(busy())
    run.bounds = Bounds(max_deliveries=2)
    assert run.start(2, "w2-1") == []
    run.start(2, "w3-1")
    assert run.failure.error_code == "UNKNOWN_ERROR"


def test_an_armed_limit_is_still_known() -> None:
    """F10: limits hold across a crash."""
    run = busy()
    (*_, armed) = of_type(run.commands, ArmStepLimit)
    run = recover(run)
    run.step_limit(2, armed.due_at)
    assert run.failure.error_code == "STEP_TIMEOUT"


def test_a_child_is_still_known() -> None:
    """R39."""
    assert recover(busy()).progress.child_of(2, 1) == "a-child"


def test_attempts_and_their_errors_are_still_known() -> None:
    """R17: earlier errors of a step that fails after the crash."""
    run = recover(busy())
    run.retry_fires(3, 2)
    run.fail(3, error("UNLISTED"), attempt=2)
    run.limit(Limit.DEADLINE)
    assert '"attempts":[{"error_code":"CARD_DECLINED"' in run.failure.context


def test_results_still_count_towards_their_limit() -> None:
    """R22: the shell tells how large the completed steps' results are."""
    run = Run(terms(step(0), step(1)), Bounds(max_result_bytes=100))
    run.fold(Succeeded(0, 1, 60))
    run = recover(run, result_size=60)
    run.fold(Succeeded(1, 1, 60))
    assert run.failure.error_code == "RESOURCE_EXHAUSTED"


def test_warnings_still_count_towards_their_limit() -> None:
    """Skips are not counted: there is one a step at most."""
    run = recover(busy())
    assert run.progress.warned == 1


@pytest.mark.parametrize("nested", ["models", "fields"])
def test_errors_may_be_models_or_fields(nested: str) -> None:
    """The shell has fields from the codec, and models from a fold."""
    run = busy()
    rows = {n: row_fields(run.progress, n, 0) for n in stored(run)}
    if nested == "fields":
        for row in rows.values():
            row["errors"] = [each.model_dump() for each in row["errors"]]
    assert view(restore(run.terms, 0, rows.items())) == view(run.progress)


def test_a_step_that_succeeded_at_last_keeps_no_errors() -> None:
    """Nothing shows them any more; its row is small."""
    run = busy()
    run.succeed(7, attempt=2)
    fields = row_fields(run.progress, 7, 0)
    assert (fields["attempt"], fields["errors"]) == (2, ())


def test_a_row_is_complete_but_for_the_result() -> None:
    """The core never sees what a step returned (§6.16)."""
    fields = row_fields(busy().progress, 2, 123)
    assert StepRow.model_fields.keys() - fields.keys() == {"result"}
    assert fields["changed_at"] == 123
