"""What can be folded into a plan's progress.

A step is named by its number, its place in the plan's list. Whoever makes an event has
checked that plan, execution and step are the ones meant (`PlanTerms.has_step`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from schemas.commands import Limit
from schemas.errors import ExecutionError


@dataclass(frozen=True, slots=True)
class Started:
    """A step agent announces that it runs an attempt (R29)."""

    step: int
    attempt: int
    start_id: str
    elapsed_ms: int
    """How long the attempt had been running when it was announced."""
    child_plan_id: str | None = None


@dataclass(init=False, unsafe_hash=True, slots=True)
class Succeeded:
    """An attempt completed."""

    step: Final[int]
    attempt: Final[int]
    size: Final[int]
    """Bytes that the step's result adds to the plan's (R22); 0 is not looked at."""

    def __init__(self, step: int, attempt: int, size: int = 0) -> None:
        self.step = step
        self.attempt = attempt
        self.size = size


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt failed."""

    step: int
    attempt: int
    error: ExecutionError


@dataclass(frozen=True, slots=True)
class Warned:
    """A handler reported a warning without failing (R6)."""

    step: int
    attempt: int
    code: str
    message: str
    at: int


@dataclass(frozen=True, slots=True)
class LimitFired:
    """A limit is due: of a step's attempt, or of the plan (no step, no attempt)."""

    limit: Limit
    step: int | None = None
    attempt: int | None = None


@dataclass(frozen=True, slots=True)
class RetryFired:
    """A backoff is over."""

    step: int
    attempt: int
    """The attempt that is to be made."""


@dataclass(frozen=True, slots=True)
class ParentEnded:
    """The plan whose step started this one has ended first (R39)."""

    error: ExecutionError
    """The parent's."""


Event = Started | Succeeded | Failed | Warned | LimitFired | RetryFired | ParentEnded
