"""What is published of the records: Avro and JSON Schemas, of values and of headers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agents.core.admission import RejectReason
from agents.error_handler import HANDLER_FAILED
from schemas.avro_format import schema_of
from schemas.headers import letter_headers, result_headers
from schemas.json_schema import json_schema_of
from schemas.record import Record
from schemas.steps import ParentReference
from streams.letters import REPLAYED
from streams.topics import Topic, Topics

_TEXT = {"type": "string"}


def published_models(topics: Topics) -> tuple[type[Record], ...]:
    """The models of all that lies on topics, and of the header of a child plan."""
    on_topics = [model for topic in topics.all() for model in topic.values]
    return tuple(dict.fromkeys([*on_topics, ParentReference]))


def avro_schema(model: type[Record]) -> dict[str, Any]:
    """A model's Avro schema with all types it needs, as a file of its own has it."""
    schema: dict[str, Any] = _written(schema_of(model))
    return schema


def _written(part: Any) -> Any:
    """Take fastavro's marks out; split names, which not every tool takes whole."""
    if isinstance(part, list):
        return [_written(each) for each in part]
    if not isinstance(part, dict):
        return part
    kept = {
        name: value if name == "default" else _written(value)
        for name, value in part.items()
        if not name.startswith("__")
    }
    namespace, dot, name = str(part.get("name", "")).rpartition(".")
    return {**kept, "namespace": namespace, "name": name} if dot else kept


def headers_of(topics: Topics) -> dict[str, tuple[Topic, dict[str, Any]]]:
    """The schemas of headers by their subject, each with a topic that has them."""
    failed = letter_headers(
        (RejectReason.MALFORMED, HANDLER_FAILED),
        error_type=_TEXT,
        error_message=_TEXT,
    )
    return {
        "results": (topics.failure, result_headers()),
        "rejected": (topics.rejected, letter_headers((*RejectReason, REPLAYED))),
        "results.failure.rejected": (topics.failure_rejected, failed),
    }


def topic_headers(topics: Topics, topic: Topic) -> dict[str, Any] | None:
    """The schema of a topic's headers; None where none are promised."""
    if topic in topics.results:
        return result_headers()
    found = {each.name: schema for each, schema in headers_of(topics).values()}
    return found.get(topic.name)


def files(topics: Topics) -> Iterator[tuple[str, dict[str, Any]]]:
    """The files of an export: relative paths, and what stands in them as JSON."""
    for model in published_models(topics):
        yield f"avro/planstream.{model.__name__}.avsc", avro_schema(model)
    for model in published_models(topics):
        yield f"json/{model.__name__}.schema.json", json_schema_of(model)
    for subject, (_, schema) in headers_of(topics).items():
        yield f"json/headers.{subject}.schema.json", schema
