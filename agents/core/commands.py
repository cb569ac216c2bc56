"""What a fold wants done; the coordinator's shell carries it out, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from schemas.errors import ExecutionError
from schemas.events import EventName
from schemas.results import Status


@dataclass(frozen=True, slots=True)
class SaveStep:
    """Write the step's row anew (`agents.core.recovery.row_fields`)."""

    step: int


@dataclass(frozen=True, slots=True)
class RequestStep:
    """Ask the step agents for an attempt."""

    step: int
    attempt: int


@dataclass(frozen=True, slots=True)
class ArmStepLimit:
    """Fire STEP_TIMEOUT for this attempt when it is due.

    A step has one thing armed at most: arming replaces what was armed before.
    """

    step: int
    attempt: int
    due_at: int


@dataclass(frozen=True, slots=True)
class ArmRetry:
    """Fire the retry when the backoff is over; replaces what was armed before."""

    step: int
    attempt: int
    """The attempt that is to be made."""
    due_at: int


@dataclass(frozen=True, slots=True)
class Disarm:
    """Forget the step's limit or retry, fired or not."""

    step: int


@dataclass(frozen=True, slots=True)
class HaltSteps:
    """Tell all step agents that this execution wants no attempt any longer."""

    error_code: str


@dataclass(frozen=True, slots=True)
class HaltChild:
    """Tell a child plan that its parent has ended (R39, event `ParentEnded`)."""

    plan_id: str
    error: ExecutionError
    """The parent's."""


@dataclass(frozen=True, slots=True)
class PersistResult:
    """Keep the result (§3); `completed` are the steps whose results it carries (R3)."""

    status: Status
    completed_at: int
    duration_ms: int
    completed: tuple[int, ...]
    steps_total: int
    error: ExecutionError | None


@dataclass(frozen=True, slots=True)
class MarkRegistry:
    """Note in the registry how the plan ended (R14, U1)."""

    status: Status
    completed_at: int
    steps_executed: int
    steps_total: int
    error_code: str | None


@dataclass(frozen=True, slots=True)
class EmitEvent:
    """Queue the outcome event for after the commit (§5.0, R16)."""

    event: EventName
    at: int
    status: Status
    error: ExecutionError | None


@dataclass(frozen=True, slots=True)
class ReleaseResources:
    """Free what the execution holds: rows, timers, memory (U3)."""


@dataclass(frozen=True, slots=True)
class NotifyErrorHandler:
    """Hand the failure to the error handler, if one is configured (R42)."""


@dataclass(frozen=True, slots=True)
class ReturnResult:
    """Publish the result on the topic of its status."""


class ActionTaken(NamedTuple):
    """One of the ordered actions of §5, carried out."""

    number: int
    name: str
    at: int


class StepWarning(NamedTuple):
    """A warning in the execution's trace."""

    step: int
    code: str
    message: str
    at: int


@dataclass(frozen=True, slots=True)
class RecordAudit:
    """Publish which actions were carried out, and what was left undone (R41)."""

    outcome: Status
    actions: tuple[ActionTaken, ...]
    incomplete: tuple[int, ...]
    warnings: tuple[StepWarning, ...]


Command = (
    SaveStep
    | RequestStep
    | ArmStepLimit
    | ArmRetry
    | Disarm
    | HaltSteps
    | HaltChild
    | PersistResult
    | MarkRegistry
    | EmitEvent
    | ReleaseResources
    | NotifyErrorHandler
    | ReturnResult
    | RecordAudit
)
