"""U4: the JSON Schemas say what the models and `validate` say, as far as they can."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from schemas.codec import DecodeError, Format, decode, decode_fields, encode_fields
from schemas.context import PlanSubmission
from schemas.json_schema import json_schema_of
from schemas.plan import PLAN_VERSION
from schemas.record import Record
from schemas.steps import StepFailed
from schemas.validation import ViolationClass, validate
from streams.config import Settings
from streams.published import published_models
from streams.submissions import complete, now_ms
from streams.topics import Topics
from tests.property.strategies import records
from tests.unit.schemas.factories import NOW, error, reference, submission, uuid4
from tests.unit.schemas.test_rules import FAILING, PASSING

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "examples" / "plans").glob("*.json"))
MODELS = published_models(Topics.of(Settings.model_construct()))

NOT_SAID = {
    # JSON Schema takes 3.0 for an integer.
    *("version 1.0", "timeout 3.0"),
    # It compares no members of different objects.
    "same step id",
    # It sees values, not the text they are written in, and bounds no depth.
    *("payload NaN", "payload twice the name", "payload lone surrogate"),
    *("payload too deep", "multiplier NaN"),
    *("metadata no JSON", "payload no JSON"),
    *("environment no JSON", "environment empty text"),
}
"""Of the rules on single members, those that JSON Schema has no words for.

Nor has it for what relates members: dependencies that exist and have no cycle, the
window between `started_at` and `deadline_ms`, the names that the environment must have.
"""


@cache
def validator(model: type[Record]) -> Draft7Validator:
    schema = json_schema_of(model)
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def wire(fields: dict[str, Any]) -> Any:
    """A submission as its JSON says it: opaque values are no texts there."""
    made = deepcopy(fields)
    plan = made.get("plan")
    steps = plan.get("steps") if isinstance(plan, dict) else None
    objects = [(plan, "metadata")]
    objects += [(each, "payload") for each in steps or () if isinstance(each, dict)]
    environment = made.get("environment")
    objects += [(environment, each) for each in environment or ()]
    for holder, name in objects:
        if isinstance(holder, dict) and isinstance(holder.get(name), str):
            holder[name] = json.loads(holder[name])
    return made


def is_sound(value: Any) -> bool:
    """Whether `validate` finds nothing wrong with single members of a submission."""
    fields = decode_fields(json.dumps(value).encode(), PlanSubmission)[1]
    return all(each.class_ is not ViolationClass.SCHEMA for each in validate(fields)[1])


@pytest.mark.parametrize("fields", PASSING.values(), ids=PASSING)
def test_what_the_rules_allow_is_accepted(fields: dict[str, Any]) -> None:
    """U4, §1, §2: whatever passes `validate` passes the schema."""
    assert validator(PlanSubmission).is_valid(wire(fields))


SAID = [case for case in FAILING if case[0] not in NOT_SAID]


@pytest.mark.parametrize("fields", [c[1] for c in SAID], ids=[c[0] for c in SAID])
def test_what_breaks_a_rule_is_refused(fields: dict[str, Any]) -> None:
    """U4, §1, §2: every rule on a single member that JSON Schema has words for."""
    assert not validator(PlanSubmission).is_valid(wire(fields))


def test_what_is_not_said_is_accepted() -> None:
    """U4: the list of what JSON Schema cannot say has nothing in it that it can."""
    cases = {name: fields for name, fields, _ in FAILING}
    assert cases.keys() >= NOT_SAID
    written = [name for name in NOT_SAID if "no JSON" not in name]
    written.remove("environment empty text")
    for name in written:
        assert validator(PlanSubmission).is_valid(wire(cases[name])), name


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_accepted(file: Path) -> None:
    """U4: the plans under examples/, whole."""
    whole = complete(file.read_text("utf-8"), now_ms()).text
    assert validator(PlanSubmission).is_valid(json.loads(whole))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@given(st.data())
def test_every_record_is_accepted(model: type[Record], data: st.DataObject) -> None:
    """U4: whatever is written as JSON follows the published schema."""
    fields = data.draw(records(model))
    if model is PlanSubmission:
        fields["plan"]["version"] = PLAN_VERSION  # R1, which the strategy ignores
    value = json.loads(encode_fields(model, fields, Format.JSON))
    assert validator(model).is_valid(value)


STRANGE = [
    *(None, True, False, 0, 1, -1, 0.5, 2, 2**63 - 1, 2**63, -(2**63) - 1, 10**400),
    *("", "a", "a" * 50, "a" * 101, "a" * 256, "a" * 1001, "halt", "fatal"),
    *(uuid4(7), uuid4(7).upper() + "A", uuid4(7) + "\n", [], [""], [1], {}, {"a": 1}),
]
"""Values that are right in some places, and wrong in others."""


@st.composite
def changed(draw: st.DrawFn, start: Any, kept: frozenset[str] = frozenset()) -> Any:
    """A value with one member, anywhere in it, changed, dropped or added."""
    value = deepcopy(start)
    inner = value
    while True:
        keys: list[Any] = list(inner if isinstance(inner, dict) else range(len(inner)))
        keys = [key for key in keys if key not in kept]
        if not keys:
            return value
        key = draw(st.sampled_from(keys))
        deeper = isinstance(inner[key], dict | list) and inner[key]
        if not deeper or draw(st.booleans()):
            break
        inner = inner[key]
    match draw(st.sampled_from(["change", "change", "drop", "add"])):
        case "drop":
            del inner[key]
        case "add" if isinstance(inner, dict):
            inner["another"] = draw(st.sampled_from(STRANGE))
        case _:
            inner[key] = draw(st.sampled_from(STRANGE))
    return value


@given(changed(wire(submission(correlation_context={"a": "b"}))))
def test_schema_and_validate_agree_on_submissions(value: Any) -> None:
    """U4, §1, §2: a change is refused by both or by neither."""
    assert validator(PlanSubmission).is_valid(value) == is_sound(value)


JUDGED_APART = frozenset({"context", "payload", "result"})
"""That these are objects, whoever reads them finds; decoding only carries them."""


@pytest.mark.parametrize("model", MODELS[1:], ids=lambda model: model.__name__)
@given(st.data())
def test_schema_and_model_agree(model: type[Record], data: st.DataObject) -> None:
    """U4: a changed record of another kind is refused by both or by neither."""
    fields = data.draw(records(model))
    start = json.loads(encode_fields(model, fields, Format.JSON))
    value = data.draw(changed(start, JUDGED_APART))
    try:
        decode(json.dumps(value).encode(), model)
    except DecodeError:
        assert not validator(model).is_valid(value)
    else:
        assert validator(model).is_valid(value)


def failed(**changes: Any) -> dict[str, Any]:
    fields = {**reference(), "worker": "w", "started_at": NOW, "ended_at": NOW}
    whole = {**fields, "error": error(**changes)}
    value: dict[str, Any] = json.loads(encode_fields(StepFailed, whole, Format.JSON))
    return value


@pytest.mark.parametrize(
    ("severity", "recoverable"), [("fatal", True), ("error", False), ("warn", False)]
)
def test_recoverable_follows_severity(severity: str, recoverable: bool) -> None:
    """§3.1: whether an error is recoverable is derived, in causes too."""
    wrong = {"severity": severity, "recoverable": recoverable}
    assert not validator(StepFailed).is_valid(failed(**wrong))
    assert not validator(StepFailed).is_valid(failed(cause=error(**wrong)))
    right = {"severity": severity, "recoverable": not recoverable}
    assert validator(StepFailed).is_valid(failed(**right))


def test_the_kind_of_an_outcome_is_told() -> None:
    """Records that share a topic must say in JSON of which kind they are."""
    value = failed()
    assert value["type"] == "StepFailed"
    assert not validator(StepFailed).is_valid({**value, "type": "StepWarned"})
    del value["type"]
    assert not validator(StepFailed).is_valid(value)


def test_members_are_explained() -> None:
    """What an editor shows is what the Avro schema says, without its texts."""
    schema = json_schema_of(PlanSubmission)
    step = schema["definitions"]["PlanStep"]["properties"]
    assert "description" in schema["properties"]["deadline_ms"]
    assert "as text" not in step["payload"]["description"]
    assert schema["definitions"]["Plan"]["properties"]["metadata"]["default"] == {}
