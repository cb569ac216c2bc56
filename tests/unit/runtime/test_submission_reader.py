"""Single submissions, read from where they lie."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from streams.config import Settings
from streams.runtime import submission_reader
from streams.runtime.submission_reader import SubmissionReader

Answer = list[tuple[int, bytes | None]] | Exception | None
"""Records, an error, or None: no answer at all."""


class Broker:
    """What a consumer gets, fetch by fetch; then nothing more."""

    def __init__(self, *answers: Answer, end: int = 100) -> None:
        self.answers = list(answers)
        self.end = end
        self.starts: list[Exception | None] = []
        self.made: list[Consumer] = []
        self.asked: list[tuple[TopicPartition, int]] = []

    def consumer(self, **options: Any) -> Consumer:
        self.made.append(Consumer(self, options))
        return self.made[-1]


class Consumer:
    """As much of aiokafka's as the reader uses."""

    def __init__(self, broker: Broker, options: dict[str, Any]) -> None:
        self._client = SimpleNamespace(send=None)
        self._broker = broker
        self._at: tuple[TopicPartition, int] | None = None
        self.options = options
        self.paused: list[TopicPartition] = []
        self.is_stopped = False

    async def start(self) -> None:
        error = self._broker.starts.pop(0) if self._broker.starts else None
        if error is not None:
            raise error

    async def stop(self) -> None:
        self.is_stopped = True

    def assign(self, tps: list[TopicPartition]) -> None:
        self._at = None

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self._at = tp, offset

    def pause(self, tp: TopicPartition) -> None:
        self.paused.append(tp)

    async def getmany(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        assert self._at is not None
        at, answer = self._at, (self._broker.answers or [[]]).pop(0)
        self._broker.asked.append(at)
        await asyncio.sleep(0)
        assert self._at == at, "two reads at once"
        if answer is None:
            await asyncio.Event().wait()
            raise AssertionError
        if isinstance(answer, Exception):
            raise answer
        records = [SimpleNamespace(offset=each, value=value) for each, value in answer]
        return {at[0]: records} if records else {}

    async def end_offsets(self, tps: list[TopicPartition]) -> dict[Any, int]:
        return dict.fromkeys(tps, self._broker.end)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission_reader, "PAUSE_S", 0.001)


def run(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, *places: tuple[int, int]
) -> list[bytes | None]:
    """Read all places at once with one reader."""

    async def scenario() -> list[bytes | None]:
        reader = SubmissionReader(Settings(), "plans")
        reads: list[Coroutine[Any, Any, bytes | None]] = [
            reader.read(*place) for place in places
        ]
        async with asyncio.timeout(5):
            found = await asyncio.gather(*reads)
        assert reader.look("it").todo == 0
        await reader.stop()
        return list(found)

    monkeypatch.setattr(submission_reader, "AIOKafkaConsumer", broker.consumer)
    return asyncio.run(scenario())


def test_the_record_at_the_offset_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows it in its batch is not; nothing is fetched ahead."""
    broker = Broker([(7, b"seven"), (8, b"eight")])
    assert run(broker, monkeypatch, (2, 7)) == [b"seven"]
    tp = TopicPartition("plans", 2)
    assert broker.asked == [(tp, 7)]
    assert broker.made[0].paused == [tp]
    assert broker.made[0].is_stopped


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        (OffsetOutOfRangeError(), 100),
        ([(9, b"nine")], 100),
        ([(7, None)], 100),
        ([], 7),
        ([], 0),
    ],
)
def test_what_is_there_no_longer_is_none(
    answer: Answer, end: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention removed it, or the topic was made anew."""
    assert run(Broker(answer, end=end), monkeypatch, (0, 7)) == [None]


def test_it_waits_while_the_broker_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """And while the partition's is slow."""
    broker = Broker(KafkaConnectionError(), [], [], [(7, b"seven")])
    broker.starts = [KafkaConnectionError(), KafkaConnectionError()]
    assert run(broker, monkeypatch, (0, 7)) == [b"seven"]
    assert [each.is_stopped for each in broker.made] == [True] * 3
    assert len(broker.asked) == 4


def test_a_broker_that_says_nothing_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a while; and others have their turn meanwhile."""
    monkeypatch.setattr(submission_reader, "TURN_S", 0.02)
    broker = Broker(None, [(8, b"eight")], [(7, b"seven")])
    assert run(broker, monkeypatch, (0, 7), (1, 8)) == [b"seven", b"eight"]


def test_reads_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that waits for its broker does not hold up the other."""
    broker = Broker([], [(8, b"eight")], [], [(7, b"seven")])
    assert run(broker, monkeypatch, (0, 7), (1, 8)) == [b"seven", b"eight"]
    assert [offset for _, offset in broker.asked] == [7, 8, 7, 7]
    assert len(broker.made) == 1


def test_nothing_is_connected_before_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Most installations never have a large environment."""
    broker = Broker()
    assert run(broker, monkeypatch) == []
    assert broker.made == []
