from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import NotLeaderForPartitionError
from aiokafka.structs import TopicPartition

from streams.runtime.transaction_requests import DescribeProducers
from streams.runtime.transactions import (
    FORBIDDEN,
    UNKNOWN_ID,
    LastTransaction,
    OpenTransaction,
    Seen,
    last_transaction,
    see,
)

HERE, THERE, AWAY = (TopicPartition("results", number) for number in range(3))
NOT_LEADER = 6


class Brokers:
    """A client of brokers that answer as the test says."""

    def __init__(self) -> None:
        self.cluster = SimpleNamespace(leader_for_partition=self._leader)
        self.leaders: dict[TopicPartition, int | None] = {HERE: 1, THERE: 2, AWAY: -1}
        self.codes: dict[TopicPartition, int] = {}
        self.producers: dict[TopicPartition, list[tuple[Any, ...]]] = {}
        self.leading: set[int] = {1, 2}
        self.states: list[tuple[int, str, list[Any]]] = []
        self.refreshed = 0
        self.added: list[str] = []

    def _leader(self, tp: TopicPartition) -> int | None:
        return self.leaders[tp]

    async def add_topic(self, topic: str) -> None:
        self.added.append(topic)
        self.leaders = {tp: leader or 1 for tp, leader in self.leaders.items()}

    async def force_metadata_update(self) -> None:
        self.refreshed += 1

    async def coordinator_lookup(self, _kind: Any, _name: str) -> int:
        return 1

    async def send(self, node: int, request: Any, group: Any = None) -> Any:
        if group is not None:
            code, state, topics = self.states.pop(0)
            fields: Any = (code, "some-id", state, 0, 0, 7, 3, topics, {})
            return SimpleNamespace(transaction_states=[fields])
        tps = [tp for tp in (HERE, THERE, AWAY) if self.leaders[tp] == node]
        if isinstance(request, DescribeProducers):
            return SimpleNamespace(topics=[self._described(tp) for tp in tps])
        code = 0 if node in self.leading else NOT_LEADER
        ends = [(tp.topic, [(tp.partition, code, -1, 9)]) for tp in tps]
        return SimpleNamespace(topics=ends)

    def _described(self, tp: TopicPartition) -> tuple[Any, ...]:
        producers = self.producers.get(tp)
        fields: Any = (tp.partition, self.codes.get(tp, 0), None, producers, {})
        return (tp.topic, [fields], {})


@pytest.fixture
def brokers() -> Brokers:
    return Brokers()


def ask(brokers: Brokers, *tps: TopicPartition, surely: bool = False) -> Seen:
    return asyncio.run(see(cast(Any, brokers), tps, surely=surely))


def test_open_transactions_are_told_apart_from_producers(brokers: Brokers) -> None:
    """Of all that have written to a log, those that hold it open."""
    brokers.producers = {
        HERE: [(7, 3, 0, 0, 0, -1, {}), (8, 4, 0, 0, 0, 40, {})],
        THERE: [],
    }
    seen = ask(brokers, HERE, THERE)
    assert seen == Seen([OpenTransaction(HERE, 8, 4, 40)], frozenset())
    assert not brokers.refreshed


def test_logs_without_a_leader_are_unknown(brokers: Brokers) -> None:
    """And so are those whose broker has lost them; leaders are looked up anew."""
    brokers.codes = {THERE: NOT_LEADER}
    assert ask(brokers, HERE, THERE, AWAY).unknown == {THERE, AWAY}
    assert brokers.refreshed == 1


def test_logs_that_may_not_be_read_are_taken_for_clear(brokers: Brokers) -> None:
    """Else nothing could be written without a right that writing does not need."""
    brokers.codes = {HERE: FORBIDDEN}
    assert ask(brokers, HERE) == Seen([], frozenset())


def test_a_replica_that_does_not_lead_is_not_believed(brokers: Brokers) -> None:
    """Any replica tells of producers; only who leads tells where a log ends."""
    brokers.leading = {1}
    assert not ask(brokers, HERE, THERE).unknown
    with pytest.raises(NotLeaderForPartitionError):
        ask(brokers, HERE, THERE, surely=True)


def test_topics_that_are_not_known_yet_are_asked_for(brokers: Brokers) -> None:
    """By the first who looks at them."""
    brokers.leaders = {HERE: None, THERE: None, AWAY: 1}
    assert not ask(brokers, HERE, THERE).unknown
    assert brokers.added == ["results"]


def test_the_last_transaction_of_an_id_is_told(brokers: Brokers) -> None:
    """Asked again while its broker is not ready; an id may be unknown."""
    coordinator_loads = 14
    topics: list[Any] = [("results", [0, 1], {})]
    brokers.states = [
        (coordinator_loads, "", []),
        (0, "Ongoing", topics),
        (UNKNOWN_ID, "", []),
    ]
    client = cast(Any, brokers)
    found = asyncio.run(last_transaction(client, "some-id"))
    assert found == LastTransaction("Ongoing", frozenset({HERE, THERE}))
    assert asyncio.run(last_transaction(client, "some-id")).state == "Empty"
