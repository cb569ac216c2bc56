import ast
from pathlib import Path

import pytest

from agents import StepContext
from agents.handlers import default_registry
from schemas.codec import decode_fields
from schemas.context import PlanSubmission
from schemas.results import Status
from schemas.validation import validate
from streams.devkit import demo_handlers
from streams.devkit.demo_plans import (
    LEGACY_SOURCE,
    DemoPlan,
    demo_plans,
    environment,
)
from streams.submissions import complete, write

HERE = environment(Path("/lib"), Path("/work"), Path("/reports"))
PLANS = pytest.mark.parametrize("demo", demo_plans(), ids=lambda demo: demo.name)


def submission(demo: DemoPlan) -> PlanSubmission:
    text = complete(write(demo.plan, HERE), 1_700_000_000_000).text
    _, fields = decode_fields(text.encode(), PlanSubmission)
    valid, violations = validate(fields)
    assert valid is not None, violations
    return valid


@PLANS
def test_every_plan_keeps_the_contract(demo: DemoPlan) -> None:
    """As `planstream validate` sees it."""
    assert len(submission(demo).plan.steps) == len(demo.plan["steps"])


@PLANS
def test_every_step_has_a_handler_that_its_payload_fits(demo: DemoPlan) -> None:
    """And that lies in the module which the worker is given."""
    for step in submission(demo).plan.steps:
        handler = default_registry[step.action]
        assert handler.module == demo_handlers.__name__
        handler.arguments(StepContext.sample(HERE), step.payload)


def test_plans_have_names_of_their_own() -> None:
    """Their reports and working directories are called by them."""
    names = [demo.name for demo in demo_plans()]

    assert len(set(names)) == len(names)


def test_all_three_outcomes_and_a_retry_are_shown() -> None:
    """Each of them has a plan that is to end so."""
    expected = [demo.expected for demo in demo_plans()]

    assert {each.status for each in expected} == set(Status)
    assert [each.retried for each in expected if each.retried] == ["report"]


def test_nothing_depends_on_the_step_that_is_skipped() -> None:
    """Else the plan would not end in `partial`, but fail (R8)."""
    (partial,) = (d for d in demo_plans() if d.expected.status is Status.PARTIAL)
    skipped = [s["id"] for s in partial.plan["steps"] if s.get("on_failure") == "skip"]

    assert skipped == ["legacy"]
    assert not any("legacy" in step["depends_on"] for step in partial.plan["steps"])


def test_the_old_script_is_no_python_of_today() -> None:
    """Whatever newer versions allow."""
    with pytest.raises(SyntaxError):
        ast.parse(LEGACY_SOURCE)
