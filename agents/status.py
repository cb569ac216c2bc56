"""What is known of a plan in a partition, for whoever asks (U1, U3).

All of it comes from the tables and the open plans as they are between two folds;
nothing is changed, sent or stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agents.core.deadlines import plan_limit
from agents.core.progress import PlanProgress, StepNotes
from agents.core.states import FINISHED, IN_FLIGHT, StepState
from agents.tables import PLAN_ITSELF, Tables, plan_id_of, plan_key, step_key
from schemas import codec
from schemas.rows import PlanRow, RegistryRow
from schemas.status import (
    EndedPlan,
    Holdings,
    RunningPlan,
    StepPhase,
    StepStatus,
    WaitsFor,
)

if TYPE_CHECKING:
    from agents.coordinator import PartitionState
    from agents.open_plans import OpenPlan

SHOWN_DEPENDENCIES: Final = 8
"""How many missing dependencies a step names: a plan of 1024 steps has 500,000."""
HEAD_BYTES: Final = 64
"""Rows of the tables plans and registry have the execution id within these."""
PORTION: Final = 10_000
"""Rows of the registry that are looked at before others have their turn."""

PHASES: Final = {state: StepPhase(state.name.lower()) for state in StepState}
WAITS: Final = {
    StepState.WAITING: WaitsFor.DEPENDENCIES,
    StepState.REQUESTED: WaitsFor.WORKER,
    StepState.RUNNING: WaitsFor.OUTCOME,
    StepState.BACKING_OFF: WaitsFor.RETRY,
    **dict.fromkeys(FINISHED, WaitsFor.NOTHING),
}


@dataclass(frozen=True, slots=True)
class View:
    """A plan as it is at one moment; neither running nor ended when it is unknown."""

    running: RunningPlan | None
    ended: EndedPlan | None
    holdings: Holdings


def view(state: PartitionState, key: bytes) -> View:
    """What is known of the plan of a key; O(steps + edges)."""
    plan, row = state.open_plan(key), state.tables.registry.get(key)
    ended = None if row is None else _ended(key, row)
    running = None if plan is None else _running(plan)
    return View(running, ended, _holdings(state.tables, key, plan, ended))


def open_keys(tables: Tables, asked_for: str) -> Iterator[bytes]:
    """The plan key that an id is, if it is used, and of open plans that execution's.

    An execution id of two plans is a submitter's mistake; any of them is told.
    """
    key = plan_key(asked_for)
    if tables.knows(key) or key in tables.orphans:
        yield key
    for each, row in tables.plans.items():
        if _is_of(row, asked_for) and _execution(PlanRow, row) == asked_for:
            yield each


def ended_keys(tables: Tables, asked_for: str) -> Iterator[bytes | None]:
    """The keys of ended plans of an execution; None after each portion of rows.

    The registry may hold millions, so others have their turn in between. The rows are
    those of when the search begins: folds may go on meanwhile.
    """
    rows = list(tables.registry.items())
    for number, (key, row) in enumerate(rows, start=1):
        if _is_of(row, asked_for) and _execution(RegistryRow, row) == asked_for:
            yield key
        if number % PORTION == 0:
            yield None


def _is_of(row: bytes, execution_id: str) -> bool:
    """Whether a row may be of an execution, without decoding it."""
    return execution_id.encode() in row[:HEAD_BYTES]


def _execution(model: type[PlanRow | RegistryRow], row: bytes) -> str:
    execution_id: str = codec.decode_row(model, row)["execution_id"]
    return execution_id


def _ended(key: bytes, row: bytes) -> EndedPlan:
    fields = codec.decode_row(RegistryRow, row)
    return EndedPlan.model_validate({"plan_id": plan_id_of(key), **fields})


def _running(plan: OpenPlan) -> RunningPlan:
    progress, terms, parent = plan.progress, plan.terms, plan.execution.parent
    limit, _ = plan_limit(terms, progress.admitted_at)
    return RunningPlan(
        plan_id=terms.plan_id,
        execution_id=terms.execution_id,
        parent_plan_id=None if parent is None else parent.plan_id,
        admitted_at=progress.admitted_at,
        ends_at=plan.ends_at,
        limit=limit,
        steps_total=terms.steps_total,
        steps_completed=progress.completed,
        steps=tuple([_step(plan, number) for number in range(terms.steps_total)]),
    )


def _step(plan: OpenPlan, number: int) -> StepStatus:
    progress = plan.progress
    state, notes = progress.step_state(number), progress.look(number)
    waits_for = WAITS[state] if notes.child_plan_id is None else WaitsFor.CHILD
    waits = waits_for is not WaitsFor.NOTHING
    missing = _missing(progress, number) if state is StepState.WAITING else ()
    return StepStatus(
        step_id=plan.terms.step_ids[number],
        action=plan.actions[number],
        state=PHASES[state],
        attempt=notes.attempt,
        waits_for=waits_for,
        waits_until=(notes.due_at or plan.ends_at) if waits else None,
        dependencies_missing=progress.missing[number],
        missing=missing,
        child_plan_id=notes.child_plan_id,
        error_code=_last_error(notes),
    )


def _missing(progress: PlanProgress, number: int) -> tuple[str, ...]:
    terms = progress.terms
    needed = [
        each
        for each in terms.depends_on[number]
        if progress.step_state(each) is not StepState.COMPLETED
    ]
    return tuple([terms.step_ids[each] for each in needed[:SHOWN_DEPENDENCIES]])


def _last_error(notes: StepNotes) -> str | None:
    return str(notes.errors[-1].error_code) if notes.errors else None


def _holdings(
    tables: Tables, key: bytes, plan: OpenPlan | None, ended: EndedPlan | None
) -> Holdings:
    """What an execution holds (U3).

    Whose child an ended plan was is remembered as long as its row in the registry, and
    for the same reason: it is part of what tells that the plan has ended.
    """
    total = plan.terms.steps_total if plan else ended.steps_total if ended else 0
    keys = [step_key(key, number) for number in (*range(total), PLAN_ITSELF)]
    return Holdings(
        rows=(key in tables.plans)
        + sum(each in tables.steps for each in keys)
        + (key in tables.children and ended is None)
        + (key in tables.orphans),
        timers=sum(each in tables.deadlines for each in keys),
        pending_requests=_in_flight(plan),
    )


def _in_flight(plan: OpenPlan | None) -> int:
    return (
        0 if plan is None else sum(each in IN_FLIGHT for each in plan.progress.states)
    )
