"""Dead letters are listed, shown and submitted again, each once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from typer.testing import CliRunner, Result

from agents.dead_letters import reason_headers
from agents.partitioner import partition_of
from schemas.validation import peek_ids
from streams import bootstrap
from streams.cli import app
from streams.config import Settings
from streams.exceptions import ReplayEnded
from streams.letters import Choice, fetch, scan
from streams.replay import replaying
from streams.results import new_consumer, partitions_of
from streams.topics import Topics
from tests.conftest import Broker
from tests.integration.plans import step, submission

PARTITIONS = 3
OWN = [("trace", b"\xff\x00"), ("reason", b"mine")]


class Place:
    """Where a record lay before it was refused."""

    def __init__(self, topic: str, partition: int) -> None:
        self.topic, self.partition = topic, partition
        self.offset, self.timestamp = 4, 5
        self.key = self.value = None
        self.headers = ()


@pytest.fixture
def settings(
    kafka: Broker, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """Give settings of topics that exist, also to commands."""
    monkeypatch.setenv("PLANSTREAM_BROKER", kafka.bootstrap)
    monkeypatch.setenv("PLANSTREAM_PREFIX", topic_prefix)
    monkeypatch.setenv("PLANSTREAM_PARTITIONS", str(PARTITIONS))
    monkeypatch.setenv("COLUMNS", "300")
    settings = Settings.load()
    asyncio.run(bootstrap.create(settings))
    return settings


def reject(
    settings: Settings, value: bytes, reason: str, *, source: str = "plans", to: int = 1
) -> str:
    """Put a letter on the topic of dead letters; its address."""

    async def send() -> str:
        topic = Topics.of(settings).rejected.name
        place: Any = Place(settings.prefix + source, to)
        headers = [*OWN, *reason_headers(place, reason, "as a test wants it")]
        producer = AIOKafkaProducer(**settings.connection())
        await producer.start()
        try:
            sent = await producer.send_and_wait(
                topic, value, key=b"\x00key", partition=to, headers=headers
            )
        finally:
            await producer.stop()
        return f"rejected-{sent.partition}@{sent.offset}"

    return asyncio.run(send())


def submitted(settings: Settings) -> list[Any]:
    """The records of the plans topic."""

    async def read() -> list[Any]:
        consumer = new_consumer(settings)
        await consumer.start()
        try:
            tps = partitions_of([Topics.of(settings).plans])
            consumer.assign(tps)
            await consumer.seek_to_beginning(*tps)
            ends, found = await consumer.end_offsets(tps), []
            while any([await consumer.position(tp) < ends[tp] for tp in tps]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += records
            return found
        finally:
            await consumer.stop()

    return asyncio.run(read())


def command(*words: str) -> Result:
    """Run `planstream rejected …`."""
    return CliRunner().invoke(app, ["rejected", *words])


def poison(settings: Settings) -> tuple[str, bytes]:
    """Put a letter there that may be replayed; its address and value."""
    value = json.dumps(submission(step())).encode()
    return reject(settings, value, "POISON"), value


def test_letters_are_listed_by_choice(settings: Settings) -> None:
    """R38: by reason, source and time; as a table, or as JSON lines."""
    first, value = poison(settings)
    second = reject(settings, b"garbage", "MALFORMED", source="step-outcomes", to=2)

    lines = command("list", "--json").stdout.splitlines()
    facts = {each["letter"]: each for each in map(json.loads, lines)}
    assert set(facts) == {first, second}
    ids = peek_ids(value)
    assert ids is not None
    assert facts[first]["plan_id"] == ids.plan_id
    assert facts[first]["source"] == "plans-1@4"
    assert facts[first]["bytes"] == len(value)
    assert facts[first]["replays"] == 0
    for options, wanted in (
        (["--reason", "POISON"], {first}),
        (["--source", "step-outcomes"], {second}),
        (["--since", "1h"], {first, second}),
        (["--since", "9999999999999"], set()),
    ):
        said = command("list", *options).stdout
        assert {each for each in facts if each in said} == wanted


def test_a_letter_is_shown(settings: Settings) -> None:
    """Headers and the value: a record of ours as JSON, else escaped or in hex."""
    address, _ = poison(settings)
    said = command("show", address).stdout
    assert "reason: POISON" in said
    assert '"name": "a test"' in said
    assert (
        "hello\\n" in command("show", reject(settings, b"hello\n", "MALFORMED")).stdout
    )
    assert (
        "00 ff 01"
        in command("show", reject(settings, b"\x00\xff\x01", "MALFORMED")).stdout
    )
    gone = command("show", "rejected-0@77")
    assert gone.exit_code == 1
    assert "there is no dead letter" in gone.stderr
    assert command("show", "nonsense").exit_code == 2


def test_a_replay_is_told_before_it_is_done(settings: Settings) -> None:
    """Without --yes nothing is submitted."""
    address, _ = poison(settings)
    said = command("replay", address)
    assert said.exit_code == 0
    assert "would be replayed" in said.stdout
    assert submitted(settings) == []


def test_a_letter_is_replayed_once(settings: Settings) -> None:
    """Key and value untouched, in the plan's partition; again only when asked for."""
    address, value = poison(settings)
    said = command("replay", "--reason", "POISON", "--yes")
    assert (said.exit_code, said.stdout) == (0, f"{address}  replayed\n")
    (record,) = submitted(settings)
    ids = peek_ids(value)
    assert ids is not None
    assert (record.key, record.value) == (b"\x00key", value)
    assert record.partition == partition_of(ids.plan_id.encode(), PARTITIONS)
    assert list(record.headers) == [*OWN, ("replay-of", address.encode())]

    (line,) = command("list", "--json").stdout.splitlines()
    assert json.loads(line)["replays"] == 1
    said = command("replay", address, "--yes")
    assert said.exit_code == 1
    assert "--again" in said.stdout
    assert len(submitted(settings)) == 1
    assert command("replay", address, "--yes", "--again").exit_code == 0
    assert len(submitted(settings)) == 2


@pytest.mark.parametrize(
    ("reason", "source", "whole", "hint"),
    [
        ("DUPLICATE_EXECUTION", "plans", True, "--force"),
        ("MALFORMED", "plans", False, "--force"),
        ("INVALID_ID", "plans", False, "--force"),
        ("MALFORMED", "step-outcomes", True, "no submission"),
    ],
)
def test_what_cannot_succeed_is_held_back(
    settings: Settings, reason: str, source: str, whole: bool, hint: str
) -> None:
    """R14, R38: with the reason, and the option that does it if there is one."""
    value = json.dumps(submission(step())).encode() if whole else b'{"plan": 1}'
    address = reject(settings, value, reason, source=source)
    said = command("replay", address, "--yes")
    assert said.exit_code == 1
    assert hint in said.stdout
    assert submitted(settings) == []
    forced = command("replay", address, "--yes", "--force")
    assert len(submitted(settings)) == (forced.exit_code == 0) == (source == "plans")


def test_two_replays_at_once_submit_a_letter_once(settings: Settings) -> None:
    """Who begins later fences the other, and sees what that has committed."""
    poison(settings)

    async def scenario() -> None:
        (letter,) = await scan(settings, Choice())
        (whole,) = [each async for each in fetch(settings, [letter.place])]
        async with replaying(settings) as first, replaying(settings) as second:
            assert (await scan(settings, Choice()))[0].replays == 0
            with pytest.raises(ReplayEnded):
                await first.replay(whole, letter.source.partition)
            await second.replay(whole, letter.source.partition)
            assert (await scan(settings, Choice()))[0].replays == 1

    asyncio.run(scenario())
    assert len(submitted(settings)) == 1
