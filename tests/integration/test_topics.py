import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams import bootstrap
from streams.bootstrap import Aspect
from streams.config import Settings
from streams.exceptions import BrokerUnreachable, TopicsDoNotFit
from streams.topics import Topics
from tests.conftest import Broker


@pytest.fixture
def settings(kafka: Broker, topic_prefix: str) -> Settings:
    """Give the settings of an installation that nobody else has."""
    return Settings.load(broker=kafka.bootstrap, prefix=topic_prefix, partitions=3)


def changed(settings: Settings, **changes: object) -> Settings:
    """Give the same settings but for some."""
    return Settings.load(**{**settings.model_dump(exclude_unset=True), **changes})


async def alter(settings: Settings, topic: str, **config: str) -> None:
    """Create a topic in another way than ours."""
    client = AIOKafkaAdminClient(**settings.connection())
    await client.start()
    try:
        entries = {name.replace("_", "."): value for name, value in config.items()}
        new = NewTopic(topic, 3, 1, topic_configs=entries)
        await client.create_topics([new])
    finally:
        await client.close()


def test_topics_are_created_as_they_are_needed(settings: Settings) -> None:
    """All of them, usable at once; and what was created fits."""

    async def scenario() -> None:
        missing = await bootstrap.check(settings)
        assert {each.aspect for each in missing} == {Aspect.MISSING}
        names = [topic.name for topic in Topics.of(settings).all()]
        assert [each.topic for each in missing] == names
        assert set(await bootstrap.create(settings)) == set(names)
        assert await bootstrap.check(settings) == []
        await bootstrap.require(settings)

    asyncio.run(scenario())


def test_to_create_again_changes_nothing(settings: Settings) -> None:
    """Every start may do it; also several at the same time."""

    async def scenario() -> None:
        every = await asyncio.gather(*(bootstrap.create(settings) for _ in range(4)))
        created = [name for names in every for name in names]
        assert len(created) == len(set(created)) == len(Topics.of(settings).all())
        assert await bootstrap.create(settings) == ()

    asyncio.run(scenario())


def test_a_new_route_needs_a_new_topic(settings: Settings) -> None:
    """Created beside the others, which are let be."""

    async def scenario() -> None:
        await bootstrap.create(settings)
        routed = changed(settings, routes={"render": "gpu"})
        (mismatch,) = await bootstrap.check(routed)
        assert mismatch.topic == f"{settings.prefix}step-requests.gpu"
        assert await bootstrap.create(routed) == (mismatch.topic,)
        assert await bootstrap.check(routed) == []

    asyncio.run(scenario())


def test_what_does_not_fit_is_told_and_not_changed(settings: Settings) -> None:
    """Other numbers in the settings than when the topics were created."""

    async def scenario() -> None:
        await bootstrap.create(settings)
        other = changed(settings, partitions=5, max_record_bytes=9_000_000)
        with pytest.raises(TopicsDoNotFit) as caught:
            await bootstrap.require(other)
        found = {(each.topic, each.aspect) for each in caught.value.mismatches}
        for topic in Topics.of(settings).all():
            assert (topic.name, Aspect.CONFIGURATION) in found
            has_count = topic.name != f"{settings.prefix}halts"
            assert ((topic.name, Aspect.PARTITIONS) in found) is has_count
        assert await bootstrap.create(other) == ()
        assert await bootstrap.check(settings) == []

    asyncio.run(scenario())


def test_a_topic_that_others_created_is_looked_at(settings: Settings) -> None:
    """Kafka's defaults are not ours; the message says what to run."""

    async def scenario() -> None:
        plans = Topics.of(settings).plans
        await alter(settings, plans.name, cleanup_policy="compact")
        await bootstrap.create(settings)
        lines = [str(each) for each in await bootstrap.check(settings)]
        assert len(lines) == 2
        assert f"{plans.name}: has cleanup.policy=compact, needs delete: " in lines[0]
        assert "has max.message.bytes=" in lines[1]

    asyncio.run(scenario())


def test_a_role_needs_its_own_topics_only(settings: Settings) -> None:
    """A worker starts without the changelog, a client without requests."""

    async def scenario() -> None:
        topics = Topics.of(settings)
        needed = topics.of_worker(["default"])
        assert set(await bootstrap.create(settings, needed)) == {
            topic.name for topic in needed
        }
        assert await bootstrap.check(settings, needed) == []
        missing = {each.topic for each in await bootstrap.check(settings)}
        assert topics.changelog.name in missing
        assert topics.plans.name not in missing

    asyncio.run(scenario())


def test_what_the_broker_refuses_is_told(settings: Settings) -> None:
    """More copies than brokers: its own words, none of ours lost."""

    async def scenario() -> None:
        with pytest.raises(TopicsDoNotFit) as caught:
            await bootstrap.create(changed(settings, replication_factor=3))
        mismatch = caught.value.mismatches[0]
        assert mismatch.aspect is Aspect.REFUSED
        assert "cannot be created" in str(mismatch)
        assert "InvalidReplicationFactorError" in str(mismatch)

    asyncio.run(scenario())


def test_looking_does_not_create(settings: Settings) -> None:
    """Brokers that create what is asked for would do so with one partition."""

    async def scenario() -> None:
        await bootstrap.check(settings)
        again = await bootstrap.check(settings)
        assert {each.aspect for each in again} == {Aspect.MISSING}

    asyncio.run(scenario())


def test_a_broker_that_is_not_there_is_told(settings: Settings) -> None:
    """The error carries the address."""
    nowhere = changed(settings, broker="127.0.0.1:1")
    with pytest.raises(BrokerUnreachable) as caught:
        asyncio.run(bootstrap.check(nowhere))
    assert caught.value.broker == "127.0.0.1:1"
