"""The tables of a step's and a plan's states."""

from itertools import product

import pytest

from agents.core.folding import STEP_FOLDS
from agents.core.states import (
    FINISHED,
    IN_FLIGHT,
    PLAN_TRANSITIONS,
    STEP_TRANSITIONS,
    PlanInput,
    PlanState,
    StepInput,
    StepState,
    mermaid,
    plan_mermaid,
)


def test_state_numbers_are_stored_and_never_change() -> None:
    """Rows hold these numbers (schemas.rows.StepRow)."""
    assert [(state.name, state.value) for state in StepState] == [
        ("WAITING", 0),
        ("REQUESTED", 1),
        ("RUNNING", 2),
        ("BACKING_OFF", 3),
        ("COMPLETED", 4),
        ("FAILED", 5),
        ("SKIPPED", 6),
    ]
    assert [state.value for state in PlanState] == [0, 1, 2, 3]


@pytest.mark.parametrize(("state", "cause"), list(product(FINISHED, StepInput)))
def test_nothing_leads_out_of_a_finished_step(
    state: StepState, cause: StepInput
) -> None:
    """A step completes, fails or is skipped once."""
    assert (state, cause) not in STEP_TRANSITIONS


@pytest.mark.parametrize(("state", "cause"), list(product(PlanState, PlanInput)))
def test_a_plan_ends_once(state: PlanState, cause: PlanInput) -> None:
    """§5: at most one terminal result, ever."""
    is_open = state is PlanState.OPEN
    assert ((state, cause) in PLAN_TRANSITIONS) is is_open


def test_a_step_completes_only_while_an_attempt_is_in_flight() -> None:
    """No step completes before it was requested."""
    sources = {
        source for (source, _), target in STEP_TRANSITIONS.items() if target in FINISHED
    }
    assert sources == IN_FLIGHT


def test_every_state_can_be_reached() -> None:
    """A state that nothing leads to would be a mistake in the table."""
    reached = {StepState.WAITING}
    for _ in StepState:
        reached |= {
            target
            for (source, _), target in STEP_TRANSITIONS.items()
            if source in reached
        }
    assert reached == set(StepState)


def test_events_count_only_where_a_transition_leads_on() -> None:
    """Each state in which events are folded has a way out of it."""
    sources = {source for source, _ in STEP_TRANSITIONS}
    assert {state for state, _ in STEP_FOLDS} == sources - {StepState.WAITING}


def test_the_diagram_of_a_step_shows_the_table() -> None:
    """The docs print it (STYLE: docs run)."""
    lines = mermaid().splitlines()
    assert lines[:2] == ["stateDiagram-v2", "    [*] --> WAITING"]
    for (source, cause), target in STEP_TRANSITIONS.items():
        assert f"    {source.name} --> {target.name}: {cause.value}" in lines
    ends = [line for line in lines if line.endswith("--> [*]")]
    assert len(ends) == len(FINISHED)
    assert len(lines) == 2 + len(STEP_TRANSITIONS) + len(FINISHED)


def test_the_diagram_of_a_plan_shows_its_three_ends() -> None:
    """§5.1, §5.2, §5.3."""
    diagram = plan_mermaid()
    for end in ("SUCCESS", "PARTIAL", "FAILURE"):
        assert f"    OPEN --> {end}: " in diagram
        assert f"    {end} --> [*]\n" in diagram
