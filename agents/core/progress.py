"""How far an open plan has come: small, mutable, one object a plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from agents.core.commands import StepWarning
from agents.core.states import (
    FINISHED,
    IN_FLIGHT,
    STEP_TRANSITIONS,
    PlanState,
    StepInput,
    StepState,
)
from agents.core.terms import PlanTerms
from schemas.errors import ExecutionError

FIRST_ATTEMPT: Final = 1
_STATES: Final = tuple(StepState)
"""By their numbers."""


@dataclass(slots=True)
class StepNotes:
    """What is worth keeping of a step that did not just run and complete.

    Attributes:
        attempt: the attempt that counts: the running one, the last, the one to come.
        failed_as: the place of its failure among the plan's, from 1; 0 when none.
        due_at: when its limit or its retry is due, 0 when nothing is armed.
        child_plan_id: the child plan that the running attempt has named (R39).
        starts: the announced starts of the running attempt (R29).
        errors: the errors of its attempts, in order.
        warnings: what its handlers reported, and STEP_SKIPPED.
    """

    attempt: int = FIRST_ATTEMPT
    failed_as: int = 0
    due_at: int = 0
    child_plan_id: str | None = None
    starts: tuple[str, ...] = ()
    errors: tuple[ExecutionError, ...] = ()
    warnings: tuple[StepWarning, ...] = ()

    def end_attempt(self) -> bool:
        """Forget what belongs to the running attempt; whether something was armed."""
        armed = self.due_at > 0
        self.due_at, self.child_plan_id, self.starts = 0, None, ()
        return armed


BLANK: Final = StepNotes()
"""The notes of a step that has none; not to be written into."""


class PlanProgress:
    """The running state of a plan; folds change it in place.

    Attributes:
        terms: the plan as the core sees it.
        admitted_at: when the pipeline admitted it, Unix ms (R10).
        state: OPEN until it has ended.
        states: a StepState a step.
        missing: how many dependencies of each step have not completed.
        unfinished: how many steps can still change.
        completed: how many steps completed.
        result_size: bytes of the completed steps' results, as far as told (R22).
        failures: failed and skipped steps in the order of their failures (R11).
        warned: how many warnings handlers reported.
        notes: of those steps that have some.
    """

    __slots__ = (
        "admitted_at",
        "completed",
        "failures",
        "missing",
        "notes",
        "result_size",
        "state",
        "states",
        "terms",
        "unfinished",
        "warned",
    )

    def __init__(self, terms: PlanTerms, admitted_at: int) -> None:
        total = terms.steps_total
        self.terms = terms
        self.admitted_at = admitted_at
        self.state = PlanState.OPEN
        self.states = bytearray(total)
        self.missing = [len(needed) for needed in terms.depends_on]
        self.unfinished = total
        self.completed = 0
        self.result_size = 0
        self.warned = 0
        self.failures: list[int] = []
        self.notes: dict[int, StepNotes] = {}

    # -- reading

    @property
    def is_open(self) -> bool:
        """Whether the plan has not ended."""
        return self.state is PlanState.OPEN

    def step_state(self, step: int) -> StepState:
        """Where a step stands."""
        return _STATES[self.states[step]]

    def attempt(self, step: int) -> int:
        """The attempt that counts: the running one, the last, or the one to come."""
        return self.look(step).attempt

    def numbered(self) -> Iterator[tuple[int, int]]:
        """Each step's number with its state."""
        return enumerate(list(self.states))  # a list: mypyc walks no bytearray

    def in_flight(self) -> Iterator[int]:
        """The steps of which an attempt is with a step agent, ascending."""
        return (step for step, state in self.numbered() if state in IN_FLIGHT)

    def completed_steps(self) -> tuple[int, ...]:
        """The steps whose results count, ascending (R3)."""
        done = StepState.COMPLETED
        return tuple([step for step, state in self.numbered() if state == done])

    def incomplete_steps(self) -> tuple[int, ...]:
        """The steps that did not complete, ascending."""
        done = StepState.COMPLETED
        return tuple([step for step, state in self.numbered() if state != done])

    def warnings(self) -> tuple[StepWarning, ...]:
        """The warnings in the plan's trace, by step (R6, R41)."""
        noted = sorted(self.notes.items())
        return tuple([warning for _, notes in noted for warning in notes.warnings])

    def child_of(self, step: int, attempt: int) -> str | None:
        """The child plan that this running attempt has named (R39)."""
        notes = self.look(step)
        return notes.child_plan_id if notes.attempt == attempt else None

    def children(self) -> tuple[str, ...]:
        """The child plans of the running attempts, by step."""
        noted = sorted(self.notes.items())
        named = [notes.child_plan_id for _, notes in noted]
        return tuple([child for child in named if child is not None])

    def look(self, step: int) -> StepNotes:
        """The notes of a step, to be read only."""
        return self.notes.get(step, BLANK)

    # -- changing

    def note(self, step: int) -> StepNotes:
        """The notes of a step, to be written into."""
        return self.notes.setdefault(step, StepNotes())

    def move(self, step: int, cause: StepInput) -> None:
        """Lead a step to its next state.

        Raises:
            KeyError: nothing of the kind can happen to a step in this state.
        """
        state = STEP_TRANSITIONS[self.step_state(step), cause]
        self.states[step] = state
        if state in FINISHED:
            self.unfinished -= 1

    def complete(self, step: int) -> list[int]:
        """Complete a step; the steps that are ready by it, ascending (R9)."""
        self.move(step, StepInput.SUCCEEDED)
        self.completed += 1
        if step in self.notes:
            self.notes[step].errors = ()
        return self.release(step)

    def release(self, step: int) -> list[int]:
        """Count a completed step off its dependants; those that are ready by it."""
        ready = []
        for dependant in self.terms.dependants[step]:
            self.missing[dependant] -= 1
            if not self.missing[dependant]:
                ready.append(dependant)
        return ready

    def fail(self, step: int, cause: StepInput) -> None:
        """Let a step end without completing, as the latest failure of the plan."""
        self.move(step, cause)
        self.failures.append(step)
        self.note(step).failed_as = len(self.failures)

    def end_attempt(self, step: int) -> bool:
        """Forget what belongs to the current attempt; whether something was armed."""
        notes = self.notes.get(step)
        return False if notes is None else notes.end_attempt()
