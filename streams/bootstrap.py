"""Creates the topics, checks those that exist."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from streams.broker import admin
from streams.config import Settings
from streams.exceptions import TopicsDoNotFit
from streams.topics import Requirement, Rule, Topic, Topics

ENOUGH_REPLICAS = 3
"""Copies with which one broker may be lost and another be restarted."""
VISIBLE_WITHIN_S = 15.0
"""How long a new topic may take until every broker knows it and has a leader."""
POLL_S = 0.05


class Aspect(StrEnum):
    """What about a topic does not fit."""

    MISSING = "missing"
    REFUSED = "refused"
    PARTITIONS = "partitions"
    REPLICATION = "replication"
    CONFIGURATION = "configuration"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing about one topic that does not fit, and what to do about it."""

    topic: str
    aspect: Aspect
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.problem}: {self.remedy}"


@dataclass(frozen=True, slots=True)
class Found:
    """What the broker says of an existing topic."""

    partitions: int
    replicas: int
    led: bool
    """Whether every partition has a leader."""
    config: Mapping[str, str]


async def create(
    settings: Settings, topics: Iterable[Topic] | None = None
) -> tuple[str, ...]:
    """Create what is missing of the topics (of all, by default); touch no other.

    Returns:
        The names of those created, in order; they can be used.

    Raises:
        BrokerUnreachable: The broker does not answer.
        TopicsDoNotFit: The broker refuses to create some of them.
    """
    wanted = _wanted(settings, topics)
    async with admin(settings) as client:
        there = await _describe(client)
        missing = [topic for topic in wanted if topic.name not in there]
        if not missing:
            return ()
        replicas = await _replicas(client, settings)
        created = await _create(client, missing, replicas)
        await _until_visible(client, missing)
        return created


async def check(
    settings: Settings, topics: Iterable[Topic] | None = None
) -> list[Mismatch]:
    """Compare the topics (all, by default) with what the settings need.

    Raises:
        BrokerUnreachable: The broker does not answer.
    """
    wanted = _wanted(settings, topics)
    async with admin(settings) as client:
        described = await _describe(client)
        there = [topic.name for topic in wanted if topic.name in described]
        configs = await _configs(client, there)
        replicas = await _replicas(client, settings)
    found = {name: _found(described[name], configs[name]) for name in there}
    return [
        mismatch
        for topic in wanted
        for mismatch in compare(topic, found.get(topic.name), replicas)
    ]


async def require(settings: Settings, topics: Iterable[Topic] | None = None) -> None:
    """Stop a start that could only go wrong later.

    Raises:
        BrokerUnreachable: The broker does not answer.
        TopicsDoNotFit: With every mismatch.
    """
    if mismatches := await check(settings, topics):
        raise TopicsDoNotFit(mismatches)


def compare(topic: Topic, found: Found | None, replicas: int) -> list[Mismatch]:
    """Say what of an existing topic does not fit; `replicas` is how many are needed."""
    if found is None:
        missing = Mismatch(
            topic.name,
            Aspect.MISSING,
            "does not exist",
            "run `planstream topics create`",
        )
        return [missing]
    return [
        *_compare_partitions(topic, found),
        *_compare_replicas(topic, found, replicas),
        *_compare_config(topic, found, replicas),
    ]


def _compare_partitions(topic: Topic, found: Found) -> list[Mismatch]:
    if found.partitions == topic.partitions:
        return []
    remedy = "delete it and run `planstream topics create`"
    if variable := topic.partitions_setting:
        remedy = (
            f"set {variable}={found.partitions}, or use another PLANSTREAM_PREFIX "
            "(the count is fixed once there are plans)"
        )
    problem = f"has {_count(found.partitions)}, needs {topic.partitions}"
    return [Mismatch(topic.name, Aspect.PARTITIONS, problem, remedy)]


def _count(partitions: int) -> str:
    return f"{partitions} partition" + "s" * (partitions != 1)


def _compare_replicas(topic: Topic, found: Found, replicas: int) -> list[Mismatch]:
    if found.replicas >= replicas:
        return []
    mismatch = Mismatch(
        topic.name,
        Aspect.REPLICATION,
        f"has replication factor {found.replicas}, needs {replicas}",
        "reassign it with kafka-reassign-partitions, or set "
        f"PLANSTREAM_REPLICATION_FACTOR={found.replicas}",
    )
    return [mismatch]


def _compare_config(topic: Topic, found: Found, replicas: int) -> list[Mismatch]:
    """Compare the entries that the broker knows: others' brokers have fewer."""
    needed = (
        *topic.requirements,
        _in_sync(replicas),
        # More than there are copies: nothing could be written, ever.
        Requirement("min.insync.replicas", str(found.replicas), Rule.AT_MOST),
    )
    return [
        _misconfigured(topic, requirement, found.config[requirement.name])
        for requirement in needed
        if requirement.name in found.config
        and not requirement.met_by(found.config[requirement.name])
    ]


def _misconfigured(topic: Topic, needed: Requirement, value: str) -> Mismatch:
    rule = "" if needed.rule is Rule.EXACTLY else f"{needed.rule} "
    return Mismatch(
        topic.name,
        Aspect.CONFIGURATION,
        f"has {needed.name}={value}, needs {rule}{needed.value}",
        f"run `kafka-configs --alter --topic {topic.name} "
        f"--add-config {needed.name}={needed.value}`",
    )


def _in_sync(replicas: int) -> Requirement:
    """Acknowledged means on two brokers, where there are three copies."""
    enough = 2 if replicas >= ENOUGH_REPLICAS else 1
    return Requirement("min.insync.replicas", str(enough), Rule.AT_LEAST)


def _wanted(settings: Settings, topics: Iterable[Topic] | None) -> tuple[Topic, ...]:
    return tuple(Topics.of(settings).all() if topics is None else topics)


async def _describe(client: AIOKafkaAdminClient) -> dict[str, dict[str, Any]]:
    """Describe every topic: to ask for one by name may create it, badly."""
    topics = await client.describe_topics()
    return {each["topic"]: each for each in topics if not each["error_code"]}


async def _replicas(client: AIOKafkaAdminClient, settings: Settings) -> int:
    if settings.replication_factor is not None:
        return settings.replication_factor
    cluster = await client.describe_cluster()
    return min(ENOUGH_REPLICAS, len(cluster["brokers"]))


async def _create(
    client: AIOKafkaAdminClient, topics: Sequence[Topic], replicas: int
) -> tuple[str, ...]:
    """Create topics; aiokafka puts errors into the response instead of raising."""
    response = await client.create_topics([_new(each, replicas) for each in topics])
    created, refused = [], []
    for name, code, *message in response.topic_errors:
        if code == 0:
            created.append(name)
        elif code != TopicAlreadyExistsError.errno:  # somebody was faster
            refused.append(_refused(name, code, *message))
    if refused:
        raise TopicsDoNotFit(refused)
    return tuple(created)


def _new(topic: Topic, replicas: int) -> NewTopic:
    needed = (*topic.requirements, _in_sync(replicas))
    return NewTopic(
        name=topic.name,
        num_partitions=topic.partitions,
        replication_factor=replicas,
        topic_configs={each.name: each.value for each in needed},
    )


def _refused(name: str, code: int, message: str | None = None) -> Mismatch:
    error = for_code(code)
    return Mismatch(
        name,
        Aspect.REFUSED,
        f"cannot be created: {message or error.description}",
        f"the broker says {error.__name__}",
    )


async def _until_visible(client: AIOKafkaAdminClient, topics: Sequence[Topic]) -> None:
    """Wait until the topics can be used; a broker acknowledges them earlier."""
    names = {topic.name for topic in topics}
    async with asyncio.timeout(VISIBLE_WITHIN_S):
        while True:
            described = await _describe(client)
            if all(name in described and _led(described[name]) for name in names):
                return
            await asyncio.sleep(POLL_S)


async def _configs(
    client: AIOKafkaAdminClient, names: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Read the effective configuration of topics, the broker's defaults included."""
    if not names:
        return {}
    asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    configs = {name: dict[str, str]() for name in names}
    for response in await client.describe_configs(asked):
        for _code, _message, _kind, name, entries in response.resources:
            configs[name] = {key: value for key, value, *_ in entries}
    return configs


def _found(described: Mapping[str, Any], config: Mapping[str, str]) -> Found:
    partitions = described["partitions"]
    return Found(
        partitions=len(partitions),
        replicas=min((len(each["replicas"]) for each in partitions), default=0),
        led=_led(described),
        config=config,
    )


def _led(described: Mapping[str, Any]) -> bool:
    partitions = described["partitions"]
    return bool(partitions) and all(each["leader"] >= 0 for each in partitions)
