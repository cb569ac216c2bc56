"""Who is asked for what, and what follows from answers and from silence (U1, U3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError

from agents.partitioner import partition_of
from schemas import codec
from schemas.commands import Limit
from schemas.results import Status
from schemas.status import (
    EndedPlan,
    Holdings,
    PlanAnswer,
    Question,
    RunningPlan,
    WorkAnswer,
)
from streams import asking as module
from streams.asking import Asking
from streams.config import Settings
from streams.exceptions import NotAsked
from streams.runtime.membership import Member
from streams.status import Known
from tests.unit.schemas.factories import EXECUTION_ID, NOW, PLAN_ID, uuid4

PARTITIONS = 4
SETTINGS = Settings.load(prefix="a.", partitions=PARTITIONS)
HOME = partition_of(PLAN_ID.encode(), PARTITIONS)
RUNNING = RunningPlan(
    plan_id=PLAN_ID,
    execution_id=EXECUTION_ID,
    parent_plan_id=None,
    admitted_at=NOW,
    ends_at=NOW + 1,
    limit=Limit.DEADLINE,
    steps_total=1,
    steps_completed=0,
    steps=(),
)
ENDED = EndedPlan(
    plan_id=PLAN_ID,
    execution_id=EXECUTION_ID,
    status=Status.PARTIAL,
    completed_at=NOW,
    steps_executed=1,
    steps_total=2,
    error_code="STEP_ERROR",
)


class Installation:
    """Coordinators and workers that answer as they are told; also the producer.

    Attributes:
        known: by partition, what its owner knows; it knows nothing by default.
        away: partitions whose owners are silent.
        deaf: how many questions nobody hears.
        workers: by name, what each holds; None is silent.
        asked: the partitions of the questions to coordinators, in order.
    """

    def __init__(self) -> None:
        self.known: dict[int, dict[str, Any]] = {}
        self.away: set[int] = set()
        self.deaf = 0
        self.workers: dict[str, tuple[int, int] | None] = {}
        self.asked: list[int] = []
        self.asking = Asking(SETTINGS, self)

    async def send_and_wait(
        self, topic: str, value: bytes, *, key: bytes, partition: int
    ) -> None:
        question = codec.decode(value, Question)
        assert topic == "a.questions"
        assert key == question.question_id.encode()
        if question.to_workers:
            assert partition == 0
            self._answer_as_workers(question)
        else:
            self.asked.append(partition)
            self._answer_as_owner(question, partition)

    def _answer_as_owner(self, question: Question, partition: int) -> None:
        self.deaf -= 1
        if self.deaf < 0 and partition not in self.away:
            held = Holdings(rows=0, timers=0, pending_requests=0)
            facts = {"running": None, "ended": None, "holdings": held}
            answer = PlanAnswer(
                question_id=question.question_id,
                coordinator=f"c-{partition}",
                partition=partition,
                at=NOW,
                **{**facts, **self.known.get(partition, {})},
            )
            self.asking._take(answer)

    def _answer_as_workers(self, question: Question) -> None:
        for name, held in self.workers.items():
            if held is not None:
                answer = WorkAnswer(
                    question_id=question.question_id,
                    worker=name,
                    at=NOW,
                    running_attempts=held[0],
                    window_slots=held[1],
                )
                self.asking._take(answer)


Scenario = Callable[[Installation], Coroutine[Any, Any, None]]


def run(scenario: Scenario) -> None:
    async def main() -> None:
        await scenario(Installation())

    asyncio.run(main())


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat questions soon."""
    monkeypatch.setattr(module, "REPEAT_S", 0.02)


def test_by_its_id_a_plans_owner_alone_is_asked() -> None:
    """U1: the partition follows from the id."""

    async def scenario(there: Installation) -> None:
        there.known[HOME] = {"running": RUNNING}
        found = await there.asking.status(PLAN_ID, 1)
        assert (found.state, found.running) == (Known.RUNNING, RUNNING)
        assert (found.partition, found.coordinator) == (HOME, f"c-{HOME}")
        assert there.asked == [HOME]

    run(scenario)


def test_by_its_executions_id_all_owners_are_asked() -> None:
    """U1: the id says nothing about the partition; an end is told by its status."""

    async def scenario(there: Installation) -> None:
        home = partition_of(EXECUTION_ID.encode(), PARTITIONS)
        there.known[(home + 1) % PARTITIONS] = {"ended": ENDED}
        found = await there.asking.status(EXECUTION_ID, 1)
        assert (found.state, found.ended) == (Known.PARTIAL, ENDED)
        assert there.asked[0] == home
        assert sorted(there.asked) == [*range(PARTITIONS)]

    run(scenario)


def test_unknown_is_what_all_owners_say() -> None:
    """U1: each was asked once, and nobody waited for anything."""

    async def scenario(there: Installation) -> None:
        async with asyncio.timeout(1):
            found = await there.asking.status(PLAN_ID, 60)
        assert (found.state, found.away) == (Known.UNKNOWN, ())
        assert sorted(there.asked) == [*range(PARTITIONS)]

    run(scenario)


def test_an_owner_that_is_away_is_named() -> None:
    """U1: nobody else can say that the plan is unknown."""

    async def scenario(there: Installation) -> None:
        there.away = {HOME, (HOME + 1) % PARTITIONS}
        found = await there.asking.status(PLAN_ID, 0.2)
        assert found.state is Known.OWNER_AWAY
        assert set(found.away) == there.away
        assert len([each for each in there.asked if each in there.away]) > 2

    run(scenario)


def test_a_plan_is_known_whoever_else_is_away() -> None:
    """U1: an id has one owner."""

    async def scenario(there: Installation) -> None:
        there.known[HOME] = {"ended": ENDED}
        there.away = {*range(PARTITIONS)} - {HOME}
        found = await there.asking.status(PLAN_ID, 1)
        assert (found.state, found.away) == (Known.PARTIAL, ())

    run(scenario)


def test_a_question_that_nobody_heard_is_asked_again() -> None:
    """U1: an owner that has just taken over may have missed it."""

    async def scenario(there: Installation) -> None:
        there.known[HOME] = {"running": RUNNING}
        there.deaf = 2
        found = await there.asking.status(PLAN_ID, 5)
        assert found.state is Known.RUNNING

    run(scenario)


def test_a_broker_that_takes_no_question_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """U1: that is not "owner away"."""

    async def refuse(*_: Any, **__: Any) -> None:
        raise KafkaTimeoutError

    async def scenario(there: Installation) -> None:
        monkeypatch.setattr(there, "send_and_wait", refuse)
        with pytest.raises(NotAsked):
            await there.asking.status(PLAN_ID, 1)

    run(scenario)


def test_a_reader_that_has_died_is_an_error() -> None:
    """U1: nor is that "owner away"."""

    async def fail() -> None:
        raise OSError("gone")

    async def scenario(there: Installation) -> None:
        there.away = {*range(PARTITIONS)}
        there.asking._reading = asyncio.create_task(fail())
        with pytest.raises(NotAsked, match="gone"):
            await there.asking.status(PLAN_ID, 0.05)

    run(scenario)


# -- U3


def member(name: str, *, static: bool = True) -> Member:
    return Member(f"{name}-uuid", name if static else None, "/127.0.0.1", ())


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> list[Member]:
    """The members of the workers' group."""
    found: list[Member] = []

    async def ask(settings: Settings, name: str) -> list[Member]:
        assert name == settings.worker_app_id
        return found

    monkeypatch.setattr(module, "members", ask)
    return found


def test_resources_are_those_of_the_owner_and_of_all_workers(
    group: list[Member],
) -> None:
    """U3: what each worker holds is told, and the sum."""

    async def scenario(there: Installation) -> None:
        held = Holdings(rows=3, timers=2, pending_requests=2)
        there.known[HOME] = {"running": RUNNING, "holdings": held}
        there.workers = {"w-2": (1, 4), "w-1": (0, 0)}
        group.extend([member("w-1"), member("w-2")])
        found = await there.asking.resources(PLAN_ID, 60)
        assert found.state is Known.RUNNING
        assert (found.rows, found.timers, found.pending_requests) == (3, 2, 2)
        assert (found.running_attempts, found.window_slots) == (1, 4)
        assert [each.worker for each in found.workers] == ["w-1", "w-2"]
        assert (found.total, found.is_complete) == (12, True)

    run(scenario)


@pytest.mark.parametrize("static", [True, False])
def test_a_worker_that_is_away_is_named(group: list[Member], static: bool) -> None:
    """U3: it may run attempts; a member that is not static has the group's name."""

    async def scenario(there: Installation) -> None:
        there.known[HOME] = {"ended": ENDED}
        there.workers = {"w-1": (0, 0), "w-2": None}
        group.extend([member(name, static=static) for name in there.workers])
        found = await there.asking.resources(PLAN_ID, 0.1)
        assert (found.state, found.total) == (Known.PARTIAL, 0)
        assert found.workers_away == (("w-2",) if static else ("w-2-uuid",))
        assert not found.is_complete

    run(scenario)


def test_a_child_that_is_to_come_is_unknown_and_holds_a_row(
    group: list[Member],
) -> None:
    """U3, R39: that its parent has ended is remembered until it comes."""

    async def scenario(there: Installation) -> None:
        held = Holdings(rows=1, timers=0, pending_requests=0)
        there.known[HOME] = {"holdings": held}
        assert not group
        found = await there.asking.resources(PLAN_ID, 60)
        assert (found.state, found.rows) == (Known.UNKNOWN, 1)
        assert (await there.asking.status(uuid4(77), 60)).state is Known.UNKNOWN

    run(scenario)
