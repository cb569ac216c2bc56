"""What is known of a plan that was run in a test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.errors import ExecutionError
from schemas.events import PlanExecutionEvent
from schemas.opaque import load
from schemas.results import ExecutionAudit, PlanResult


@dataclass(slots=True)
class AttemptMade:
    """One attempt of a step.

    Attributes:
        plan_id: whose step it is; differs from the tested plan's in a child plan.
        step: the step's name, or its id when it has none.
        number: 1 for the first.
        requested_s: when the coordinator asked for it, in virtual seconds since the
            plan was submitted.
        started_s: when its handler began; None when that was not told.
        ended_s: when it ended; None when nobody wanted its outcome any more.
        error: what it failed with.
    """

    plan_id: str
    step: str
    action: str
    number: int
    requested_s: float
    started_s: float | None = None
    ended_s: float | None = None
    error: ExecutionError | None = None


@dataclass(slots=True)
class PlanRun:
    """What became of a plan.

    Attributes:
        plan_id: the plan's.
        steps: ids of the steps that were given names, by name.
        results: of this plan and of its children, by plan id.
        audits: likewise.
        events: outcome events, in order.
        attempts: of all steps, in the order of their requests.
    """

    plan_id: str
    steps: Mapping[str, str]
    results: dict[str, PlanResult] = field(default_factory=dict)
    audits: dict[str, ExecutionAudit] = field(default_factory=dict)
    events: list[PlanExecutionEvent] = field(default_factory=list)
    attempts: list[AttemptMade] = field(default_factory=list)

    @property
    def result(self) -> PlanResult:
        """The plan's one result."""
        return self.results[self.plan_id]

    @property
    def audit(self) -> ExecutionAudit:
        """The record of the actions that ended the plan (§5)."""
        return self.audits[self.plan_id]

    @property
    def took_s(self) -> float:
        """How long the plan took, in virtual seconds."""
        return self.result.duration_ms / 1000

    def value(self, step: str) -> Any:
        """What a completed step returned, by its name or id.

        Raises:
            KeyError: it did not complete.
        """
        return load(self.result.result_payload[self.steps.get(step, step)])

    def attempts_of(self, step: str) -> list[AttemptMade]:
        """The attempts of one of the plan's steps, by its name or id."""
        return [
            each
            for each in self.attempts
            if each.step == step and each.plan_id == self.plan_id
        ]
