"""The errors of steps and plans: what the coordinator finds, and how it is shown.

```text
halt (R5)        EXECUTION_HALTED ── cause: the step's own error
fatal (R5)       the step's own error
dependency (R18) DEPENDENCY_UNRESOLVED ── cause: the dependency's failure
nothing (R12)    EXECUTION_HALTED ── cause: the first failure
limit (R20)      PLAN_TIMEOUT or DEADLINE_EXCEEDED, with the attempts in flight
parent (R39)     EXECUTION_HALTED ── cause: the parent's error

a failure (R17)  failed:  the error of the last attempt, earlier ones in its context
                 skipped: STEP_SKIPPED ── cause: the step's own error
```
"""

from __future__ import annotations

from agents.core.progress import PlanProgress
from agents.core.states import StepState
from agents.core.terms import PlanTerms
from agents.core.traces import MAX_LISTED, bounded, with_list, with_number
from schemas.commands import Limit
from schemas.errors import (
    SEVERITIES,
    ErrorCode,
    ExecutionError,
    Severity,
    make_error,
    with_context,
    with_severity,
)


def classified(terms: PlanTerms, step: int, error: ExecutionError) -> ExecutionError:
    """The error of a step as it counts: step agents do not know the plan's policy.

    Its severity is the registry's (§4, R4), `recoverable` follows from it (§3.1), and
    it names its step. An error that says all this already is not touched (R5).
    """
    error = bounded(error)
    severity = _severity(terms, error)
    if error.severity is not severity:
        error = with_severity(error, severity)
    step_id = terms.step_ids[step]
    if error.step_id != step_id:
        error = error.model_copy(update={"step_id": step_id})
    return error


def _severity(terms: PlanTerms, error: ExecutionError) -> Severity:
    code, fatal = error.error_code, error.severity is Severity.FATAL
    if code == ErrorCode.STEP_TIMEOUT:
        fatal = code not in terms.retry.codes
    elif code in SEVERITIES:
        fatal = SEVERITIES[code] is Severity.FATAL
    return Severity.FATAL if fatal else Severity.ERROR


# -- how failed steps are shown


def shown(progress: PlanProgress, step: int) -> ExecutionError:
    """The failure of a failed or skipped step, as results show it (R17)."""
    notes = progress.notes[step]
    *earlier, error = notes.errors
    if earlier:
        error = with_list(error, "attempts", earlier)
    if notes.attempt - 1 > len(earlier):
        error = with_number(error, "attempts_total", notes.attempt - 1)
    if progress.states[step] == StepState.SKIPPED:
        return skipped(progress.terms.step_ids[step], error)
    return error


def skipped(step_id: str, error: ExecutionError) -> ExecutionError:
    """The warning that a failed step was passed over (R17)."""
    return make_error(
        ErrorCode.STEP_SKIPPED,
        f"step {step_id} was skipped: it failed with {error.error_code}",
        step_id=step_id,
        cause=error,
    )


def with_others(
    error: ExecutionError, progress: PlanProgress, but: int | None
) -> ExecutionError:
    """`error` with all step failures but one in its context (R11, R19)."""
    others = [step for step in progress.failures if step != but]
    if not others:
        return error
    listed = [shown(progress, step) for step in others[:MAX_LISTED]]
    error = with_list(error, "errors", listed)
    return with_number(error, "errors_total", len(others) + 1)


# -- what the coordinator finds at a step


def step_timed_out(terms: PlanTerms, step: int, attempt: int) -> ExecutionError:
    """The error of an attempt whose agent never told how it ended (R4)."""
    timeout_ms = terms.step_timeouts[step]
    return make_error(
        ErrorCode.STEP_TIMEOUT,
        f"attempt {attempt} ran past its timeout of {timeout_ms} ms",
        step_id=terms.step_ids[step],
        context={"attempt": attempt, "timeout_ms": timeout_ms},
    )


def delivered_too_often(
    terms: PlanTerms, step: int, attempt: int, delivery: int
) -> ExecutionError:
    """The error of an attempt under which worker after worker died (R29)."""
    return make_error(
        ErrorCode.UNKNOWN_ERROR,
        f"attempt {attempt} was started {delivery} times and never ended",
        step_id=terms.step_ids[step],
        context={"attempt": attempt, "delivery": delivery},
    )


def result_too_large(
    terms: PlanTerms, step: int, attempt: int, most: int
) -> ExecutionError:
    """The error of a step whose result does not fit into the plan's (R22)."""
    return make_error(
        ErrorCode.RESOURCE_EXHAUSTED,
        f"with this step's result the plan's would pass {most} bytes",
        step_id=terms.step_ids[step],
        context={"attempt": attempt, "max_result_bytes": most},
    )


# -- what ends a plan


def halted(error: ExecutionError) -> ExecutionError:
    """The plan's error when a step with the policy halt failed (R5)."""
    return make_error(
        ErrorCode.EXECUTION_HALTED,
        f"step {error.step_id} failed with {error.error_code} and its policy is halt",
        step_id=error.step_id,
        severity=Severity.FATAL,
        cause=error,
    )


def unresolved(progress: PlanProgress, failed: int) -> ExecutionError:
    """The plan's error when steps wait for one that will not complete (R8, R18)."""
    terms = progress.terms
    step_id = terms.step_ids[terms.dependants[failed][0]]
    return make_error(
        ErrorCode.DEPENDENCY_UNRESOLVED,
        f"step {step_id} cannot run: {terms.step_ids[failed]} did not complete",
        step_id=step_id,
        cause=shown(progress, failed),
    )


def nothing_completed(primary: ExecutionError) -> ExecutionError:
    """The plan's error when all of its steps failed or were skipped (R12)."""
    return make_error(
        ErrorCode.EXECUTION_HALTED,
        "no step completed",
        step_id=primary.step_id,
        severity=Severity.FATAL,
        cause=primary,
    )


def limit_passed(terms: PlanTerms, limit: Limit) -> ExecutionError:
    """The plan's error when its timeout or its deadline has passed (R20, R31)."""
    if limit is Limit.DEADLINE:
        return make_error(
            ErrorCode.DEADLINE_EXCEEDED, f"the deadline {terms.deadline_ms} passed"
        )
    return make_error(
        ErrorCode.PLAN_TIMEOUT,
        f"the plan ran past its timeout of {terms.timeout_ms} ms",
    )


def with_in_flight(error: ExecutionError, progress: PlanProgress) -> ExecutionError:
    """A passed limit's error with the attempts that it cuts off (R20)."""
    in_flight = [
        {"step_id": progress.terms.step_ids[step], "attempt": progress.attempt(step)}
        for step in progress.in_flight()
    ]
    return with_context(error, in_flight=in_flight)


def parent_ended(error: ExecutionError) -> ExecutionError:
    """The plan's error when its parent ended before it (R39)."""
    return make_error(
        ErrorCode.EXECUTION_HALTED,
        f"the parent plan ended with {error.error_code}",
        severity=Severity.FATAL,
        cause=bounded(error),
    )
