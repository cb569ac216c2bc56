"""Requests about transactions that aiokafka does not know, in the shape of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from aiokafka.protocol.api import Request, RequestStruct, Response
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


class DescribeProducers(Request[_DescribeProducersV0]):
    """Which producers have written logs, and from where on a transaction is open."""

    API_KEY = 61

    def __init__(self, tps: Iterable[TopicPartition]) -> None:
        self._numbers: dict[str, list[int]] = defaultdict(list)
        for tp in tps:
            self._numbers[tp.topic].append(tp.partition)

    def build(
        self, request_struct_class: type[_DescribeProducersV0]
    ) -> _DescribeProducersV0:
        """Give it in a version that the broker knows."""
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


class DescribeTransactions(Request[_DescribeTransactionsV0]):
    """How the last transaction of an id stands."""

    API_KEY = 65

    def __init__(self, transactional_id: str) -> None:
        self._transactional_id = transactional_id

    def build(
        self, request_struct_class: type[_DescribeTransactionsV0]
    ) -> _DescribeTransactionsV0:
        """Give it in a version that the broker knows."""
        return request_struct_class([self._transactional_id], {})
