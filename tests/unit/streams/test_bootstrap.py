from dataclasses import replace
from typing import Any

import pytest

from streams.bootstrap import Aspect, Found, compare
from streams.config import Settings
from streams.topics import Topic, Topics

TOPICS = Topics.of(Settings.load(prefix="p.", broker="127.0.0.1:1"))


def as_needed(topic: Topic, replicas: int = 1, **config: str) -> Found:
    """Make a topic just as it is needed, but for some configuration."""
    entries = {each.name: each.value for each in topic.requirements}
    entries["min.insync.replicas"] = "2" if replicas >= 3 else "1"
    entries.update({name.replace("_", "."): value for name, value in config.items()})
    return Found(topic.partitions, replicas, led=True, config=entries)


def lines(topic: Topic, found: Found | None, replicas: int = 1) -> list[str]:
    """Compare, and give the lines."""
    return [str(each) for each in compare(topic, found, replicas)]


@pytest.mark.parametrize("topic", TOPICS.all(), ids=lambda topic: topic.name)
@pytest.mark.parametrize("replicas", [1, 3])
def test_a_topic_that_is_as_needed_fits(topic: Topic, replicas: int) -> None:
    """Nothing is said of it."""
    assert lines(topic, as_needed(topic, replicas), replicas) == []


def test_a_missing_topic_is_told_with_the_command_that_creates_it() -> None:
    """The remedy can be typed."""
    assert lines(TOPICS.plans, None) == [
        "p.plans: does not exist: run `planstream topics create`"
    ]


def test_another_partition_count_is_told_with_its_setting() -> None:
    """It cannot be changed, so the settings must follow; or the prefix."""
    found = replace(as_needed(TOPICS.plans), partitions=1)
    (line,) = lines(TOPICS.plans, found)
    assert line.startswith("p.plans: has 1 partition, needs 8: ")
    assert "PLANSTREAM_PARTITIONS=1" in line
    requests = TOPICS.requests["default"]
    (line,) = lines(requests, replace(as_needed(requests), partitions=3))
    assert "PLANSTREAM_REQUEST_PARTITIONS=3" in line


def test_the_broadcast_has_one_partition_and_no_setting_for_it() -> None:
    """A worker that reads one partition of two would miss half the halts."""
    (line,) = lines(TOPICS.halts, replace(as_needed(TOPICS.halts), partitions=2))
    assert line == (
        "p.halts: has 2 partitions, needs 1: "
        "delete it and run `planstream topics create`"
    )


def test_too_few_replicas_are_told() -> None:
    """An acknowledged plan must outlive a broker."""
    (line,) = lines(TOPICS.plans, replace(as_needed(TOPICS.plans, 3), replicas=2), 3)
    assert line.startswith("p.plans: has replication factor 2, needs 3: ")
    assert "PLANSTREAM_REPLICATION_FACTOR=2" in line


def test_more_replicas_than_needed_fit() -> None:
    """A careful operator is not a mistake."""
    assert lines(TOPICS.plans, as_needed(TOPICS.plans, 5), 3) == []


@pytest.mark.parametrize(
    ("topic", "config", "problem"),
    [
        (TOPICS.plans, {"cleanup_policy": "compact"}, "needs delete"),
        (TOPICS.plans, {"retention_ms": "1000"}, "needs at least 604800000"),
        (TOPICS.plans, {"retention_bytes": "1000"}, "needs -1"),
        (TOPICS.commands, {"max_message_bytes": "1048588"}, "needs 8454144"),
        (TOPICS.halts, {"retention_ms": "-1"}, "needs at most 3600000"),
        (TOPICS.changelog, {"cleanup_policy": "compact,delete"}, "needs compact"),
        (TOPICS.changelog, {"unclean_leader_election_enable": "true"}, "needs false"),
        (TOPICS.success, {"min_insync_replicas": "2"}, "needs at most 1"),
    ],
)
def test_a_configuration_that_would_lose_or_refuse_records_is_told(
    topic: Topic, config: dict[str, str], problem: str
) -> None:
    """What is there, what is needed, and the command that puts it right."""
    ((name, value),) = config.items()
    name = name.replace("_", ".")
    (mismatch,) = compare(topic, as_needed(topic, 1, **config), 1)
    assert mismatch.aspect is Aspect.CONFIGURATION
    assert mismatch.problem == f"has {name}={value}, {problem}"
    needed = problem.rpartition(" ")[2]
    assert mismatch.remedy == (
        f"run `kafka-configs --alter --topic {topic.name} --add-config {name}={needed}`"
    )


def test_an_acknowledgement_means_two_copies_where_there_are_three() -> None:
    """One copy of three would not outlive its broker."""
    found = as_needed(TOPICS.plans, 3, min_insync_replicas="1")
    (line,) = lines(TOPICS.plans, found, 3)
    assert "has min.insync.replicas=1, needs at least 2" in line


@pytest.mark.parametrize("config", [{"retention_ms": "1000"}, {"retention_bytes": "1"}])
def test_how_long_results_stay_is_the_operators(config: dict[str, Any]) -> None:
    """Results are for others to read; planstream does not need them again."""
    assert lines(TOPICS.success, as_needed(TOPICS.success, 1, **config)) == []


def test_entries_that_a_broker_does_not_know_are_not_asked_for() -> None:
    """Compatible brokers have fewer of them."""
    found = replace(as_needed(TOPICS.plans), config={})
    assert lines(TOPICS.plans, found) == []
