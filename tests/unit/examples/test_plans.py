"""The examples are what the pipeline accepts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import examples
from examples.wfcommons import wfplans
from schemas import validation
from schemas.advice import warnings
from schemas.codec import decode_fields
from schemas.context import PlanSubmission

FOLDER = Path(examples.__file__).parent
PLANS = sorted((FOLDER / "plans").glob("*.json"))
INSTANCES = sorted((FOLDER / "wfcommons" / "instances").glob("*.json"))


def violations(data: bytes) -> tuple[validation.Violation, ...]:
    """Checks a submission's bytes as admission does."""
    _, fields = decode_fields(data, PlanSubmission)
    return validation.validate(fields)[1]


@pytest.mark.parametrize("file", PLANS, ids=lambda file: file.stem)
def test_an_example_plan_is_valid(file: Path) -> None:
    """Every plan in the folder would be admitted, and tools have nothing to say."""
    _, fields = decode_fields(file.read_bytes(), PlanSubmission)
    submission, found = validation.validate(fields)
    assert found == ()
    assert submission is not None
    assert warnings(submission.plan) == ()


def test_a_broken_example_would_be_noticed() -> None:
    """The check above can fail: a misspelt field is a violation."""
    text = PLANS[0].read_text(encoding="utf-8").replace('"depends_on"', '"dependson"')
    assert violations(text.encode()) != ()


@pytest.mark.parametrize("file", INSTANCES, ids=lambda file: file.stem)
def test_a_recorded_workflow_is_a_valid_plan(file: Path) -> None:
    """Every instance would be admitted."""
    made = wfplans.submission(wfplans.load(file), 1000)
    assert violations(json.dumps(made).encode()) == ()


def test_example_plans_have_ids_of_their_own() -> None:
    """Submitting all of them refuses none as a duplicate."""
    documents = [json.loads(file.read_text(encoding="utf-8")) for file in PLANS]
    assert len({document["plan"]["id"] for document in documents}) == len(PLANS)
    assert len({document["execution_id"] for document in documents}) == len(PLANS)
