"""The closed loop, against a pipeline in memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from benchmarks.figures import Figures
from benchmarks.load import LOOK_INSIDE_EVERY, Load, Stuck, inspect
from benchmarks.processes import Usage
from benchmarks.scenarios import Pace, Scenario
from benchmarks.shapes import chain
from benchmarks.submissions import Submission, Terms, fresh_ids
from schemas.codec import encode_fields
from schemas.results import PlanResult

SHAPE = chain(3)
PACE = Pace(settle_s=0, warm_up_s=0.02, duration_s=0.1)
REJECTED = "rejected"


@dataclass
class Received:
    """A record, as far as the loop looks at it."""

    topic: str
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]


def result(submission: Submission, **wrong: Any) -> bytes:
    """Encodes the result of a chain of 3."""
    step_ids = [each.decode() for each in fresh_ids(3)]
    fields = {
        "plan_id": submission.plan_id.decode(),
        "execution_id": submission.execution_id.decode(),
        "status": "success",
        "completed_at": 2,
        "duration_ms": 1,
        "steps_executed": 3,
        "steps_total": 3,
        "result_payload": dict.fromkeys(step_ids, "{}"),
        "error": None,
    }
    return encode_fields(PlanResult, fields | wrong)


def success(submission: Submission, **wrong: Any) -> Received:
    """Answers a submission well, or with something wrong inside."""
    headers = [
        ("execution_id", submission.execution_id),
        ("status", b"success"),
    ]
    value = result(submission, **wrong)
    return Received("results.success", submission.plan_id, value, headers)


@dataclass
class Pipeline:
    """Answers what it was sent, at most 10 plans at a time."""

    answers: deque[Received] = field(default_factory=deque)
    in_flight: int = 0
    most: int = 0
    sent: int = 0
    wrong: dict[str, Any] = field(default_factory=dict)

    async def send(self, submissions: Sequence[Submission]) -> None:
        """Takes submissions, and has their answers ready."""
        self.sent += len(submissions)
        self.in_flight += len(submissions)
        self.most = max(self.most, self.in_flight)
        self.answers.extend(self.answer(each) for each in submissions)

    def answer(self, submission: Submission) -> Received:
        """Answers one submission."""
        return success(submission, **self.wrong)

    async def receive(self, timeout_s: float) -> list[Any]:
        """Gives up to 10 answers, a millisecond later."""
        await asyncio.sleep(0.001 if self.answers else timeout_s / 20)
        count = min(10, len(self.answers))
        self.in_flight -= count
        return [self.answers.popleft() for _ in range(count)]


class Deaf(Pipeline):
    """Answers nothing."""

    async def receive(self, timeout_s: float) -> list[Any]:
        """Waits in vain."""
        await asyncio.sleep(timeout_s / 100)
        return []


class Doubled(Pipeline):
    """Answers everything twice."""

    async def send(self, submissions: Sequence[Submission]) -> None:
        """Has each answer ready two times."""
        await super().send(submissions)
        self.answers.extend(list(self.answers)[-len(submissions) :])


class Refusing(Pipeline):
    """Refuses everything as a duplicate."""

    def answer(self, submission: Submission) -> Received:
        """Answers with a dead letter."""
        headers = [("reason", b"DUPLICATE_EXECUTION")]
        return Received(REJECTED, submission.plan_id, submission.value, headers)


def load(pipeline: Pipeline, patience_s: float = 5.0) -> Load:
    """Makes a loop round a pipeline."""
    steps = iter(range(1_000_000))

    def usages() -> dict[str, Usage]:
        return {"driver": Usage(float(next(steps)), 2**20)}

    return Load(pipeline, REJECTED, usages, lambda: None, patience_s)


async def measure(pipeline: Pipeline, in_flight: int) -> Load:
    """Measures one scenario, and closes the books."""
    tested = load(pipeline)
    await tested.measure(Scenario(SHAPE, in_flight, PACE))
    await tested.finish(linger_s=0.05)
    return tested


@pytest.mark.parametrize("in_flight", [1, 25])
def test_as_many_plans_are_in_flight_as_asked_for(in_flight: int) -> None:
    """Never more; all of them end; nothing is wrong with a pipeline that works."""
    pipeline = Pipeline()
    tested = asyncio.run(measure(pipeline, in_flight))
    assert pipeline.most == in_flight
    assert pipeline.sent == len(tested.tracker.answered) > in_flight
    assert not tested.tracker.problems


def test_only_the_window_counts() -> None:
    """Plans of the warm-up, and those left over, are not in the figures."""

    async def run() -> tuple[int, int, float]:
        pipeline = Pipeline()
        tested = load(pipeline)
        figures = await tested.measure(Scenario(SHAPE, 30, PACE))
        return figures.plans, pipeline.sent, figures.seconds

    plans, sent, seconds = asyncio.run(run())
    assert 0 < plans <= sent - 30
    assert PACE.duration_s <= seconds < PACE.duration_s + 0.1


def test_a_scenario_measures_at_least_one_plan() -> None:
    """A plan may take longer than the window."""

    async def run() -> int:
        instant = Pace(settle_s=0, warm_up_s=0, duration_s=0)
        figures = await load(Pipeline()).measure(Scenario(SHAPE, 1, instant))
        return figures.plans

    assert asyncio.run(run()) == 1


@pytest.mark.parametrize(("seconds", "least"), [(0.0, 3), (0.1, 1)])
def test_whole_plans_alone_are_what_a_window_holds(seconds: float, least: int) -> None:
    """None is under way at either end: what they cost is theirs."""
    pipeline = Pipeline()

    async def run() -> Figures:
        terms = Terms(payload="{}")
        return await load(pipeline).one_by_one(SHAPE, terms, seconds, least)

    figures = asyncio.run(run())
    assert figures.plans == pipeline.sent >= least
    assert figures.seconds >= seconds
    assert pipeline.most == 1


def test_plans_that_do_not_end_are_noticed() -> None:
    """After the patience, with their number."""
    with pytest.raises(Stuck, match="7 plans without a result") as caught:
        asyncio.run(load(Deaf(), 0.05).measure(Scenario(SHAPE, 7, PACE)))
    assert caught.value.waiting == 7


def test_a_process_that_died_is_noticed() -> None:
    """Before the patience is over."""

    def check() -> None:
        raise ChildProcessError("worker")

    tested = Load(Deaf(), REJECTED, dict, check, 60)
    with pytest.raises(ChildProcessError):
        asyncio.run(tested.measure(Scenario(SHAPE, 1, PACE)))


def test_second_results_are_noticed() -> None:
    """Also those that come after the window."""
    tested = asyncio.run(measure(Doubled(), 5))
    seconds = tested.tracker.problems["second result of a plan"]
    assert seconds == len(tested.tracker.answered)


def test_dead_letters_are_noticed() -> None:
    """They end no plan: the loop would wait for ever, and says so."""

    async def run() -> Load:
        tested = load(Refusing(), 0.1)
        with pytest.raises(Stuck):
            await tested.measure(Scenario(SHAPE, 5, PACE))
        await tested.finish(linger_s=0.05)
        return tested

    problems = asyncio.run(run()).tracker.problems
    assert problems["dead letter: DUPLICATE_EXECUTION"] == 5
    assert problems["plan without a result"] == 5


def test_some_results_are_looked_into() -> None:
    """A header that says success does not make one."""
    tested = asyncio.run(measure(Pipeline(wrong={"steps_executed": 2}), 10))
    seen = tested.tracker.problems["result with wrong counts"]
    assert seen == len(tested.tracker.answered) // LOOK_INSIDE_EVERY > 0


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({}, None),
        ({"steps_total": 4}, "result with wrong counts"),
        ({"result_payload": {}}, "result with wrong counts"),
        ({"status": "partial"}, "result whose value is no success"),
        (
            {"plan_id": fresh_ids(1)[0].decode()},
            "result of another plan than its key's",
        ),
    ],
)
def test_what_is_wrong_with_a_result_is_named(
    wrong: dict[str, Any], problem: str | None
) -> None:
    """Nothing, when nothing is."""
    plan_id, execution_id = fresh_ids(2)
    submission = Submission(plan_id, execution_id, b"")
    assert inspect(result(submission, **wrong), plan_id, 3) == problem


def test_a_result_that_cannot_be_read_is_named() -> None:
    """Whatever its bytes are."""
    assert inspect(b"\xc3\x01nonsense", b"plan", 3) == "result that cannot be read"
