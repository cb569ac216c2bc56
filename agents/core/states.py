"""The states of a step and of a plan, and the tables that lead from one to the next.

A pair that is not in `STEP_TRANSITIONS` cannot happen: events that would need it are
repeats or latecomers, and are stopped before (`agents.core.folding`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum, StrEnum
from typing import Final, TypeVar


class StepState(IntEnum):
    """Where a step stands; the numbers are stored, so they never change."""

    WAITING = 0
    """For its dependencies."""
    REQUESTED = 1
    """A step agent was asked; nothing was heard yet."""
    RUNNING = 2
    """The start of the attempt was announced."""
    BACKING_OFF = 3
    """Waits to be tried again; its attempt number is that of the attempt to come."""
    COMPLETED = 4
    FAILED = 5
    SKIPPED = 6


class PlanState(IntEnum):
    """Where a plan stands; every state but OPEN is final (§5)."""

    OPEN = 0
    SUCCESS = 1
    PARTIAL = 2
    FAILURE = 3


class StepInput(StrEnum):
    """What can happen to a step, after the policies were applied."""

    READY = "dependencies completed"
    STARTED = "start announced"
    WARNED = "warning"
    SUCCEEDED = "succeeded"
    RETRY_NOW = "failed, retried at once"
    RETRY_LATER = "failed, retried after a backoff"
    BACKOFF_OVER = "backoff over"
    GIVEN_UP = "failed, the plan goes on"
    PASSED_OVER = "failed, skipped"
    STOPPING = "failed, the plan stops"


class PlanInput(StrEnum):
    """What can end a plan."""

    ALL_COMPLETED = "all steps completed"
    SOME_COMPLETED = "some steps failed or were skipped"
    NONE_COMPLETED = "no step completed"
    STOPPED = "fatal error, halt or limit"


STEP_TRANSITIONS: Final[Mapping[tuple[StepState, StepInput], StepState]] = {
    (StepState.WAITING, StepInput.READY): StepState.REQUESTED,
    (StepState.REQUESTED, StepInput.STARTED): StepState.RUNNING,
    (StepState.REQUESTED, StepInput.WARNED): StepState.REQUESTED,
    (StepState.REQUESTED, StepInput.SUCCEEDED): StepState.COMPLETED,
    (StepState.REQUESTED, StepInput.RETRY_NOW): StepState.REQUESTED,
    (StepState.REQUESTED, StepInput.RETRY_LATER): StepState.BACKING_OFF,
    (StepState.REQUESTED, StepInput.GIVEN_UP): StepState.FAILED,
    (StepState.REQUESTED, StepInput.PASSED_OVER): StepState.SKIPPED,
    (StepState.REQUESTED, StepInput.STOPPING): StepState.FAILED,
    (StepState.RUNNING, StepInput.STARTED): StepState.RUNNING,
    (StepState.RUNNING, StepInput.WARNED): StepState.RUNNING,
    (StepState.RUNNING, StepInput.SUCCEEDED): StepState.COMPLETED,
    (StepState.RUNNING, StepInput.RETRY_NOW): StepState.REQUESTED,
    (StepState.RUNNING, StepInput.RETRY_LATER): StepState.BACKING_OFF,
    (StepState.RUNNING, StepInput.GIVEN_UP): StepState.FAILED,
    (StepState.RUNNING, StepInput.PASSED_OVER): StepState.SKIPPED,
    (StepState.RUNNING, StepInput.STOPPING): StepState.FAILED,
    (StepState.BACKING_OFF, StepInput.BACKOFF_OVER): StepState.REQUESTED,
}
"""What becomes of a step (rules 1–4 under "Retry, skip, halt" of §4)."""

PLAN_TRANSITIONS: Final[Mapping[tuple[PlanState, PlanInput], PlanState]] = {
    (PlanState.OPEN, PlanInput.ALL_COMPLETED): PlanState.SUCCESS,
    (PlanState.OPEN, PlanInput.SOME_COMPLETED): PlanState.PARTIAL,
    (PlanState.OPEN, PlanInput.NONE_COMPLETED): PlanState.FAILURE,
    (PlanState.OPEN, PlanInput.STOPPED): PlanState.FAILURE,
}
"""How a plan ends (§5.1, §5.2, §5.3, R12); once, as nothing leads out of an end."""

IN_FLIGHT: Final = frozenset({StepState.REQUESTED, StepState.RUNNING})
"""An attempt of the step is with a step agent, or on its way there."""

FINISHED: Final = frozenset({StepState.COMPLETED, StepState.FAILED, StepState.SKIPPED})
"""The step will not change any more."""


def mermaid() -> str:
    """The life of a step as a Mermaid state diagram."""
    return _diagram(STEP_TRANSITIONS, StepState.WAITING)


def plan_mermaid() -> str:
    """The life of a plan as a Mermaid state diagram."""
    return _diagram(PLAN_TRANSITIONS, PlanState.OPEN)


_State = TypeVar("_State", bound=IntEnum)
_Input = TypeVar("_Input", bound=StrEnum)


def _diagram(table: Mapping[tuple[_State, _Input], _State], start: _State) -> str:
    lines = ["stateDiagram-v2", f"    [*] --> {start.name}"]
    lines += [
        f"    {source.name} --> {target.name}: {cause}"
        for (source, cause), target in table.items()
    ]
    lines += [f"    {end} --> [*]" for end in _ends(table)]
    return "\n".join(lines) + "\n"


def _ends(table: Mapping[tuple[_State, _Input], _State]) -> Iterator[str]:
    sources = {source for source, _ in table}
    targets = dict.fromkeys(table.values())
    return (target.name for target in targets if target not in sources)
