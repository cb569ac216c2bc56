"""Which topics these are: a topic made anew has the old name, and another id.

aiokafka speaks no version of the metadata request that tells topics' ids, so the one
that does (12, of Kafka 2.8) is declared here.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from io import BytesIO
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

METADATA_KEY, METADATA_VERSION = 3, 12
UNKNOWN_TOPIC = 3


class _TopicId(AbstractType[str]):
    """Sixteen bytes, as the text that Kafka's own tools show."""

    @classmethod
    def encode(cls, value: str) -> bytes:
        return base64.urlsafe_b64decode(value + "==")

    @classmethod
    def decode(cls, data: BytesIO) -> str:
        return base64.urlsafe_b64encode(data.read(16)).decode().rstrip("=")


NOBODY = "A" * 22
"""The id of no topic: a request with it goes by name."""

_TEXT = CompactString("utf-8")
_BROKER = Schema(
    ("node_id", Int32),
    ("host", _TEXT),
    ("port", Int32),
    ("rack", _TEXT),
    ("tags", TaggedFields),
)
_PARTITION = Schema(
    ("error_code", Int16),
    ("partition", Int32),
    ("leader", Int32),
    ("leader_epoch", Int32),
    ("replicas", CompactArray(Int32)),
    ("isr", CompactArray(Int32)),
    ("offline_replicas", CompactArray(Int32)),
    ("tags", TaggedFields),
)
_TOPIC = Schema(
    ("error_code", Int16),
    ("topic", _TEXT),
    ("topic_id", _TopicId),
    ("is_internal", Boolean),
    ("partitions", CompactArray(_PARTITION)),
    ("authorized_operations", Int32),
    ("tags", TaggedFields),
)


class _Answer(Response):
    API_KEY = METADATA_KEY
    API_VERSION = METADATA_VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", CompactArray(_BROKER)),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        ("topics", CompactArray(_TOPIC)),
        ("tags", TaggedFields),
    )


_NAME = CompactArray(("topic_id", _TopicId), ("name", _TEXT), ("tags", TaggedFields))


class _Question(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = METADATA_KEY
    API_VERSION = METADATA_VERSION
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        ("topics", _NAME),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _TopicsRequest(Request[_Question]):
    API_KEY = METADATA_KEY

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)

    def build(self, request_struct_class: Any) -> Any:
        tags: dict[int, bytes] = {}
        topics = [(NOBODY, name, tags) for name in self._names]
        return request_struct_class(topics, False, False, tags)


async def topic_ids(
    consumer: AIOKafkaConsumer, names: Iterable[str]
) -> dict[str, str | None]:
    """Ask a broker for the ids of topics; None for those that there are not.

    Raises:
        KafkaError: no broker answers, or not for all of them.
    """
    client = consumer._client
    response = await client.send(client.get_random_node(), _TopicsRequest(names))
    found: dict[str, str | None] = {}
    for code, name, topic_id, *_ in response.topics:
        if topic_id == NOBODY and code != UNKNOWN_TOPIC:
            raise for_code(code)(name)
        found[name] = None if topic_id == NOBODY else topic_id
    return found
