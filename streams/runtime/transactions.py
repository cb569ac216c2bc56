"""Transactions from outside: which are open in a log, how an id's last one stands."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, for_code
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.structs import TopicPartition

from streams.runtime.transaction_requests import (
    DescribeProducers,
    DescribeTransactions,
)

READ_UNCOMMITTED, READ_COMMITTED = 0, 1
LATEST = -1
"""Stands for the end of a log where a time is asked for."""
AGAIN_S = 0.1
TOO_OLD = (IncompatibleBrokerVersion, NotImplementedError)
"""What aiokafka raises when a broker does not know a request."""
NO_ERROR, FORBIDDEN, UNKNOWN_ID = 0, 29, 105
"""Codes of Kafka: of the last two, for a topic that one may not read, and for a
transactional id that nobody has used."""
ABORTED = {"Ongoing", "PrepareAbort", "PrepareEpochFence"}
"""States of a transaction that is aborted by whoever uses its id next."""
ABORTED_BY_AGE = "CompleteAbort"
"""The state when Kafka did that, as it was open for too long; or when an owner died
just after it had fenced another, or had ended what hung as an abort."""
ABORTING = {"PrepareAbort", "PrepareEpochFence", ABORTED_BY_AGE}
UNDER_WAY = ABORTED | {"PrepareCommit"}
"""States of a transaction that may still write, or whose markers are being written."""


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """A transaction that a log holds open, and whose."""

    tp: TopicPartition
    producer_id: int
    epoch: int
    start: int
    """Offset of its first record there: nothing from it on can be read."""


@dataclass(frozen=True, slots=True)
class LastTransaction:
    """How the last transaction of a transactional id stands, or once stood."""

    state: str
    partitions: frozenset[TopicPartition] = frozenset()
    """Kafka tells those of a transaction that has not ended."""

    @property
    def is_under_way(self) -> bool:
        """Whether markers of it may yet be written."""
        return self.state in UNDER_WAY

    @property
    def aborts(self) -> frozenset[TopicPartition]:
        """Where the id's next user aborts it by being there."""
        return self.partitions if self.state in ABORTED else frozenset()

    def after(self, earlier: LastTransaction) -> LastTransaction:
        """The same, with what was known when it was asked for earlier.

        Kafka aborts what is open for too long, and tells no longer in which partitions:
        first not where it could write no marker, which are those that matter, then not
        at all.
        """
        if self.state not in ABORTING:
            return self
        known = self.partitions | earlier.partitions
        return LastTransaction(self.state, known)

    def was_committed(self, tp: TopicPartition) -> bool:
        """How a transaction ended that one of its logs still holds open.

        One that was aborted is that of its own partitions, if they are known; whatever
        else is open had ended when that one began, so it was committed. So it was, by
        all odds, when the id's last user has done nothing: before it aborts anything it
        waits until all partitions have leaders, and a commit does not wait.
        """
        if self.state in ABORTED or (self.state == ABORTED_BY_AGE and self.partitions):
            return tp not in self.partitions
        return self.state != ABORTED_BY_AGE


NOBODY = LastTransaction("Empty")


async def hidden_logs(
    client: AIOKafkaClient, tps: Iterable[TopicPartition]
) -> list[TopicPartition]:
    """Ask which logs cannot be read to their ends by those who read committed.

    A partition that has no leader is left out.

    Raises:
        KafkaError: A leader does not answer, or leads no longer.
    """
    tps, found = list(tps), []
    await _get_to_know(client, tps)
    for leader, led in _by_leader(client, tps).items():
        # In this order: what is written in between would look as if it were hidden.
        written = await _ends(client, leader, led, READ_UNCOMMITTED)
        readable = await _ends(client, leader, led, READ_COMMITTED)
        found += [tp for tp in led if readable[tp] < written[tp]]
    return found


async def _ends(
    client: AIOKafkaClient, leader: int, tps: list[TopicPartition], isolation: int
) -> dict[TopicPartition, int]:
    topics: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for tp in tps:
        topics[tp.topic].append((tp.partition, LATEST))
    request = OffsetRequest(-1, isolation, list(topics.items()))
    response: Any = await client.send(leader, request)
    ends = {}
    for topic, partitions in response.topics:
        for number, code, _at, offset, *_ in partitions:
            if code:
                raise for_code(code)
            ends[TopicPartition(topic, number)] = offset
    return ends


@dataclass(frozen=True, slots=True)
class Seen:
    """What the leaders of logs have told of them."""

    open: list[OpenTransaction]
    unknown: frozenset[TopicPartition]
    """Logs of which nobody has told: they have no leader, or another one by now."""


async def see(
    client: AIOKafkaClient, tps: Iterable[TopicPartition], *, surely: bool = False
) -> Seen:
    """Ask the leaders of partitions for transactions that are open there now.

    A partition that may not be looked at, for want of the right to read, counts as one
    in which nothing is open.

    Args:
        client: whose connections are used.
        tps: the partitions.
        surely: have them prove that they still lead; any replica answers otherwise.

    Raises:
        KafkaError: A leader does not answer, or is too old to be asked: Kafka 2.7 or
            before (IncompatibleBrokerVersion).
    """
    tps = frozenset(tps)
    await _get_to_know(client, tps)
    by_leader = _by_leader(client, tps)
    responses = await asyncio.gather(
        *[client.send(node, DescribeProducers(led)) for node, led in by_leader.items()]
    )
    if surely:
        for node, led in by_leader.items():
            await _ends(client, node, led, READ_COMMITTED)
    codes = {tp: code for each in responses for tp, code in _codes(each)}
    unknown = {tp for tp in tps if codes.get(tp) not in {NO_ERROR, FORBIDDEN}}
    if unknown:
        await client.force_metadata_update()
    opened = [found for each in responses for found in _open_in(each)]
    return Seen(opened, frozenset(unknown))


async def _get_to_know(client: AIOKafkaClient, tps: Iterable[TopicPartition]) -> None:
    for topic in {tp.topic for tp in tps if _leader(client, tp) is None}:
        await client.add_topic(topic)


def _by_leader(
    client: AIOKafkaClient, tps: Iterable[TopicPartition]
) -> dict[int, list[TopicPartition]]:
    by_leader: dict[int, list[TopicPartition]] = defaultdict(list)
    for tp in tps:
        leader = _leader(client, tp)
        if leader is not None and leader >= 0:
            by_leader[leader].append(tp)
    return by_leader


def _leader(client: AIOKafkaClient, tp: TopicPartition) -> int | None:
    """A partition's leader, -1 where there is none; None where it is not known."""
    leader: int | None = client.cluster.leader_for_partition(tp)
    return leader


def _codes(response: Any) -> list[tuple[TopicPartition, int]]:
    return [
        (TopicPartition(topic, partition), code)
        for topic, partitions, _ in response.topics
        for partition, code, *_ in partitions
    ]


def _open_in(response: Any) -> list[OpenTransaction]:
    return [
        OpenTransaction(TopicPartition(topic, partition), producer, epoch, start)
        for topic, partitions, _ in response.topics
        for partition, _code, _message, producers, _ in partitions
        for producer, epoch, _last, _at, _by, start, _ in producers or ()
        if start >= 0
    ]


async def last_transaction(
    client: AIOKafkaClient, transactional_id: str
) -> LastTransaction:
    """Ask how the last transaction of an id stands; `NOBODY` where none is known.

    Raises:
        KafkaError: The broker that keeps the id does not answer, or is too old to be
            asked: Kafka 2.8 or before (IncompatibleBrokerVersion).
    """
    while True:
        try:
            node = await client.coordinator_lookup(
                CoordinationType.TRANSACTION, transactional_id
            )
            response = await client.send(
                node,
                DescribeTransactions(transactional_id),
                group=ConnectionGroup.COORDINATION,
            )
            ((code, _id, state, _timeout, _begun, _producer, _epoch, topics, _),) = (
                response.transaction_states
            )
            if code == UNKNOWN_ID:
                return NOBODY
            if code:
                raise for_code(code)
        except KafkaError as error:
            if not error.retriable:
                raise
            await client.force_metadata_update()
            await asyncio.sleep(AGAIN_S)
        else:
            tps = (
                TopicPartition(topic, number)
                for topic, numbers, _ in topics
                for number in numbers
            )
            return LastTransaction(state, frozenset(tps))


async def end_open(
    producer: AIOKafkaProducer, tps: Iterable[TopicPartition], *, committed: bool
) -> None:
    """End what a producer has left open in partitions, by one that has no records.

    Raises:
        KafkaError: It has not ended; the producer is of no use any more.
    """
    await producer.begin_transaction()
    for tp in tps:
        producer._txn_manager.maybe_add_partition_to_txn(tp)
    if committed:
        await producer.commit_transaction()
    else:
        await producer.abort_transaction()
