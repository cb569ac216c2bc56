"""Every event in every state of a step: what counts, and what is late or a repeat."""

from collections.abc import Callable
from itertools import product

import pytest

from agents.core.commands import (
    ArmRetry,
    ArmStepLimit,
    Disarm,
    RequestStep,
    ReturnResult,
    SaveStep,
)
from agents.core.events import (
    Event,
    Failed,
    LimitFired,
    ParentEnded,
    RetryFired,
    Started,
    Succeeded,
    Warned,
)
from agents.core.folding import STEP_FOLDS, begin
from agents.core.recovery import row_fields
from agents.core.states import StepState
from schemas.commands import Limit
from tests.unit.core.plans import (
    ADMITTED_AT,
    Run,
    chain,
    error,
    of_type,
    retry,
    step,
    terms,
)

# Step 0 is led into the state; step 1 waits for nothing and keeps the plan open.
RETRY = retry(3, "CARD_DECLINED", backoff_ms=100)
STEP = 0


def waiting() -> Run:
    """The step waits for step 1."""
    return Run(terms(step(0, 1, timeout_ms=500), step(1)))


def requested() -> Run:
    """The step waits for nothing."""
    plan = terms(
        step(0, timeout_ms=500, on_failure="retry"), step(1), retry_policy=RETRY
    )
    return Run(plan)


def running() -> Run:
    """Its start was announced."""
    run = requested()
    run.start(STEP)
    return run


def backing_off() -> Run:
    """Its first attempt failed; the current attempt is the second."""
    run = running()
    run.fail(STEP)
    return run


def completed() -> Run:
    """It completed."""
    run = running()
    run.succeed(STEP)
    return run


def failed() -> Run:
    """It failed, and the plan goes on."""
    run = running()
    run.fail(STEP, error("NOT_LISTED"))
    return run


def skipped() -> Run:
    """It was passed over."""
    run = Run(terms(step(0, timeout_ms=500, on_failure="skip"), step(1)))
    run.fail(STEP)
    return run


STATES: dict[StepState, Callable[[], Run]] = {
    StepState.WAITING: waiting,
    StepState.REQUESTED: requested,
    StepState.RUNNING: running,
    StepState.BACKING_OFF: backing_off,
    StepState.COMPLETED: completed,
    StepState.FAILED: failed,
    StepState.SKIPPED: skipped,
}
EVENTS: dict[type[Event], Callable[[int], Event]] = {
    Started: lambda attempt: Started(STEP, attempt, "w2-7", 0),
    Warned: lambda attempt: Warned(STEP, attempt, "SLOW", "it is slow", 5),
    Succeeded: lambda attempt: Succeeded(STEP, attempt),
    Failed: lambda attempt: Failed(STEP, attempt, error()),
    LimitFired: lambda attempt: LimitFired(Limit.STEP_TIMEOUT, STEP, attempt),
    RetryFired: lambda attempt: RetryFired(STEP, attempt),
}
LATER = ADMITTED_AT + 10_000
PAIRS = list(product(STATES, EVENTS))


def snapshot(run: Run) -> tuple[object, ...]:
    """All that rows would hold, and what counters say."""
    progress = run.progress
    rows = [row_fields(progress, number, 0) for number in range(2)]
    counters = (progress.unfinished, progress.completed, list(progress.missing))
    return rows, counters, list(progress.failures), progress.state


@pytest.mark.parametrize("state", STATES)
def test_the_states_of_these_tests_are_what_they_say(state: StepState) -> None:
    """Else the tests below would prove nothing."""
    assert STATES[state]().progress.step_state(STEP) is state


@pytest.mark.parametrize(("state", "kind"), PAIRS)
def test_an_event_counts_where_the_table_says_so(
    state: StepState, kind: type[Event]
) -> None:
    """DESIGN §4: a pair that is not in the table changes nothing."""
    run = STATES[state]()
    before = snapshot(run)
    commands = run.fold(EVENTS[kind](run.progress.attempt(STEP)), LATER)
    counts = (state, kind) in STEP_FOLDS
    assert bool(commands) is counts
    assert (snapshot(run) != before) is counts


@pytest.mark.parametrize("offset", [-1, 1, 7])
@pytest.mark.parametrize(("state", "kind"), PAIRS)
def test_an_event_of_another_attempt_changes_nothing(
    state: StepState, kind: type[Event], offset: int
) -> None:
    """Refusals: a late or duplicate step outcome is ignored."""
    run = STATES[state]()
    before = snapshot(run)
    assert run.fold(EVENTS[kind](run.progress.attempt(STEP) + offset), LATER) == []
    assert snapshot(run) == before


@pytest.mark.parametrize(("state", "kind"), PAIRS)
def test_an_event_folded_twice_counts_once(state: StepState, kind: type[Event]) -> None:
    """STYLE 4: a repeat is not an error."""
    run = STATES[state]()
    event = EVENTS[kind](run.progress.attempt(STEP))
    run.fold(event, LATER)
    before = snapshot(run)
    assert run.fold(event, LATER) == []
    assert snapshot(run) == before


@pytest.mark.parametrize("kind", EVENTS)
def test_after_its_end_a_plan_takes_no_event(kind: type[Event]) -> None:
    """§5: a terminal execution is never resumed."""
    run = requested()
    run.limit(Limit.DEADLINE)
    before = snapshot(run)
    assert run.fold(EVENTS[kind](1), LATER) == []
    assert run.limit(Limit.PLAN_TIMEOUT) == []
    assert run.fold(ParentEnded(error())) == []
    assert snapshot(run) == before


def test_begin_requests_the_steps_that_wait_for_nothing_in_list_order() -> None:
    """R9: the order in `steps` breaks ties; a dependency may stand later."""
    run = Run(terms(step(0, 3), step(1), step(2, 1), step(3), step(4)))
    assert run.commands == [RequestStep(1, 1), RequestStep(3, 1), RequestStep(4, 1)]


def test_begin_twice_requests_once() -> None:
    """STYLE 4: every fold is safe to run twice."""
    run = Run(terms(step(0)))
    assert begin(run.progress, run.now) == []


def test_success_requests_the_steps_it_makes_ready_in_list_order() -> None:
    """R9; a step is requested when its last dependency completed, not before."""
    run = Run(terms(step(0), step(1, 0), step(2, 0, 3), step(3), step(4, 0)))
    assert run.succeed(0) == [SaveStep(0), RequestStep(1, 1), RequestStep(4, 1)]
    assert run.succeed(3) == [SaveStep(3), RequestStep(2, 1)]


def test_a_duplicate_dependency_counts_once() -> None:
    """R34: a duplicate entry in depends_on is accepted."""
    run = Run(terms(step(0), step(1, 0, 0)))
    assert run.succeed(0) == [SaveStep(0), RequestStep(1, 1)]


def test_a_first_request_writes_no_row() -> None:
    """DESIGN §4: folding an outcome writes one small row."""
    run = Run(terms(*chain(3)))
    assert of_type(run.succeed(0), SaveStep) == [SaveStep(0)]


def test_the_last_step_is_saved_before_the_plan_is_concluded() -> None:
    """Its row holds what it returned, which the result carries (R3)."""
    run = Run(terms(*chain(2)))
    commands = run.succeed(0, 1)
    assert commands[0] == SaveStep(1)
    assert ReturnResult() in commands


def test_an_announced_start_is_saved() -> None:
    """R29: starts are counted across crashes of the coordinator."""
    run = Run(terms(step(0)))
    assert run.start(0) == [SaveStep(0)]


def test_a_start_with_a_limit_arms_it_and_its_end_disarms() -> None:
    """R10: a step's timeout runs from the start of its attempt."""
    run = requested()
    assert [type(c) for c in run.start(STEP)] == [SaveStep, ArmStepLimit]
    assert run.succeed(STEP) == [Disarm(STEP), SaveStep(STEP)]


def test_a_backoff_replaces_an_armed_limit() -> None:
    """A step has one thing armed at most."""
    run = running()
    assert [type(c) for c in run.fail(STEP)] == [SaveStep, ArmRetry]
    assert run.retry_fires(STEP, 2) == [
        Disarm(STEP),
        SaveStep(STEP),
        RequestStep(STEP, 2),
    ]


def test_a_step_limit_without_its_step_means_nothing() -> None:
    """A command that names no step cannot be of one."""
    run = running()
    assert run.fold(LimitFired(Limit.STEP_TIMEOUT), LATER) == []
    assert run.progress.is_open


def test_a_child_is_known_while_the_attempt_that_named_it_runs() -> None:
    """DESIGN §8: an outcome counts only for an attempt that named this child."""
    run = requested()
    assert run.progress.child_of(STEP, 1) is None
    run.start(STEP, child="a-child")
    assert run.progress.child_of(STEP, 1) == "a-child"
    assert run.progress.child_of(STEP, 2) is None
    run.fail(STEP)
    assert run.progress.child_of(STEP, 1) is None
    assert run.progress.child_of(STEP, 2) is None


def test_warnings_are_saved_and_kept_within_bounds() -> None:
    """R6, R41: warnings enter the trace; a step cannot fill the audit alone."""
    run = requested()
    for number in range(60):
        run.fold(Warned(STEP, 1, "SLOW", f"warning {number}", number))
    assert len(run.progress.warnings()) == 50
    assert run.progress.warnings()[0] == (STEP, "SLOW", "warning 0", 0)


def test_all_warnings_of_a_plan_fit_into_its_audit() -> None:
    """R41: an audit record that is too large could never be published."""
    run = Run(terms(*[step(number) for number in range(12)]))
    for number in range(12):
        for each in range(50):
            run.fold(Warned(number, 1, "SLOW", f"warning {each}", each))
    assert len(run.progress.warnings()) == 500
    assert run.fold(Warned(11, 1, "SLOW", "one more", 1)) == []
