"""A plan as the core sees it."""

import pytest

from agents.core.retries import DEFAULT_RETRY, RetryTerms
from agents.core.terms import PlanTerms
from schemas.context import PlanSubmission
from schemas.plan import OnFailure
from tests.unit.core.plans import (
    DEADLINE_MS,
    EXECUTION,
    PLAN,
    STARTED_AT,
    retry,
    step,
    step_id,
    submission,
    terms,
)

SECRETS = ("action", "payload", "environment", "metadata", "result")


def test_the_graph_is_kept_by_number_in_both_directions() -> None:
    """R9: a dependency may stand later in the list; R34: duplicates count once."""
    plan = terms(step(0, 2, 3), step(1, 0, 0), step(2), step(3), step(4, 3, 0))
    assert plan.step_ids == tuple(step_id(number) for number in range(5))
    assert plan.depends_on == ((2, 3), (0,), (), (), (3, 0))
    assert plan.dependants == ((1, 4), (), (0,), (0, 4), ())


def test_absent_members_have_the_defaults_of_the_contract() -> None:
    """§1, §1.1, R2: on_failure is halt, timeout 300000, no retries."""
    fields = submission(step(0))
    del fields["plan"]["timeout_ms"]
    plan = PlanTerms.of(fields)
    assert plan.policies == (OnFailure.HALT,)
    assert plan.timeout_ms == 300_000
    assert plan.retry is DEFAULT_RETRY
    assert dict(plan.step_timeouts) == {}


def test_what_is_said_is_kept() -> None:
    """§1, §2."""
    plan = terms(
        step(0, timeout_ms=7, on_failure="skip"),
        step(1, on_failure="retry"),
        retry_policy=retry(4, "A", backoff_multiplier=2.0),
        timeout_ms=9,
    )
    assert (plan.plan_id, plan.execution_id) == (PLAN, EXECUTION)
    assert (plan.started_at, plan.deadline_ms) == (STARTED_AT, DEADLINE_MS)
    assert plan.timeout_ms == 9
    assert plan.policies == (OnFailure.SKIP, OnFailure.RETRY)
    assert dict(plan.step_timeouts) == {0: 7}
    assert plan.retry == RetryTerms(4, multiplier=2.0, codes=frozenset({"A"}))
    assert plan.steps_total == 2


def test_a_model_and_its_fields_have_the_same_terms() -> None:
    """The shell has one or the other at hand."""
    fields = submission(
        step(0, timeout_ms=7, on_failure="skip"),
        step(1, 0, on_failure="retry"),
        retry_policy=retry(4, "A"),
    )
    model = PlanSubmission.model_validate(fields)
    assert PlanTerms.of(model) == PlanTerms.of(fields)


def test_terms_know_nothing_of_what_a_step_does() -> None:
    """F11, F12, §6.16: the orchestrator cannot reach what it must not look at."""
    assert not [
        name for name in PlanTerms._fields if any(secret in name for secret in SECRETS)
    ]
    assert "any" not in repr(terms(step(0)))
    assert "region" not in repr(terms(step(0)))


def test_terms_never_change() -> None:
    """§6.2."""
    plan = terms(step(0))
    with pytest.raises(AttributeError):
        plan.timeout_ms = 5  # type: ignore[misc]


def test_a_step_is_named_by_number_and_id_together() -> None:
    """Outcomes carry both; a stranger's are ignored."""
    plan = terms(step(0), step(1))
    assert plan.has_step(1, step_id(1))
    assert not plan.has_step(0, step_id(1))
    assert not plan.has_step(-1, step_id(1))
    assert not plan.has_step(2, step_id(2))
