"""The open plans of a partition: objects while they are used, then rows alone.

A plan's objects take five times the memory of its rows, and most of a long plan's life
nothing happens to it. So a plan that has been idle is forgotten; its next event builds
it again from its rows, as the first event after a recovery does. That takes about as
long as a fold: what is used now and then only costs it, what is busy never does.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agents import nested
from agents.core.deadlines import plan_limit
from agents.core.progress import PlanProgress
from agents.core.recovery import restore
from agents.core.terms import PlanTerms
from agents.publication import Execution
from agents.tables import Tables
from schemas import codec
from schemas.context import PlanSubmission, SubmissionReference
from schemas.rows import PlanRow, StepRow

KEPT = 1000
"""So many plans of a partition are kept, however idle."""
IDLE_MS = 10_000
"""How long nothing happens to a plan before it is forgotten."""
FORGOTTEN_AT_ONCE = 2
"""For each plan that is built, so that folding never stands still for it."""


@dataclass(slots=True)
class OpenPlan:
    """A plan that has not ended: what its step requests carry, and how far it is.

    Of the submission no more is kept than is asked for: a model with its parts takes
    most of a plan's memory.
    """

    key: bytes
    terms: PlanTerms
    progress: PlanProgress
    execution: Execution
    actions: tuple[str, ...]
    """By step number; likewise the payloads."""
    payloads: tuple[str, ...]
    environment: Mapping[str, str]
    """Empty when requests refer to it."""
    environment_at: SubmissionReference | None
    priority: int
    ends_at: int
    """When the earlier of its limits ends it, Unix ms."""
    used_at: int = 0
    """When something happened to it last, Unix ms."""


class OpenPlans:
    """Finds open plans by their keys; the rows of the tables are the truth."""

    __slots__ = ("_plans", "_tables")

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._plans: OrderedDict[bytes, OpenPlan] = OrderedDict()
        """The longest unused first."""

    def add(
        self,
        key: bytes,
        submission: PlanSubmission,
        progress: PlanProgress,
        environment_at: SubmissionReference | None,
        now: int,
    ) -> OpenPlan:
        """Take in a plan that was just admitted."""
        plan = _open(self._tables, key, submission, progress, environment_at)
        return self._keep(plan, now)

    def find(self, key: bytes, now: int) -> OpenPlan | None:
        """The open plan of a key, built from its rows if it must be."""
        plan = self._plans.get(key)
        if plan is not None:
            plan.used_at = now
            self._plans.move_to_end(key)
            return plan
        row = self._tables.plans.get(key)
        return None if row is None else self._keep(_built(self._tables, key, row), now)

    def execution_id(self, key: bytes) -> str | None:
        """Which execution is open; it builds nothing, as limits pass in crowds."""
        plan = self._plans.get(key)
        if plan is not None:
            return plan.terms.execution_id
        row = self._tables.plans.get(key)
        if row is None:
            return None
        execution_id: str = codec.decode_row(PlanRow, row)["execution_id"]
        return execution_id

    def drop(self, key: bytes) -> None:
        """Let go of a plan that has ended."""
        self._plans.pop(key, None)

    def __len__(self) -> int:
        """How many are objects."""
        return len(self._plans)

    def _keep(self, plan: OpenPlan, now: int) -> OpenPlan:
        plan.used_at = now
        self._plans[plan.key] = plan
        for _ in range(FORGOTTEN_AT_ONCE):
            if len(self._plans) <= KEPT:
                break
            oldest = next(iter(self._plans.values()))
            if oldest.used_at + IDLE_MS > now:
                break
            del self._plans[oldest.key]
        return plan


def _built(tables: Tables, key: bytes, row: bytes) -> OpenPlan:
    fields: dict[str, Any] = codec.decode_row(PlanRow, row)
    submission = codec.decode(fields["submission"], PlanSubmission)
    terms = PlanTerms.of(submission)
    steps = tables.steps_of(key, terms.steps_total)
    rows = [(number, codec.decode_row(StepRow, each)) for number, each in steps]
    size = sum(len((row["result"] or "").encode()) for _, row in rows)
    progress = restore(terms, fields["admitted_at"], rows, size)
    at = fields["environment_at"]
    reference = None if at is None else SubmissionReference(**at)
    return _open(tables, key, submission, progress, reference)


def _open(
    tables: Tables,
    key: bytes,
    submission: PlanSubmission,
    progress: PlanProgress,
    environment_at: SubmissionReference | None,
) -> OpenPlan:
    terms, plan = progress.terms, submission.plan
    _, ends_at = plan_limit(terms, progress.admitted_at)
    execution = Execution(
        key,
        terms.plan_id,
        terms.execution_id,
        terms.step_ids,
        submission.user_id,
        submission.request_id,
        submission.correlation_context,
        nested.adopted(tables, key),
    )
    return OpenPlan(
        key,
        terms,
        progress,
        execution,
        tuple([step.action for step in plan.steps]),
        tuple([step.payload for step in plan.steps]),
        submission.environment if environment_at is None else {},
        environment_at,
        plan.priority,
        ends_at,
    )
