"""The quick look at submissions says yes to none that breaks a rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from schemas import validation
from tests.unit.schemas.factories import NOW, step, submission, uuid4

Fields = dict[str, Any]
TEXTS = (
    *("{}", '{"a": 1}', ' {"a": []}', "[]", "null", '"x"', "", "{", '{"a": 1} x'),
    *('{"a": 1, "a": 2}', '{"a": NaN}', '{"a": "\\ud800"}', "[" * 300 + "]" * 300),
)


def some_step(draw: st.DrawFn, fields: Fields) -> Fields:
    chosen: Fields = draw(st.sampled_from(fields["plan"]["steps"]))
    return chosen


def change_payload(draw: st.DrawFn, fields: Fields) -> None:
    some_step(draw, fields)["payload"] = draw(st.sampled_from(TEXTS))


def depend_on_another(draw: st.DrawFn, fields: Fields) -> None:
    other = uuid4(100 + draw(st.integers(0, 5)))
    some_step(draw, fields)["depends_on"].append(other)


def share_an_id(draw: st.DrawFn, fields: Fields) -> None:
    some_step(draw, fields)["id"] = some_step(draw, fields)["id"]


def change_metadata(draw: st.DrawFn, fields: Fields) -> None:
    fields["plan"]["metadata"] = draw(st.sampled_from(TEXTS))


def change_version(draw: st.DrawFn, fields: Fields) -> None:
    fields["plan"]["version"] = draw(st.sampled_from([0, 2]))


def require_more(draw: st.DrawFn, fields: Fields) -> None:
    fields["plan"]["context_requirements"] = draw(
        st.lists(st.sampled_from(["region", "zone", ""]), max_size=3)
    )


def change_environment(draw: st.DrawFn, fields: Fields) -> None:
    name = draw(st.sampled_from(["region", "zone", ""]))
    fields["environment"][name] = draw(st.sampled_from(TEXTS))


def move_deadline(draw: st.DrawFn, fields: Fields) -> None:
    fields["deadline_ms"] = NOW + draw(st.sampled_from([300_000, 299_999, 1, 0, -1]))


def lose_an_id(draw: st.DrawFn, fields: Fields) -> None:
    fields[draw(st.sampled_from(["execution_id", "started_at"]))] = None


DAMAGES: Sequence[Callable[[st.DrawFn, Fields], None]] = (
    *(change_payload, depend_on_another, share_an_id, change_metadata),
    *(change_version, require_more, change_environment, move_deadline, lose_an_id),
)


@st.composite
def submissions(draw: st.DrawFn) -> Fields:
    """Submissions that are sound, but for a few changes."""
    fields = submission()
    count = draw(st.integers(1, 4))
    fields["plan"]["steps"] = [step(n, *range(n)) for n in range(count)]
    for damage in draw(st.lists(st.sampled_from(DAMAGES), max_size=2)):
        damage(draw, fields)
    return fields


@given(submissions(), st.booleans())
def test_a_quick_look_changes_nothing(fields: Fields, nested: bool) -> None:
    """R35: what is found is the same with and without it."""
    quick = validation.validate(fields, nested=nested)
    with mock.patch.object(validation, "_is_sound", return_value=False):
        thorough = validation.validate(fields, nested=nested)
    assert quick == thorough


@given(st.integers(1, 6), st.booleans())
def test_a_usual_submission_needs_no_more(count: int, nested: bool) -> None:
    """Chains and fans in their order are sound at the first look."""
    fields = submission()
    fields["plan"]["steps"] = [step(n, *range(n)) for n in range(count)]
    with mock.patch.object(validation, "_check_version", side_effect=AssertionError):
        found, violations = validation.validate(fields, nested=nested)
    assert found is not None
    assert violations == ()
