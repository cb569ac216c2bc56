"""What the topics of an installation under test say, plan by plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from schemas.errors import ExecutionError
from schemas.events import PlanExecutionEvent
from schemas.results import ExecutionAudit, PlanResult
from streams.conformance.ledger import Ledger as Follower
from streams.conformance.ledger import Seen
from streams.topics import STEP_OUTCOMES as OUTCOMES
from tests.integration.system import System

__all__ = ["OUTCOMES", "Ledger", "Trail"]


@dataclass
class Trail(Seen):
    """All that was published about one plan, where one of each is expected."""

    @property
    def result(self) -> PlanResult:
        """The one result."""
        assert len(self.results) == 1, self.results
        return self.results[0]

    @property
    def error(self) -> ExecutionError:
        """The one result's error."""
        error = self.result.error
        assert error is not None, self.result
        return error

    @property
    def audit(self) -> ExecutionAudit:
        """The one audit."""
        assert len(self.audits) == 1, self.audits
        return self.audits[0]

    @property
    def event(self) -> PlanExecutionEvent:
        """The one event."""
        assert len(self.events) == 1, self.events
        return self.events[0]


class Ledger(Follower[Trail]):
    """Follows the topics of a system from their beginning."""

    def __init__(self, system: System) -> None:
        super().__init__(Trail, system.topics, system.new_consumer())

    async def ended(self, plan_id: str, timeout: float = 30) -> Trail:
        """Wait for a plan's result, audit and event."""
        await self.wait(lambda: self.trails[plan_id].has_ended, timeout)
        trail = self.trails[plan_id]
        assert trail.has_ended, f"plan {plan_id} after {timeout} s: {trail}"
        return trail

    async def begun(self, plan_id: str, timeout: float = 30) -> Trail:
        """Wait for the first outcome of a plan's steps."""
        trail = self.trails[plan_id]
        await self.wait(lambda: bool(trail.outcomes), timeout)
        assert trail.outcomes, f"plan {plan_id} has not begun after {timeout} s"
        return trail

    async def dead_letter(self, place: Any, timeout: float = 30) -> Any:
        """Wait for the dead letter of the record that lay at this place."""
        await self.wait(lambda: bool(self.letters_of(place)), timeout)
        found = self.letters_of(place)
        assert len(found) == 1, f"dead letters of {place}: {found}"
        return found[0]
