"""What a fold wants done; the coordinator's shell carries it out, in order.

None of it is changed once it is made. What comes with every plan has an `__init__` of
its own, which sets final attributes: that of a frozen dataclass takes four times as
long, and seventeen times where this is compiled. That nobody sets them again is checked
by mypy, and by Python itself only where this is compiled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from schemas.errors import ExecutionError
from schemas.events import EventName
from schemas.results import Status


@dataclass(init=False, unsafe_hash=True, slots=True)
class SaveStep:
    """Write the step's row anew (`agents.core.recovery.row_fields`)."""

    step: Final[int]

    def __init__(self, step: int) -> None:
        self.step = step


@dataclass(init=False, unsafe_hash=True, slots=True)
class RequestStep:
    """Ask the step agents for an attempt."""

    step: Final[int]
    attempt: Final[int]

    def __init__(self, step: int, attempt: int) -> None:
        self.step = step
        self.attempt = attempt


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


@dataclass(init=False, unsafe_hash=True, slots=True)
class PersistResult:
    """Keep the result (§3); `completed` are the steps whose results it carries (R3)."""

    status: Final[Status]
    completed_at: Final[int]
    duration_ms: Final[int]
    completed: Final[tuple[int, ...]]
    steps_total: Final[int]
    error: Final[ExecutionError | None]

    def __init__(
        self,
        status: Status,
        completed_at: int,
        duration_ms: int,
        completed: tuple[int, ...],
        steps_total: int,
        error: ExecutionError | None,
    ) -> None:
        self.status = status
        self.completed_at = completed_at
        self.duration_ms = duration_ms
        self.completed = completed
        self.steps_total = steps_total
        self.error = error


@dataclass(init=False, unsafe_hash=True, slots=True)
class MarkRegistry:
    """Note in the registry how the plan ended (R14, U1)."""

    status: Final[Status]
    completed_at: Final[int]
    steps_executed: Final[int]
    steps_total: Final[int]
    error_code: Final[str | None]

    def __init__(
        self,
        status: Status,
        completed_at: int,
        steps_executed: int,
        steps_total: int,
        error_code: str | None,
    ) -> None:
        self.status = status
        self.completed_at = completed_at
        self.steps_executed = steps_executed
        self.steps_total = steps_total
        self.error_code = error_code


@dataclass(init=False, unsafe_hash=True, slots=True)
class EmitEvent:
    """Queue the outcome event for after the commit (§5.0, R16)."""

    event: Final[EventName]
    at: Final[int]
    status: Final[Status]
    error: Final[ExecutionError | None]

    def __init__(
        self, event: EventName, at: int, status: Status, error: ExecutionError | None
    ) -> None:
        self.event = event
        self.at = at
        self.status = status
        self.error = error


@dataclass(frozen=True, slots=True)
class ReleaseResources:
    """Free what the execution holds: rows, timers, memory (U3)."""


@dataclass(frozen=True, slots=True)
class NotifyErrorHandler:
    """Hand the failure to the error handler, if one is configured (R42)."""


@dataclass(frozen=True, slots=True)
class ReturnResult:
    """Publish the result on the topic of its status."""


@dataclass(init=False, unsafe_hash=True, slots=True)
class ActionTaken:
    """One of the ordered actions of §5, carried out."""

    number: Final[int]
    name: Final[str]
    at: Final[int]

    def __init__(self, number: int, name: str, at: int) -> None:
        self.number = number
        self.name = name
        self.at = at


class StepWarning(NamedTuple):
    """A warning in the execution's trace."""

    step: int
    code: str
    message: str
    at: int


@dataclass(init=False, unsafe_hash=True, slots=True)
class RecordAudit:
    """Publish which actions were carried out, and what was left undone (R41)."""

    outcome: Final[Status]
    actions: Final[tuple[ActionTaken, ...]]
    incomplete: Final[tuple[int, ...]]
    warnings: Final[tuple[StepWarning, ...]]

    def __init__(
        self,
        outcome: Status,
        actions: tuple[ActionTaken, ...],
        incomplete: tuple[int, ...],
        warnings: tuple[StepWarning, ...],
    ) -> None:
        self.outcome = outcome
        self.actions = actions
        self.incomplete = incomplete
        self.warnings = warnings


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
