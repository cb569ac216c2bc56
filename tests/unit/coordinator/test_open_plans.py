"""Plans that are idle are forgotten, and built again from their rows."""

from collections.abc import Callable
from typing import Any

import pytest

from agents import open_plans
from agents.coordinator import PartitionState
from agents.deadlines import command_of
from agents.open_plans import FORGOTTEN_AT_ONCE, IDLE_MS, OpenPlan, OpenPlans
from agents.tables import plan_key
from schemas.results import Status
from tests.unit.coordinator.bench import Bench, requests, result, steps, submission

KEPT = 3
Admit = Callable[[], bytes]


@pytest.fixture(autouse=True)
def few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_plans, "KEPT", KEPT)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def admit(bench: Bench) -> Admit:
    """Opens a plan, gives its key."""

    def admit() -> bytes:
        plan = submission(steps([], [0]))
        bench.admit(plan)
        return plan_key(plan["plan"]["id"])

    return admit


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The keys of plans that were built from their rows."""
    keys: list[bytes] = []
    original = open_plans._built

    def build(tables: Any, key: bytes, row: bytes) -> OpenPlan:
        keys.append(key)
        return original(tables, key, row)

    monkeypatch.setattr(open_plans, "_built", build)
    return keys


def objects(state: PartitionState) -> OpenPlans:
    return state._open


@pytest.mark.interpreted
def test_a_busy_plan_is_never_built_again(
    bench: Bench, admit: Admit, built: list[bytes]
) -> None:
    """However many are open: what is used within the time stays as it is."""
    keys = [admit() for _ in range(5 * KEPT)]
    for _ in range(4):
        bench.now += IDLE_MS // 2
        bench.state.advance(bench.now)
        assert all(bench.state.open_plan(key) for key in keys)
        keys.append(admit())
    assert not built
    assert len(objects(bench.state)) == len(keys)


@pytest.mark.interpreted
def test_the_longest_idle_plans_are_forgotten_first(
    bench: Bench, admit: Admit, built: list[bytes]
) -> None:
    """By their last use, not by their admission."""
    first, *others = [admit() for _ in range(KEPT + 1)]
    bench.now += IDLE_MS
    bench.state.advance(bench.now)
    bench.state.open_plan(first)
    admit()
    assert len(objects(bench.state)) == KEPT
    assert bench.state.open_plan(first)
    assert not built
    assert bench.state.open_plan(others[0])
    assert built == [others[0]]


def test_few_plans_are_kept_however_idle(
    bench: Bench, admit: Admit, built: list[bytes]
) -> None:
    """To forget them would gain nothing."""
    keys = [admit() for _ in range(KEPT)]
    bench.now += 100 * IDLE_MS
    bench.state.advance(bench.now)
    assert all(bench.state.open_plan(key) for key in keys)
    assert not built


def test_forgetting_is_done_bit_by_bit(bench: Bench, admit: Admit) -> None:
    """A hundred thousand at once would hold the partition for a moment."""
    count = 10 * KEPT
    for _ in range(count):
        admit()
    bench.now += IDLE_MS
    for number in range(1, 4):
        admit()
        left = count - number * (FORGOTTEN_AT_ONCE - 1)
        assert len(objects(bench.state)) == left


def test_a_plan_that_ends_is_let_go_of(bench: Bench) -> None:
    """U3: whether it had been forgotten or not."""
    (asked,) = requests(bench.admit(submission(steps([]))))
    bench.succeed(asked)
    assert len(objects(bench.state)) == 0
    assert bench.state.open_plan(plan_key(asked.plan_id)) is None


@pytest.mark.interpreted
def test_a_forgotten_plan_goes_on_where_it_was(
    bench: Bench, admit: Admit, built: list[bytes]
) -> None:
    """Its result counts the steps that completed before."""
    (first,) = requests(bench.admit(submission(steps([], [0]))))
    (second,) = requests(bench.succeed(first, '"one"'))
    bench.now += IDLE_MS
    for _ in range(KEPT):
        admit()
    ended = result(bench.succeed(second, '"two"'))
    assert built == [plan_key(first.plan_id)]
    assert (ended.status, ended.steps_executed) == (Status.SUCCESS, 2)
    assert ended.result_payload == {first.step_id: '"one"', second.step_id: '"two"'}


def test_limits_that_are_due_build_no_plans(
    bench: Bench, admit: Admit, built: list[bytes]
) -> None:
    """A hundred thousand may be due at once: each needs the execution's id alone."""
    keys = [admit() for _ in range(KEPT)]
    known = [bench.state.execution_of(key) for key in keys]
    bench.restart()
    assert [bench.state.execution_of(key) for key in keys] == known
    assert None not in known
    assert bench.state.execution_of(b"?" * 16) is None
    bench.now += 60_000
    due = bench.state.deadlines.take_due(bench.now)
    assert len([command_of(bench.state, *each) for each in due]) == KEPT
    assert not built


@pytest.fixture
def nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_plans, "KEPT", 0)
    monkeypatch.setattr(open_plans, "IDLE_MS", 0)


@pytest.mark.usefixtures("nothing_is_kept")
def test_a_request_of_a_rebuilt_plan_carries_what_the_submission_says(
    bench: Bench,
) -> None:
    """All of it is read from the row again."""
    plan = submission(
        steps([], [0], payload={"a": 1}, timeout_ms=77, action="charge"),
        {"priority": 9},
        user_id="u",
        request_id="r",
        correlation_context={"c": "d"},
    )
    (first,) = requests(bench.admit(plan))
    assert len(objects(bench.state)) == 0
    bench.now += 5
    (second,) = requests(bench.succeed(first))
    assert second.step_id == plan["plan"]["steps"][1]["id"]
    assert vars(second) == vars(first) | {
        "step_id": second.step_id,
        "step_number": 1,
        "requested_at": bench.now,
    }
