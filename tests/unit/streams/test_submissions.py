import json
import uuid
from typing import Any

import pytest

from schemas.codec import decode_fields
from schemas.context import PlanSubmission
from schemas.decode_error import DecodeError
from schemas.plan import Plan, PlanStep
from schemas.validation import is_uuid4, validate
from streams.submissions import DEADLINE_MARGIN_MS, complete, step_id, write

NOW = 1_770_000_000_000


def plan(**members: Any) -> dict[str, Any]:
    """Make a plan as short as one may write it."""
    return {
        "name": "two steps",
        "context_requirements": ["carrier"],
        "steps": [
            {"id": "charge", "action": "charge-card", "payload": {"cents": 5}},
            {"id": "ship", "action": "ship", "payload": {}, "depends_on": ["charge"]},
        ],
        **members,
    }


def violations(text: str) -> list[str]:
    """List what is wrong with a submission."""
    _, fields = decode_fields(text.encode(), PlanSubmission)
    _, found = validate(fields)
    return [f"{each.path}: {each.message}" for each in found]


def test_what_is_missing_is_filled_in_so_that_nothing_is_wrong() -> None:
    """A plan without an id, a time or a UUID becomes a valid submission."""
    completed = complete(write(plan(), {"carrier": "pigeon"}), NOW)
    assert violations(completed.text) == []
    made = json.loads(completed.text)
    assert is_uuid4(made["plan"]["id"])
    assert is_uuid4(made["execution_id"])
    assert made["plan"]["version"] == 1
    assert made["plan"]["created_at"] == made["started_at"] == NOW
    assert made["deadline_ms"] == NOW + 300_000 + DEADLINE_MARGIN_MS


def test_the_deadline_follows_the_plans_timeout_and_the_start() -> None:
    """The window is never smaller than the timeout (§2)."""
    text = write(plan(timeout_ms=5_000), {"carrier": ""}, started_at=NOW + 9)
    made = json.loads(complete(text, NOW).text)
    assert made["started_at"] == NOW + 9
    assert made["deadline_ms"] == NOW + 9 + 5_000 + DEADLINE_MARGIN_MS


def test_names_of_steps_become_ids_that_can_be_found_again() -> None:
    """The id follows from the plan's id and the name, everywhere it is used."""
    completed = complete(write(plan(), {"carrier": ""}), NOW)
    made = json.loads(completed.text)["plan"]
    charge = step_id(made["id"], "charge")
    assert is_uuid4(charge)
    assert [step["id"] for step in made["steps"]] == [
        charge,
        step_id(made["id"], "ship"),
    ]
    assert made["steps"][1]["depends_on"] == [charge]
    assert completed.steps == {"charge": charge, "ship": step_id(made["id"], "ship")}
    assert step_id(str(uuid.uuid4()), "charge") != charge


def test_ids_that_are_given_stay() -> None:
    """A whole submission is not touched, names beside UUIDs included."""
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    steps = [
        {"id": first, "action": "a", "payload": {}, "depends_on": ["late"]},
        {"id": "late", "action": "b", "payload": {}},
    ]
    text = write(plan(id=second, steps=steps), {"carrier": ""}, execution_id=first)
    made = json.loads(complete(text, NOW).text)
    assert (made["plan"]["id"], made["execution_id"]) == (second, first)
    assert made["plan"]["steps"][0]["id"] == first
    assert made["plan"]["steps"][0]["depends_on"] == [step_id(second, "late")]


@pytest.mark.parametrize(
    "wrong", [str(uuid.uuid4()).upper(), str(uuid.uuid1()), "", "9lives", 7, None]
)
def test_what_is_no_name_is_left_for_the_validation(wrong: object) -> None:
    """A misspelt UUID must not pass as a name."""
    steps = [{"id": wrong, "action": "a", "payload": {}}]
    completed = complete(write(plan(steps=steps), {"carrier": ""}), NOW)
    assert completed.steps == {}
    assert [line.partition(":")[0] for line in violations(completed.text)] == [
        "plan.steps[0].id"
    ]


def test_a_dependency_on_an_unknown_name_is_left_for_the_validation() -> None:
    """It is refused where it stands."""
    steps = [{"id": "a", "action": "a", "payload": {}, "depends_on": ["b", 3]}]
    text = complete(write(plan(steps=steps), {"carrier": ""}), NOW).text
    found = [line.partition(":")[0] for line in violations(text)]
    assert found == ["plan.steps[0].depends_on[0]", "plan.steps[0].depends_on[1]"]


def test_opaque_values_stay_as_they_are_written() -> None:
    """Byte for byte, whatever a JSON library would make of them (F12)."""
    text = (
        '{"environment": {"carrier": {"b": 1.0e2, "a" : 10000000000000000000000}},'
        ' "plan": {"name": "n", "context_requirements": ["carrier"], "metadata":'
        ' {"z":  [1.50 ]}, "steps": [{"id": "a", "action": "a", "payload":'
        ' {"x": "\\u00e9", "y": -0.0}}]}}'
    )
    made = complete(text, NOW).text
    assert '{"b": 1.0e2, "a" : 10000000000000000000000}' in made
    assert '{"z":  [1.50 ]}' in made
    assert '{"x": "\\u00e9", "y": -0.0}' in made


def test_to_renew_makes_another_execution_of_the_same_plan() -> None:
    """Ids and times are new, everything else is as before."""
    first = complete(write(plan(), {"carrier": "p"}), NOW).text
    second = complete(first, NOW + 1_000_000, renew=True).text
    was, is_now = json.loads(first), json.loads(second)
    assert was["plan"]["id"] != is_now["plan"]["id"]
    assert was["execution_id"] != is_now["execution_id"]
    assert is_now["started_at"] == NOW + 1_000_000
    assert is_now["deadline_ms"] > was["deadline_ms"]
    assert was["plan"]["steps"] == is_now["plan"]["steps"]
    assert violations(second) == []


def test_a_model_is_as_good_as_plain_values() -> None:
    """Whoever builds plans with the models submits them as they are."""
    model = Plan(
        id=str(uuid.uuid4()),
        version=1,
        created_at=NOW,
        name="model",
        context_requirements=("carrier",),
        steps=(PlanStep(id=str(uuid.uuid4()), action="a", payload='{"x": 1.0}'),),
    )
    text = complete(write(model, {"carrier": None}), NOW).text
    assert violations(text) == []
    assert '{"x": 1.0}' in text


def test_members_that_are_not_given_are_not_written() -> None:
    """Absent and null are the same to the four optional ones, not to others."""
    text = write(plan(), {}, user_id="u", request_id=None, execution_id=None)
    assert set(json.loads(text)) == {"plan", "environment", "user_id"}


@pytest.mark.parametrize("value", [float("nan"), {1: 2}, {"a": b"x"}, {1, 2}])
def test_values_without_a_json_form_are_refused(value: Any) -> None:
    """Before anything is sent."""
    with pytest.raises((TypeError, ValueError)):
        write(plan(), {"carrier": value})


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"plan": {"steps": 7}}',
        '{"plan": {"id": 7, "steps": [1, {"id": "a"}]}}',
        '{"plan": {"timeout_ms": "x"}, "started_at": []}',
        '{"plan": {"steps": [{"id": "a", "depends_on": 7}]}}',
        '{"plan": {"steps": [{"id": "a", "depends_on": [7, "a"]}]}}',
    ],
)
def test_nonsense_is_completed_to_nonsense_that_validation_names(text: str) -> None:
    """Nothing is corrected, and nothing but a DecodeError is raised."""
    assert violations(complete(text, NOW).text)


@pytest.mark.parametrize("text", ["", "[]", "{", "7", '{"plan": 7}', '{"plan": []}'])
def test_what_is_no_object_is_a_decode_error(text: str) -> None:
    """The caller shows what stands in the file instead."""
    with pytest.raises(DecodeError):
        complete(text, NOW)
