"""Who answers which questions, with what, and what happens to all others (U1, U3)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY

from agents.engine import Held
from agents.partitioner import partition_of
from schemas import codec
from schemas.status import PlanAnswer, Question, WorkAnswer
from streams.config import Settings
from streams.runtime import questions as module
from streams.runtime.questions import (
    Answer,
    CoordinatorAnswers,
    Desk,
    WorkerAnswers,
)
from streams.topics import Topics
from tests.unit.coordinator.bench import (
    PLANS_TOPIC,
    Source,
    new_id,
    steps,
    submission,
)
from tests.unit.runtime.test_commit import settle
from tests.unit.runtime.test_partition import START, Rig

SETTINGS = Settings.load(prefix="q.", partitions=4)
TOPICS = Topics.of(SETTINGS)


def question(asked_for: str, *, to_workers: bool = False) -> Question:
    return Question(
        question_id=new_id(),
        reply_to=new_id(),
        asked_for=asked_for,
        to_workers=to_workers,
    )


def taken(rig: Rig, count: int = 1) -> list[dict[str, Any]]:
    """Have a partition take plans, which is not committed yet."""
    plans = [submission(steps([])) for _ in range(count)]
    for plan in plans:
        rig.bench.rehome(plan)
    values = [json.dumps(plan).encode() for plan in plans]
    records = [Source(PLANS_TOPIC, 0, n, value) for n, value in enumerate(values)]
    rig.task.start(dict(START))
    rig.task.offer(records)
    return plans


def test_a_coordinator_answers_for_its_partitions() -> None:
    """U1: for no other, and not what workers are asked."""

    async def scenario() -> None:
        rig = Rig()
        (plan,) = taken(rig)
        await settle()
        answers = CoordinatorAnswers("c-1", lambda: [rig.task])
        asked = question(plan["execution_id"])
        answer = await answers.answer(asked, 0)
        assert answer is not None
        assert (answer.question_id, answer.coordinator) == (asked.question_id, "c-1")
        assert answer.running is not None
        assert answer.running.plan_id == plan["plan"]["id"]
        assert answer.holdings.pending_requests == 1
        assert await answers.answer(asked, 1) is None
        work = question(plan["plan"]["id"], to_workers=True)
        assert await answers.answer(work, 0) is None
        await rig.task.quiesce()

    asyncio.run(scenario())


def test_an_unknown_plan_is_answered_too() -> None:
    """U1: "unknown" is what an owner says, not its silence."""

    async def scenario() -> None:
        rig = Rig()
        taken(rig)
        await settle()
        answers = CoordinatorAnswers("c-1", lambda: [rig.task])
        answer = await answers.answer(question(new_id()), 0)
        assert answer is not None
        assert (answer.running, answer.ended) == (None, None)
        await rig.task.quiesce()

    asyncio.run(scenario())


def test_an_answer_waits_until_what_it_says_is_committed() -> None:
    """U1: else a crash could take back what was told."""

    async def scenario() -> None:
        rig = Rig()
        rig.producer.acknowledged.clear()
        (plan,) = taken(rig)
        await settle()
        view = asyncio.create_task(rig.task.view(plan["plan"]["id"]))
        await asyncio.sleep(0.02)
        assert not view.done()
        rig.producer.acknowledged.set()
        async with asyncio.timeout(5):
            assert (await view).running is not None
        assert rig.task.commit.committed == {PLANS_TOPIC: 1}
        await rig.task.quiesce()

    asyncio.run(scenario())


def test_an_answer_does_not_wait_for_what_comes_after_it() -> None:
    """U1: a partition that always has something to commit answers all the same."""

    async def scenario() -> None:
        rig = Rig()
        taken(rig)
        await settle()
        await asyncio.sleep(0.02)
        commits = rig.task.commit.commits
        async with asyncio.timeout(5):
            await rig.task.view(new_id())
        assert rig.task.commit.commits == commits == 1
        await rig.task.quiesce()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("to_workers", "partition", "answers"),
    [(True, 0, True), (True, 1, False), (False, 0, False)],
)
def test_a_worker_answers_what_workers_are_asked(
    to_workers: bool, partition: int, answers: bool
) -> None:
    """U3: once, of the partition where such questions lie."""

    async def scenario() -> None:
        worker = WorkerAnswers("w-1", lambda _: Held(2, 3))
        asked = question(new_id(), to_workers=to_workers)
        answer = await worker.answer(asked, partition)
        assert (answer is not None) == answers
        if answer is not None:
            assert (answer.running_attempts, answer.window_slots) == (2, 3)
            assert answer.worker == "w-1"

    asyncio.run(scenario())


def test_a_worker_without_an_engine_says_nothing() -> None:
    """U3: it cannot know yet what it will have to finish."""
    worker = WorkerAnswers("w-1", lambda _: None)
    asked = question(new_id(), to_workers=True)
    assert asyncio.run(worker.answer(asked, 0)) is None


# -- the desk


class FakeClient:
    """A consumer that gives what it is told to give, and a producer that keeps."""

    def __init__(self) -> None:
        self._client = object()
        self._closed = False
        self.batches: asyncio.Queue[Any] = asyncio.Queue()
        self.sent: list[tuple[str, int, bytes, bytes]] = []

    async def getmany(self, **_: Any) -> Any:
        batch = await self.batches.get()
        if isinstance(batch, BaseException):
            raise batch
        return batch

    async def send_and_wait(
        self, topic: str, value: bytes, *, key: bytes, partition: int
    ) -> None:
        self.sent.append((topic, partition, key, value))

    def ask(self, *values: bytes | None) -> None:
        """Let records lie on partition 1 of the questions."""
        records = [Source(TOPICS.questions.name, 1, 0, value) for value in values]
        self.batches.put_nowait({("questions", 1): records})


class Scripted:
    """An answerer that does as it is told."""

    def __init__(self, answer: Callable[[Question], Answer | None]) -> None:
        self._answer = answer
        self.hold = asyncio.Event()
        self.hold.set()
        self.partitions: list[int] = []

    async def answer(self, question: Question, partition: int) -> Answer | None:
        self.partitions.append(partition)
        await self.hold.wait()
        return self._answer(question)


def told(asked: Question) -> WorkAnswer:
    return WorkAnswer(
        question_id=asked.question_id,
        worker="w",
        at=1,
        running_attempts=0,
        window_slots=0,
    )


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    """What stands for both of a desk's clients."""
    made = FakeClient()

    async def nothing(*_: Any, **__: Any) -> None:
        """Connect to nothing."""

    monkeypatch.setattr(module, "AIOKafkaConsumer", lambda **_: made)
    monkeypatch.setattr(module, "best_effort_producer", lambda _: made)
    monkeypatch.setattr(module, "doubt_silence", lambda _: None)
    for name in ("connect", "disconnect", "assign"):
        monkeypatch.setattr(module, name, nothing)
    monkeypatch.setattr(module, "AGAIN_S", 0.01)
    return made


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


def ignored(reason: str) -> float:
    """How many questions were ignored, for a reason."""
    labels = {"topic": TOPICS.questions.name, "reason": reason}
    count = REGISTRY.get_sample_value("planstream_records_ignored_total", labels)
    return count or 0.0


def test_an_answer_goes_to_the_partition_of_its_key(client: FakeClient) -> None:
    """U1: where the one who asked reads; it tells the question."""

    async def scenario() -> None:
        desk = Desk(SETTINGS, TOPICS, Scripted(told))
        desk.start()
        asked = question(new_id())
        client.ask(codec.encode(asked))
        await eventually(lambda: client.sent)
        ((topic, partition, key, value),) = client.sent
        assert (topic, key) == ("q.answers", asked.reply_to.encode())
        assert partition == partition_of(key, 4)
        answer = codec.decode(value, PlanAnswer, WorkAnswer)
        assert answer == told(asked)
        await desk.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("garbage", [b"", None, b"{}", b"\xc3\x01garbage", b"\0" * 99])
def test_garbage_is_counted_and_the_next_question_is_answered(
    client: FakeClient, garbage: bytes | None
) -> None:
    """U1: whatever anybody writes to the topic."""

    async def scenario() -> None:
        desk = Desk(SETTINGS, TOPICS, Scripted(told))
        desk.start()
        before = ignored("MALFORMED")
        client.ask(garbage, codec.encode(question(new_id())))
        await eventually(lambda: client.sent)
        assert ignored("MALFORMED") == before + 1
        await desk.stop()

    asyncio.run(scenario())


def test_what_fails_or_is_cancelled_ends_nothing_else(client: FakeClient) -> None:
    """U1: a bug in an answer, a lost broker, a future that somebody cancelled."""

    async def scenario() -> None:
        failures: list[BaseException] = [ValueError("a bug")]

        def answer(asked: Question) -> Answer:
            if failures:
                raise failures.pop()
            return told(asked)

        desk = Desk(SETTINGS, TOPICS, Scripted(answer))
        desk.start()
        client.ask(codec.encode(question(new_id())))
        await eventually(lambda: not failures)
        client.batches.put_nowait(OSError("gone"))
        client.batches.put_nowait(asyncio.CancelledError())
        client.ask(codec.encode(question(new_id())))
        await eventually(lambda: client.sent)
        await desk.stop()

    asyncio.run(scenario())


def test_too_many_questions_at_once_are_ignored(
    client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """U1: folding must have its turn; who asked will ask again."""
    monkeypatch.setattr(module, "AT_ONCE", 2)

    async def scenario() -> None:
        answerer = Scripted(told)
        answerer.hold.clear()
        desk = Desk(SETTINGS, TOPICS, answerer)
        desk.start()
        before = ignored("too many at once")
        client.ask(*[codec.encode(question(new_id())) for _ in range(5)])
        await eventually(lambda: ignored("too many at once") == before + 3)
        answerer.hold.set()
        await eventually(lambda: len(client.sent) == 2)
        assert answerer.partitions == [1, 1]
        await desk.stop()

    asyncio.run(scenario())


def test_an_answer_that_takes_too_long_is_none(
    client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """U1: such as one that waits for a commit that stalls; its place is free again."""
    monkeypatch.setattr(module, "ANSWER_S", 0.01)
    monkeypatch.setattr(module, "AT_ONCE", 1)

    async def scenario() -> None:
        answerer = Scripted(told)
        answerer.hold.clear()
        desk = Desk(SETTINGS, TOPICS, answerer)
        desk.start()
        client.ask(codec.encode(question(new_id())))
        await asyncio.sleep(0.1)
        answerer.hold.set()
        client.ask(codec.encode(question(new_id())))
        await eventually(lambda: client.sent)
        assert len(client.sent) == 1
        await desk.stop()

    asyncio.run(scenario())


def test_a_desk_stops_while_it_answers(client: FakeClient) -> None:
    """U1: a process that leaves does not wait for answers."""

    async def scenario() -> None:
        answerer = Scripted(told)
        answerer.hold.clear()
        desk = Desk(SETTINGS, TOPICS, answerer)
        desk.start()
        client.ask(codec.encode(question(new_id())))
        await eventually(lambda: answerer.partitions)
        await desk.stop()
        assert [task for task in asyncio.all_tasks() if not task.done()] == [
            asyncio.current_task()
        ]
        assert not client.sent

    asyncio.run(scenario())
