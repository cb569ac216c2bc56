"""Submissions made from a template are like encoded ones."""

from __future__ import annotations

import uuid

import pytest

from benchmarks.shapes import Shape, chain, fan
from benchmarks.submissions import Template, fresh_ids
from schemas.codec import Format, decode, decode_fields
from schemas.context import PlanSubmission
from schemas.validation import validate

NOW_MS = 1_767_225_600_000


def test_fresh_ids_are_canonical_uuids_of_version_4() -> None:
    """And all of them differ."""
    ids = fresh_ids(1000)
    assert len(set(ids)) == 1000
    for each in ids:
        parsed = uuid.UUID(each.decode())
        assert (str(parsed).encode(), parsed.version) == (each, 4)
        assert parsed.variant == uuid.RFC_4122


@pytest.mark.parametrize("fmt", list(Format))
@pytest.mark.parametrize("shape", [chain(1), chain(3), fan(10), fan(1000)])
def test_a_submission_is_a_valid_plan_of_its_shape(shape: Shape, fmt: Format) -> None:
    """Dependencies point at the steps that the shape says, under the new ids."""
    made = Template.of(shape, NOW_MS, fmt).make()
    _, fields = decode_fields(made.value, PlanSubmission)
    assert validate(fields)[1] == ()
    submission = decode(made.value, PlanSubmission)
    assert submission.plan.id.encode() == made.plan_id
    assert submission.execution_id.encode() == made.execution_id
    place = {step.id: number for number, step in enumerate(submission.plan.steps)}
    found = tuple(
        tuple(place[each] for each in step.depends_on) for step in submission.plan.steps
    )
    assert found == shape.depends_on


def test_two_submissions_share_no_id() -> None:
    """Neither with each other nor with the one that was encoded."""
    template = Template.of(fan(5), NOW_MS)
    made = [decode(template.make().value, PlanSubmission) for _ in range(2)]
    ids = [
        each
        for submission in made
        for each in (
            submission.plan.id,
            submission.execution_id,
            *(step.id for step in submission.plan.steps),
        )
    ]
    assert len(set(ids)) == 2 * (7 + 2)
