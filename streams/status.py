"""What a client is told of a plan, and of what its execution holds (U1, U3)."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict

from schemas.status import EndedPlan, Holdings, PlanAnswer, RunningPlan, WorkAnswer


class Known(StrEnum):
    """What is known of a plan."""

    RUNNING = "running"
    SUCCESS = "success"
    PARTIAL = "partial"
    FAILURE = "failure"
    UNKNOWN = "unknown"
    """All owners answered, and none knows it: it is still to be admitted, was refused
    without a result, ended longer ago than is remembered, or never was."""
    OWNER_AWAY = "owner_away"
    """Nobody who answered knows it, and not all owners of partitions did."""


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True)

    asked_for: str
    """The plan id or execution id that was asked for."""
    state: Known
    at: int | None = None
    """When it was so, Unix ms, by the coordinator's clock."""
    partition: int | None = None
    """The plan's."""
    coordinator: str | None = None
    """Who owns that partition."""
    away: tuple[int, ...] = ()
    """The partitions whose owners have not answered in time."""


class PlanStatus(_Report):
    """How far a plan is (U1)."""

    running: RunningPlan | None = None
    """Each step of a plan that has not ended."""
    ended: EndedPlan | None = None
    """The summary of a plan that has, within `registry_retention_ms`."""

    @classmethod
    def of(cls, asked_for: str, answer: PlanAnswer | None, away: set[int]) -> Self:
        """What an answer says; None: nobody knows anything."""
        names = ("at", "partition", "coordinator", "running", "ended")
        said = {name: getattr(answer, name) for name in names if answer is not None}
        state = _known(answer, away)
        return cls(asked_for=asked_for, state=state, away=tuple(sorted(away)), **said)


def _known(answer: PlanAnswer | None, away: set[int]) -> Known:
    if answer is not None and answer.ended is not None:
        return Known(answer.ended.status.value)
    if answer is not None and answer.running is not None:
        return Known.RUNNING
    return Known.OWNER_AWAY if away else Known.UNKNOWN


class WorkerHoldings(BaseModel):
    """What one step worker holds for an execution."""

    model_config = ConfigDict(frozen=True)

    worker: str
    running_attempts: int
    window_slots: int

    @classmethod
    def of(cls, answer: WorkAnswer) -> Self:
        """What an answer says."""
        return cls(
            worker=answer.worker,
            running_attempts=answer.running_attempts,
            window_slots=answer.window_slots,
        )


class PlanResources(_Report):
    """What an execution holds at coordinators and step workers (U3)."""

    rows: int = 0
    """Of the coordinator's tables; what remembers an ended plan is none of them."""
    timers: int = 0
    """Limits and retries that are armed."""
    pending_requests: int = 0
    """Step requests that were sent and have not been answered."""
    running_attempts: int = 0
    """Handlers that run, those included that swallowed their cancellation."""
    window_slots: int = 0
    """Requests that workers have taken and not settled."""
    workers: tuple[WorkerHoldings, ...] = ()
    """All that answered, by name, those included that hold nothing."""
    workers_away: tuple[str, ...] = ()
    """The members of the workers' group that have not answered in time."""

    @classmethod
    def gathered(
        cls,
        status: PlanStatus,
        holdings: Holdings | None,
        workers: tuple[WorkerHoldings, ...],
        workers_away: tuple[str, ...],
    ) -> Self:
        """What coordinators and workers say together."""
        known = {name: getattr(status, name) for name in _Report.model_fields}
        return cls(
            **known,
            **({} if holdings is None else holdings.model_dump()),
            running_attempts=sum(each.running_attempts for each in workers),
            window_slots=sum(each.window_slots for each in workers),
            workers=workers,
            workers_away=workers_away,
        )

    @property
    def is_complete(self) -> bool:
        """Whether everybody answered who may hold something."""
        return not self.away and not self.workers_away

    @property
    def total(self) -> int:
        """How much it holds of everything; 0 after its end."""
        held = self.rows + self.timers + self.pending_requests
        return held + self.running_attempts + self.window_slots
