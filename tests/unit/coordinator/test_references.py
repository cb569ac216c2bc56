"""Large environments: requests say where they lie, small ones they carry."""

import json
from typing import Any

import pytest

from agents import open_plans
from agents.references import MARGIN_MS, ReferenceTerms
from schemas import codec
from schemas.context import PlanSubmission, SubmissionReference
from tests.unit.coordinator.bench import NOW, Bench, requests, steps, submission

INLINE = 1000
HOUR_MS = 3_600_000
LARGE = {"where": "here", "blob": "x" * INLINE}


@pytest.fixture
def bench() -> Bench:
    return Bench(2, references=ReferenceTerms(INLINE, HOUR_MS))


def plan(environment: dict[str, Any], **members: Any) -> dict[str, Any]:
    return submission(steps([], [0]), environment=environment, **members)


def test_requests_refer_to_a_large_environment(bench: Bench) -> None:
    """To the record that was admitted, where the environment can be read."""
    bench.admit(plan({"where": "here"}))
    made = plan(LARGE)
    (request,) = requests(bench.admit(made))
    assert request.environment == {}
    assert request.environment_at == SubmissionReference(partition=2, offset=1)


def test_requests_carry_a_small_environment(bench: Bench) -> None:
    """However large the rest of the submission is."""
    made = plan({"where": "here"})
    made["plan"]["metadata"] = {"blob": "x" * INLINE}
    (request,) = requests(bench.admit(made))
    assert request.environment == {"where": '"here"'}
    assert request.environment_at is None


@pytest.mark.parametrize(("more", "refers"), [(0, False), (1, True)])
def test_names_and_values_count_in_bytes(
    bench: Bench, more: int, *, refers: bool
) -> None:
    """The setting is the size of the largest that is copied."""
    rest = INLINE - len('where"here"ü""') - 1
    made = plan({"where": "here", "ü": "x" * (rest + more)})
    (request,) = requests(bench.admit(made))
    assert (request.environment_at is not None) is refers


def test_a_thousand_requests_are_small(bench: Bench) -> None:
    """A megabyte is not copied a thousand times."""
    made = submission(steps(*[[]] * 1024), environment=LARGE | {"mb": "x" * 900_000})
    sent = bench.admit(made).requests
    assert len(sent) == 1024
    assert sum(len(each.value or b"") for each in sent) < 1024 * 300


@pytest.mark.parametrize(("late", "refers"), [(0, True), (1, False)])
def test_what_may_not_outlive_its_plan_is_copied(
    bench: Bench, late: int, *, refers: bool
) -> None:
    """Retention counts from the record's timestamp; a margin is for clocks."""
    stamp = NOW + 60_000 - HOUR_MS + MARGIN_MS - late
    (request,) = requests(bench.admit(plan(LARGE), timestamp=stamp))
    assert (request.environment_at is not None) is refers
    assert (request.environment != {}) is not refers


@pytest.mark.parametrize("stamp", [-1, 0])
def test_a_record_without_a_time_is_copied(bench: Bench, stamp: int) -> None:
    """Nobody knows when retention removes it."""
    (request,) = requests(bench.admit(plan(LARGE), timestamp=stamp))
    assert request.environment_at is None


def test_a_time_in_the_future_is_not_believed(bench: Bench) -> None:
    """Retention then counts from the admission."""
    made = plan(LARGE, deadline_ms=NOW + 3 * HOUR_MS)
    made["plan"]["timeout_ms"] = 2 * HOUR_MS
    (request,) = requests(bench.admit(made, timestamp=NOW + 9 * HOUR_MS))
    assert request.environment_at is None


def test_a_new_owner_refers_to_the_same_record(bench: Bench) -> None:
    """The reference lies in the plan's row."""
    (first,) = requests(bench.admit(plan(LARGE)))
    bench.restart()
    (second,) = requests(bench.succeed(first))
    assert second.environment_at == first.environment_at
    assert second.environment == {}


def test_a_forgotten_plan_refers_to_the_same_record(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a takeover."""
    monkeypatch.setattr(open_plans, "KEPT", 0)
    monkeypatch.setattr(open_plans, "IDLE_MS", 0)
    (first,) = requests(bench.admit(plan(LARGE)))
    (second,) = requests(bench.succeed(first))
    assert second.environment_at == first.environment_at


def test_what_is_referred_to_is_what_would_be_copied(bench: Bench) -> None:
    """Blanks and escapes too (F12)."""
    made = plan({"where": "here", "blob": "BLOB"})
    value = '{ "ü" : "\\u00fc",\t"n": 1.10e-2, "x": "' + "x" * INLINE + '" }'
    bench.rehome(made)
    text = json.dumps(made).replace('"BLOB"', value).encode()
    _, fields = codec.decode_fields(text, PlanSubmission)
    carrying = Bench(2)
    (carried,) = requests(carrying.fold("plans", text))
    assert carried.environment == fields["environment"]
    assert carried.environment["blob"] == value
    (referring,) = requests(bench.fold("plans", text))
    assert referring.environment_at == SubmissionReference(partition=2, offset=0)
