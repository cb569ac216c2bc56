"""Which end a plan comes to, and the conclusion that is drawn from it (§5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from agents.core.actions import ACTIONS, NOT_LISTED
from agents.core.commands import ActionTaken, Command, RecordAudit
from agents.core.ending import Ending
from agents.core.progress import PlanProgress
from agents.core.states import PLAN_TRANSITIONS, PlanInput, PlanState
from schemas.errors import ExecutionError
from schemas.results import Status

CLASSES: Final[Mapping[tuple[bool, bool], PlanInput]] = {
    (True, False): PlanInput.ALL_COMPLETED,
    (True, True): PlanInput.SOME_COMPLETED,
    (False, True): PlanInput.NONE_COMPLETED,
}
"""What a plan is whose steps are all finished: has one completed, has one failed?"""

STATUSES: Final[Mapping[PlanState, Status]] = {
    PlanState.SUCCESS: Status.SUCCESS,
    PlanState.PARTIAL: Status.PARTIAL,
    PlanState.FAILURE: Status.FAILURE,
}


def finish(progress: PlanProgress, now: int) -> list[Command]:
    """Conclude a plan of which no step can change any more (§5.1, §5.2, R12)."""
    cause = CLASSES[progress.completed > 0, bool(progress.failures)]
    return _conclude(progress, _ending(progress, now), cause)


def stop(
    progress: PlanProgress, error: ExecutionError, now: int, failed: int | None
) -> list[Command]:
    """Conclude a plan that a fatal error stops (§5.3).

    Args:
        progress: how far the plan came.
        error: the plan's error.
        now: the coordinator's clock, Unix ms.
        failed: the step whose failure the error stands for, if any.
    """
    ending = _ending(progress, now)
    ending.cause, ending.failed = error, failed
    return _conclude(progress, ending, PlanInput.STOPPED)


def refuse(
    error: ExecutionError, steps_total: int, started_at: int | None, now: int
) -> list[Command]:
    """Conclude a plan that is refused at admission (§5.3, R32, R35).

    Args:
        error: what is wrong with it.
        steps_total: how many steps it lists, as far as that can be told, else 0.
        started_at: its own, when that is valid; else it started at its admission.
        now: the coordinator's clock, Unix ms.
    """
    start = now if started_at is None else started_at
    return _carry_out(Ending(now, start, steps_total, None, error), Status.FAILURE)


def _ending(progress: PlanProgress, now: int) -> Ending:
    terms = progress.terms
    return Ending(now, terms.started_at, terms.steps_total, progress)


def _conclude(
    progress: PlanProgress, ending: Ending, cause: PlanInput
) -> list[Command]:
    progress.state = PLAN_TRANSITIONS[progress.state, cause]
    return _carry_out(ending, STATUSES[progress.state])


def _carry_out(ending: Ending, status: Status) -> list[Command]:
    taken = []
    for number, name, carry_out in ACTIONS[status]:
        carry_out(ending)
        taken.append(ActionTaken(number, name, ending.now))
    for needed in NOT_LISTED[status]:
        needed(ending)
    ending.commands.append(_audit(ending, tuple(taken)))
    return ending.commands


def _audit(ending: Ending, taken: tuple[ActionTaken, ...]) -> RecordAudit:
    progress = ending.progress
    warnings = () if progress is None else progress.warnings()
    return RecordAudit(ending.settled, taken, ending.incomplete, warnings)
