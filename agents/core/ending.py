"""A plan's end in the making: what the actions of §5 work on."""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.core.commands import Command
from agents.core.progress import PlanProgress
from schemas.errors import ExecutionError
from schemas.results import Status


class RuleBroken(Exception):
    """A check among the actions of §5 failed: a bug of ours, never a plan's fault.

    Attributes:
        rule: what does not hold.
    """

    def __init__(self, rule: str) -> None:
        self.rule = rule
        super().__init__(f"§5: {rule}")


@dataclass(slots=True)
class Ending:
    """What is known of the end so far; each action adds its part.

    Attributes:
        now: the coordinator's clock, Unix ms.
        started_at: the start that the duration is counted from.
        steps_total: how many steps the plan has.
        progress: how far it came; None when it was refused at admission.
        cause: the fatal error that ends it, while its context is gathered.
        failed: the step whose failure `cause` or `error` stands for, if any.
        completed: the steps whose results count.
        incomplete: the other steps.
        status: how it ends.
        error: the plan's error; None when all is well.
        commands: what the world outside must do about it.
    """

    now: int
    started_at: int
    steps_total: int
    progress: PlanProgress | None
    cause: ExecutionError | None = None
    failed: int | None = None
    completed: tuple[int, ...] = ()
    incomplete: tuple[int, ...] = ()
    completed_at: int = 0
    duration_ms: int = 0
    status: Status | None = None
    error: ExecutionError | None = None
    commands: list[Command] = field(default_factory=list)

    @property
    def run(self) -> PlanProgress:
        """The progress of a plan that was admitted."""
        if self.progress is None:
            raise RuleBroken("a refused plan ends in failure only")
        return self.progress

    @property
    def found(self) -> ExecutionError:
        """The cause, which a failure always has."""
        if self.cause is None:
            raise RuleBroken("a failure has a cause")
        return self.cause

    @property
    def settled(self) -> Status:
        """The status, once it is set."""
        if self.status is None:
            raise RuleBroken("the status is set before the result is persisted")
        return self.status
