"""A plan as the core sees it: its graph, its policies and its limits.

No action, payload, environment value, metadata or result is among them (F11, F12).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from agents.core.retries import RetryTerms, retry_terms
from schemas.context import PlanSubmission
from schemas.plan import OnFailure

DEFAULT_TIMEOUT_MS: Final = 300_000
NO_TIMEOUTS: Final[Mapping[int, int]] = MappingProxyType({})
_POLICIES: Final[Mapping[str, OnFailure]] = {
    policy.value: policy for policy in OnFailure
}


class PlanTerms(NamedTuple):
    """What is decided about a plan is decided from this; never changed (§6.2).

    A tuple, as one is made with every plan: a frozen dataclass takes far longer.

    Attributes:
        step_ids: the ids by step number (the place in the plan's list).
        depends_on: the numbers of each step's dependencies, each once.
        dependants: the numbers of the steps that wait for each step, ascending.
        policies: what each step's failure means.
        step_timeouts: limits of their own, by number; others inherit the plan's.
    """

    plan_id: str
    execution_id: str
    started_at: int
    deadline_ms: int
    timeout_ms: int
    step_ids: tuple[str, ...]
    depends_on: tuple[tuple[int, ...], ...]
    dependants: tuple[tuple[int, ...], ...]
    policies: tuple[OnFailure, ...]
    step_timeouts: Mapping[int, int]
    retry: RetryTerms

    @classmethod
    def of(cls, submission: PlanSubmission | Mapping[str, Any]) -> PlanTerms:
        """The terms of a *valid* submission, a model or its fields; O(steps + edges).

        Optional members may be absent.
        """
        if isinstance(submission, PlanSubmission):
            return _of_model(submission)
        return _of_fields(submission)

    @property
    def steps_total(self) -> int:
        """How many steps the plan has."""
        return len(self.step_ids)

    def has_step(self, number: int, step_id: str) -> bool:
        """Whether `number` is the number of the step `step_id`."""
        return 0 <= number < len(self.step_ids) and self.step_ids[number] == step_id


def _of_model(submission: PlanSubmission) -> PlanTerms:
    plan = submission.plan
    steps = plan.steps
    return _terms(
        (plan.id, submission.execution_id, submission.started_at),
        (submission.deadline_ms, plan.timeout_ms),
        tuple([step.id for step in steps]),
        [step.depends_on for step in steps],
        tuple([step.on_failure for step in steps]),
        [step.timeout_ms for step in steps],
        retry_terms(plan.retry_policy),
    )


def _of_fields(fields: Mapping[str, Any]) -> PlanTerms:
    plan = fields["plan"]
    steps = plan["steps"]
    return _terms(
        (plan["id"], fields["execution_id"], fields["started_at"]),
        (fields["deadline_ms"], plan.get("timeout_ms", DEFAULT_TIMEOUT_MS)),
        tuple([step["id"] for step in steps]),
        [step.get("depends_on", ()) for step in steps],
        tuple([_POLICIES[step.get("on_failure", OnFailure.HALT)] for step in steps]),
        [step.get("timeout_ms") for step in steps],
        retry_terms(plan.get("retry_policy")),
    )


def _terms(
    header: tuple[str, str, int],
    limits: tuple[int, int],
    ids: tuple[str, ...],
    needed: Sequence[Iterable[str]],
    policies: tuple[OnFailure, ...],
    timeouts: Sequence[int | None],
    retry: RetryTerms,
) -> PlanTerms:
    depends_on, dependants = _graph(ids, needed)
    own = {number: ms for number, ms in enumerate(timeouts) if ms is not None}
    return PlanTerms(
        *header,
        *limits,
        ids,
        depends_on,
        dependants,
        policies,
        own or NO_TIMEOUTS,
        retry,
    )


def _graph(
    ids: tuple[str, ...], needed: Sequence[Iterable[str]]
) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    numbers = {step_id: number for number, step_id in enumerate(ids)}
    dependants: list[list[int]] = [[] for _ in ids]
    depends_on = []
    for number, names in enumerate(needed):
        found = tuple([numbers[name] for name in dict.fromkeys(names)])
        depends_on.append(found)
        for dependency in found:
            dependants[dependency].append(number)
    return tuple(depends_on), tuple([tuple(waiting) for waiting in dependants])
