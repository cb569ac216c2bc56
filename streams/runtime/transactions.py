"""Transactions from outside: which are open in a log, and how an id's last one stood.

aiokafka knows neither request, so they are here, in the shape of its own.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.protocol.types import (
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)
from aiokafka.structs import TopicPartition

READ_UNCOMMITTED, READ_COMMITTED = 0, 1
LATEST = -1
"""Stands for the end of a log where a time is asked for."""
AGAIN_S = 0.1
UNKNOWN_ID = 105
"""Kafka's code for a transactional id that nobody has used."""
ABORTED = {"Ongoing", "PrepareAbort", "PrepareEpochFence"}
"""States of a transaction that is aborted by whoever uses its id next."""
COMMITTED = {"PrepareCommit", "CompleteCommit"}


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
    """What was known of a transactional id before its next user fenced the last."""

    state: str
    partitions: frozenset[TopicPartition]
    """Of a transaction that has not ended."""

    def was_committed(self, tp: TopicPartition) -> bool:
        """How a transaction ended that one of its logs still holds open.

        One that the next user has aborted has the partitions that were told before;
        whatever else is open had ended when that one began, so it was committed.
        """
        if self.state in ABORTED:
            return tp not in self.partitions
        return self.state in COMMITTED


NOBODY = LastTransaction("Empty", frozenset())


async def hidden_logs(
    client: AIOKafkaClient, tps: Iterable[TopicPartition]
) -> list[TopicPartition]:
    """Ask which logs cannot be read to their ends by those who read committed.

    A partition that has no leader is left out.

    Raises:
        KafkaError: A leader does not answer, or leads no longer.
    """
    tps, found = list(tps), []
    for topic in {tp.topic for tp in tps if _leader(client, tp) is None}:
        await client.add_topic(topic)
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


async def open_transactions(
    client: AIOKafkaClient, tps: Iterable[TopicPartition]
) -> list[OpenTransaction]:
    """Ask the leaders of partitions for transactions that are open there now.

    A partition that has no leader, or may not be looked at, is left out.

    Raises:
        KafkaError: A leader does not answer.
        NotImplementedError: It is too old to be asked: Kafka 2.7 or before.
    """
    found: list[OpenTransaction] = []
    for leader, led in _by_leader(client, tps).items():
        found += _open_in(await client.send(leader, _DescribeProducers(led)))
    return found


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
        KafkaError: The broker that keeps the id does not answer.
        NotImplementedError: It is too old to be asked: Kafka 2.8 or before.
    """
    while True:
        try:
            node = await client.coordinator_lookup(
                CoordinationType.TRANSACTION, transactional_id
            )
            response = await client.send(
                node,
                _DescribeTransactions(transactional_id),
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


PARTITIONS_BY_TOPIC = CompactArray(
    ("topic", CompactString("utf-8")),
    ("partitions", CompactArray(Int32)),
    ("tags", TaggedFields),
)


class _DescribeProducersResponse(Response):
    API_KEY = 61
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("error_message", CompactString("utf-8")),
                        (
                            "producers",
                            CompactArray(
                                ("producer_id", Int64),
                                ("producer_epoch", Int32),
                                ("last_sequence", Int32),
                                ("last_timestamp", Int64),
                                ("coordinator_epoch", Int32),
                                ("transaction_start", Int64),
                                ("tags", TaggedFields),
                            ),
                        ),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeProducersV0(RequestStruct):
    API_KEY = 61
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _DescribeProducersResponse
    SCHEMA = Schema(("topics", PARTITIONS_BY_TOPIC), ("tags", TaggedFields))


class _DescribeProducers(Request[_DescribeProducersV0]):
    API_KEY = 61

    def __init__(self, tps: Iterable[TopicPartition]) -> None:
        self._numbers: dict[str, list[int]] = defaultdict(list)
        for tp in tps:
            self._numbers[tp.topic].append(tp.partition)

    def build(
        self, request_struct_class: type[_DescribeProducersV0]
    ) -> _DescribeProducersV0:
        topics: list[tuple[str, list[int], dict[int, bytes]]] = [
            (topic, numbers, {}) for topic, numbers in self._numbers.items()
        ]
        return request_struct_class(topics, {})


class _DescribeTransactionsResponse(Response):
    API_KEY = 65
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "transaction_states",
            CompactArray(
                ("error_code", Int16),
                ("transactional_id", CompactString("utf-8")),
                ("state", CompactString("utf-8")),
                ("timeout_ms", Int32),
                ("begun_at", Int64),
                ("producer_id", Int64),
                ("producer_epoch", Int16),
                ("topics", PARTITIONS_BY_TOPIC),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeTransactionsV0(RequestStruct):
    API_KEY = 65
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _DescribeTransactionsResponse
    SCHEMA = Schema(
        ("transactional_ids", CompactArray(CompactString("utf-8"))),
        ("tags", TaggedFields),
    )


class _DescribeTransactions(Request[_DescribeTransactionsV0]):
    API_KEY = 65

    def __init__(self, transactional_id: str) -> None:
        self._transactional_id = transactional_id

    def build(
        self, request_struct_class: type[_DescribeTransactionsV0]
    ) -> _DescribeTransactionsV0:
        return request_struct_class([self._transactional_id], {})
