"""Clocks that are wrong, or jump: limits hold, nothing is stuck, no time runs back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.results import Status
from streams import bootstrap
from tests.chaos.skewed import VARIABLE
from tests.conftest import Broker
from tests.integration.invariants import rows_left
from tests.integration.ledger import Trail
from tests.integration.live import HANDLERS, Live
from tests.integration.plans import chain, now_ms, step, submission
from tests.integration.system import Member, System, eventually

HOUR_MS = 3_600_000
SLACK_MS = 15_000
"""What a loaded machine may add to any limit."""
AHEAD_MS, BACK_MS = 30_000, 10_000
"""How far a coordinator's clock jumps."""


def skew(member: Member, ms: int) -> None:
    """Set a member's wall clock off by so much, now or at its start."""
    file = member.log.with_suffix(".skew")
    (new := file.with_suffix(".new")).write_text(str(ms))
    new.replace(file)
    member.module = "tests.chaos.skewed"
    member.environment = {**member.environment, VARIABLE: str(file)}


@pytest.fixture(scope="module")
def system(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    directory = tmp_path_factory.mktemp("clocks")
    system = System(kafka.bootstrap, f"test-{directory.name}-{now_ms()}.", directory)
    members = (system.coordinator(), system.worker(HANDLERS))
    for member in members:
        skew(member, 0)
    with asyncio.Runner() as runner:
        running = Live(system, runner)
        try:
            runner.run(bootstrap.create(system.settings))
            running.run(running.start(HANDLERS, {"coordinators": 0, "workers": 0}))
            for member in members:
                runner.run(member.start())
            yield running
            running.run(running.stop())
        finally:
            for member in members:
                runner.run(member.kill())


@pytest.fixture(autouse=True)
def _right_again(system: Live) -> Iterator[None]:
    yield
    for member in system.system.members:
        skew(member, 0)


def stepped(
    system: Live, role: str, ms: int, *made: dict[str, Any], timeout: float = 60
) -> list[Trail]:
    """Step the clock of a role's process while these plans run; their ends."""
    (member,) = system.system.of(role)

    async def scenario() -> list[Trail]:
        for each in made:
            await system.submit(each)
        for each in made:
            await system.ledger.begun(each["plan"]["id"])
        skew(member, ms)
        ends = [system.ledger.ended(each["plan"]["id"], timeout) for each in made]
        return list(await asyncio.gather(*ends))

    return system.run(scenario())


def slow_plans() -> list[dict[str, Any]]:
    """One that ends by itself, and one that its limit ends."""
    return [
        submission(*chain(3, "sleep", ms=400), timeout_ms=120_000),
        submission(step("sleep", {"ms": 110_000}), timeout_ms=8000),
    ]


def test_a_coordinators_clock_that_jumps_ahead_ends_only_what_is_due_by_it(
    system: Live,
) -> None:
    """A limit of 8 s is over, one of two minutes is not; both spans are told."""
    trails = stepped(system, "coordinator", AHEAD_MS, *slow_plans())
    assert trails[0].result.status is Status.SUCCESS
    assert trails[1].error.error_code == "PLAN_TIMEOUT"
    span_ms = trails[1].result.duration_ms
    assert 8000 <= span_ms <= 8000 + AHEAD_MS + SLACK_MS


def test_a_coordinators_clock_that_jumps_back_holds_limits_up_no_longer_than_that(
    system: Live,
) -> None:
    """No result ends before it began, no later step before an earlier one."""
    began = now_ms()
    again = submission(step("flaky", {"succeeds_at": 2}, on_failure="retry"))
    again["plan"]["retry_policy"] = {
        "max_attempts": 2,
        "backoff_ms": 100,
        "retryable_error_codes": ["FLAKY"],
    }
    plans = [*slow_plans(), again]
    trails = stepped(system, "coordinator", -BACK_MS, *plans, timeout=80)
    took_ms = now_ms() - began
    assert trails[0].result.status is Status.SUCCESS
    assert trails[2].result.status is Status.SUCCESS
    assert trails[1].error.error_code == "PLAN_TIMEOUT"
    assert trails[1].result.duration_ms >= 8000
    # A partition that folded during the test before is ahead by that jump, too.
    assert took_ms <= 8000 + AHEAD_MS + BACK_MS + SLACK_MS


def test_what_is_folded_after_a_jump_back_is_not_earlier(system: Live) -> None:
    """`now` stands still in a partition until the clock has caught up."""
    made = [submission(step()) for _ in range(2)]
    made[1]["plan"]["id"] = _on_same_partition(system, made[0]["plan"]["id"])
    first = system.execute(made[0]).result.completed_at
    (coordinator,) = system.system.of("coordinator")
    skew(coordinator, -30_000)
    later = system.execute(made[1])
    assert later.result.status is Status.SUCCESS
    assert later.result.completed_at >= first
    assert [each.at for each in later.audit.actions] == sorted(
        each.at for each in later.audit.actions
    )


def _on_same_partition(system: Live, plan_id: str) -> str:
    while True:
        other: str = submission(step())["plan"]["id"]
        if system.place_of(other) == system.place_of(plan_id):
            return other


@pytest.mark.parametrize("off_ms", [-30_000, 30_000])
def test_a_workers_clock_decides_nothing(system: Live, off_ms: int) -> None:
    """R10, R32: neither a step's own limit nor the plan's moves with it."""
    own = submission(step("sleep", {"ms": 60_000}, timeout_ms=1500), timeout_ms=120_000)
    good = submission(*chain(3, "sleep", ms=400), timeout_ms=120_000)
    trails = stepped(system, "worker", off_ms, own, good)
    assert trails[0].error.error_code == "STEP_TIMEOUT"
    assert 1500 <= trails[0].result.duration_ms <= 1500 + SLACK_MS
    assert trails[1].result.status is Status.SUCCESS


@pytest.mark.parametrize("off_ms", [-HOUR_MS, HOUR_MS])
def test_a_submitters_clock_that_is_an_hour_off_moves_no_limit(
    system: Live, off_ms: int
) -> None:
    """R10, R32: the plan's span runs from admission; what is told begins as it says."""
    good = submission(step(), timeout_ms=HOUR_MS)
    late = submission(step("sleep", {"ms": 60_000}), timeout_ms=1500)
    for made in (good, late):
        made["started_at"] += off_ms
        made["deadline_ms"] += abs(off_ms)
    began = now_ms()
    trails = system.execute_all(good, late)
    assert now_ms() - began < 1500 + SLACK_MS
    assert trails[0].result.status is Status.SUCCESS
    assert trails[1].error.error_code == "PLAN_TIMEOUT"
    for trail in trails:
        assert trail.result.duration_ms >= max(-off_ms, 0)
        started_at = trail.result.completed_at - trail.result.duration_ms
        assert abs(started_at - began - off_ms) < SLACK_MS


def test_nothing_is_left_behind(system: Live) -> None:
    """I1, I7: each plan ended once, the tables are empty."""
    system.run(system.ledger.catch_up())
    for plan_id, trail in system.ledger.trails.items():
        assert len(trail.results) == 1, plan_id
    system.run(eventually(lambda: rows_left(system.system), lambda rows: not rows))
