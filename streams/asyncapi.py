"""An AsyncAPI 3.0 document of all topics, made from these and the models (U4)."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from schemas.codec import Format
from schemas.json_schema import named_schemas
from schemas.record import UUID4_PATTERN, Record
from streams.config import Settings
from streams.published import avro_schema, published_models, topic_headers
from streams.topics import Key, Requirement, Rule, Topic, Topics

ASYNCAPI = "3.0.0"
BINDINGS = "0.5.0"
AVRO = "application/vnd.apache.avro+json;version=1.9.0"
CONTENT_TYPES = {
    Format.AVRO: "application/vnd.apache.avro+binary",
    Format.JSON: "application/json",
}
_SCHEMAS = "#/components/schemas/{model}"
_UUID = {"type": "string", "pattern": UUID4_PATTERN}

Object = dict[str, Any]


class Use(NamedTuple):
    """What one kind of process does with a topic."""

    name: str
    role: str
    action: str
    topic: Topic
    group: str | None = None
    """The consumer group, where there is one."""


def document(settings: Settings) -> Object:
    """Describe an installation with these settings."""
    topics = Topics.of(settings)
    channels = {_name(settings, topic): topic for topic in topics.all()}
    return {
        "asyncapi": ASYNCAPI,
        "info": _info(),
        "defaultContentType": CONTENT_TYPES[Format(settings.format)],
        "servers": _servers(settings),
        "channels": {name: _channel(topics, topic) for name, topic in channels.items()},
        "operations": dict(_operations(settings, topics)),
        "components": {
            "messages": dict(_messages(topics)),
            "schemas": named_schemas(published_models(topics), _SCHEMAS),
        },
    }


def uses(settings: Settings, topics: Topics) -> Iterator[Use]:
    """Who does what with which topic."""
    yield from _of_coordinators(settings.coordinator_app_id, topics)
    yield from _of_workers(settings.worker_app_id, topics)
    handler = settings.error_handler_app_id
    yield Use(
        "handleFailures", "error handler", "receive", topics.failure, group=handler
    )
    yield Use("giveUpFailures", "error handler", "send", topics.failure_rejected)


def _of_coordinators(group: str, topics: Topics) -> Iterator[Use]:
    for name, topic in (
        ("admitPlans", topics.plans),
        ("foldOutcomes", topics.step_outcomes),
        ("foldCommands", topics.commands),
    ):
        yield Use(name, "coordinator", "receive", topic, group)
    yield Use("recoverState", "coordinator", "receive", topics.changelog)
    yield Use("hearQuestions", "coordinator", "receive", topics.questions)
    for name, topic in (
        ("movePlans", topics.plans),
        ("answerParents", topics.step_outcomes),
        ("sendCommands", topics.commands),
        ("haltAttempts", topics.halts),
        ("publishSuccesses", topics.success),
        ("publishPartials", topics.partial),
        ("publishFailures", topics.failure),
        ("publishAudits", topics.audit),
        ("publishEvents", topics.events),
        ("rejectRecords", topics.rejected),
        ("answerQuestions", topics.answers),
        ("keepState", topics.changelog),
    ):
        yield Use(name, "coordinator", "send", topic)
    for queue, topic in topics.requests.items():
        yield Use(f"requestSteps.{queue}", "coordinator", "send", topic)


def _of_workers(group: str, topics: Topics) -> Iterator[Use]:
    for queue, topic in topics.requests.items():
        yield Use(f"runSteps.{queue}", "step worker", "receive", topic, group)
    yield Use("hearHalts", "step worker", "receive", topics.halts)
    yield Use("hearWorkQuestions", "step worker", "receive", topics.questions)
    yield Use("answerWorkQuestions", "step worker", "send", topics.answers)
    yield Use("reportOutcomes", "step worker", "send", topics.step_outcomes)
    yield Use("submitChildren", "step worker", "send", topics.plans)


def _info() -> Object:
    try:
        release = version("planstream")
    except PackageNotFoundError:
        release = "0"
    return {
        "title": "planstream",
        "version": release,
        "description": "Plans come in on one topic and each ends in exactly one result "
        "on another. Values are Avro in single-object encoding (C3 01, the schema's "
        "fingerprint, the record) or JSON, told apart by their first byte. Readers "
        "have to be read_committed.",
        "license": {"name": "Apache-2.0"},
    }


def _servers(settings: Settings) -> Object:
    is_secure = "SSL" in settings.security_protocol
    protocol = "kafka-secure" if is_secure else "kafka"
    addresses = settings.broker.split(",")
    return {
        f"broker-{number}": {"host": address, "protocol": protocol}
        for number, address in enumerate(addresses, start=1)
    }


# -- channels


def _name(settings: Settings, topic: Topic) -> str:
    return topic.name.removeprefix(settings.prefix)


def _channel(topics: Topics, topic: Topic) -> Object:
    kafka = {
        "topic": topic.name,
        "partitions": topic.partitions,
        "topicConfiguration": {each.name: _value(each) for each in topic.requirements},
        "x-planstream-rules": {
            each.name: str(each.rule)
            for each in topic.requirements
            if each.rule is not Rule.FREE
        },
        "bindingVersion": BINDINGS,
    }
    return {
        "address": topic.name,
        "description": f"Keyed by: {topic.key}.",
        "messages": {
            name: {"$ref": f"#/components/messages/{name}"}
            for name in _message_names(topics, topic)
        },
        "bindings": {"kafka": kafka},
    }


def _value(requirement: Requirement) -> object:
    """A configuration entry as the binding's schema types it."""
    if requirement.name == "cleanup.policy":
        return requirement.value.split(",")
    if requirement.value.lstrip("-").isdecimal():
        return int(requirement.value)
    return requirement.value


# -- messages


def _message_names(topics: Topics, topic: Topic) -> list[str]:
    if not topic.values:
        return [_bytes_name(topic, topics)]
    return [f"{model.__name__}.{fmt.value}" for model in topic.values for fmt in Format]


def _bytes_name(topic: Topic, topics: Topics) -> str:
    names = {
        topics.rejected.name: "DeadLetter",
        topics.failure_rejected.name: "FailureDeadLetter",
        topics.changelog.name: "TableRow",
    }
    return names[topic.name]


def _messages(topics: Topics) -> Iterator[tuple[str, Object]]:
    for topic in topics.all():
        headers = topic_headers(topics, topic)
        for model in topic.values:
            for fmt in Format:
                name = f"{model.__name__}.{fmt.value}"
                yield name, _message(model, fmt, topic.key, headers)
        if not topic.values:
            yield _bytes_name(topic, topics), _bytes(topic, headers)


def _message(
    model: type[Record], fmt: Format, key: Key, headers: Object | None
) -> Object:
    if fmt is Format.AVRO:
        payload: Object = {"schemaFormat": AVRO, "schema": avro_schema(model)}
    else:
        payload = {"$ref": _SCHEMAS.format(model=model.__name__)}
    summary = (model.__doc__ or "").partition("\n")[0]
    return {
        "name": model.__name__,
        "title": f"{model.__name__} in {fmt.value}",
        "summary": summary,
        "contentType": CONTENT_TYPES[fmt],
        "payload": payload,
        **_of_record(key, headers),
    }


def _bytes(topic: Topic, headers: Object | None) -> Object:
    return {
        "title": str(topic.key),
        "contentType": "application/octet-stream",
        **_of_record(topic.key, headers),
    }


def _of_record(key: Key, headers: Object | None) -> Object:
    is_id = key not in {Key.AS_RECEIVED, Key.TABLE_ROW}
    kafka = {
        "key": _UUID if is_id else {"description": f"Bytes: {key}."},
        "bindingVersion": BINDINGS,
    }
    if headers is None:
        return {"bindings": {"kafka": kafka}}
    return {"headers": headers, "bindings": {"kafka": kafka}}


# -- operations


def _operations(settings: Settings, topics: Topics) -> Iterator[tuple[str, Object]]:
    for use in uses(settings, topics):
        channel = f"#/channels/{_name(settings, use.topic)}"
        operation: Object = {
            "action": use.action,
            "channel": {"$ref": channel},
            "summary": f"By every {use.role}.",
            "tags": [{"name": use.role}],
        }
        if use.group is not None:
            group = {"type": "string", "const": use.group}
            kafka = {"groupId": group, "bindingVersion": BINDINGS}
            operation["bindings"] = {"kafka": kafka}
        yield use.name, operation
