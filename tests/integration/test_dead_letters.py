"""What is no plan at all, or too much of one, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.results import Status
from schemas.validation import peek_ids
from tests.conftest import Broker
from tests.integration.foreign import write_avro, write_fields
from tests.integration.invariants import rows_left
from tests.integration.ledger import Trail
from tests.integration.live import ADDED, Live, live
from tests.integration.plans import new_id, step, submission
from tests.integration.system import eventually

MAX_BYTES = 1_048_576
HEADERS = [("trace", b"\xff\x00"), ("trace", b"again"), ("reason", b"mine")]


@pytest.fixture(scope="module")
def system(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(kafka, tmp_path_factory.mktemp("dead-letters")) as system:
        yield system


# -- what is rejected


def malformed() -> dict[str, bytes | None]:
    """Records that are no submission at all, by what is wrong with them."""
    text = json.dumps(submission(step()))
    avro = write_avro(submission(step()))
    twice = text.replace('"version"', f'"id": "{new_id()}", "version"')
    return {
        "garbage": b"garbage",
        "binary garbage": bytes(range(1, 256)),
        "empty": b"",
        "tombstone": None,
        "half of it": text[:-20].encode(),
        "something after it": text.encode() + b"{}",
        "duplicate members": twice.encode(),
        "duplicate members of a payload": text.replace(
            '"payload": {}', '"payload": {"a": 1, "a": 2}'
        ).encode(),
        "BOM": b"\xef\xbb\xbf" + text.encode(),
        "UTF-16": text.encode("utf-16"),
        "no UTF-8": text.replace("a test", "\u00e9").encode("latin-1"),
        "NaN": text.replace('"here"', "NaN").encode(),
        "Infinity": text.replace('"here"', "-Infinity").encode(),
        "lone surrogate": text.replace('"here"', '"\\ud800"').encode(),
        "trailing comma": text.replace('"here"', '"here",').encode(),
        "a list": b"[1]",
        "a number": b"17",
        "null": b"null",
        "truncated Avro": avro[:-5],
        "Avro with a tail": avro + b"\0",
        "Avro header alone": avro[:10],
        "half an Avro header": avro[:5],
        "Avro of another schema": avro[:2] + b"12345678" + avro[10:],
        "registry framing": b"\0\0\0\0\x01" + avro[10:],
    }


@pytest.mark.parametrize("kind", malformed())
def test_what_cannot_be_read_becomes_a_dead_letter(system: Live, kind: str) -> None:
    """R37, R38: MALFORMED; key, value and headers untouched, the reason after them."""
    value = malformed()[kind]

    async def sent() -> tuple[Any, Any]:
        place = await system.send(value, b"\x00key", headers=HEADERS)
        return place, await system.ledger.dead_letter(place)

    place, letter = system.run(sent())
    assert (letter.key, letter.value) == (b"\x00key", value)
    assert list(letter.headers[:-6]) == HEADERS
    assert [name for name, _ in letter.headers[-6:]] == ADDED
    added = dict(letter.headers[-6:])
    assert added["reason"] == b"MALFORMED"
    assert added["reason-detail"]
    assert added["source-topic"].decode() == system.system.topics.plans.name
    assert int(added["source-partition"]) == place.partition
    assert int(added["source-offset"]) == place.offset
    assert int(added["source-timestamp"]) == place.timestamp


def test_a_dead_letter_tells_the_position_in_the_value(system: Live) -> None:
    """R38: where in the bytes the reader stopped."""
    letter = system.rejected(b'{"plan": {"id": tru}}', "MALFORMED")
    assert b"16" in dict(letter.headers)["reason-detail"]


def without_ids() -> dict[str, dict[str, Any]]:
    """Submissions whose ids are not both valid."""
    made = {name: submission(step()) for name in ["a", "b", "c", "d", "e", "f", "g"]}
    made["a"]["plan"]["id"] = made["a"]["plan"]["id"].upper().replace("0", "A")
    made["b"]["plan"]["id"] = "00000000-0000-1000-8000-000000000000"
    made["c"]["plan"]["id"] = None
    del made["d"]["execution_id"]
    made["e"]["execution_id"] = made["e"]["execution_id"].replace("-", "")
    made["f"]["plan"] = "a plan"
    made["g"]["plan"]["id"] = f" {new_id()}"
    return {
        "upper case": made["a"],
        "version 1": made["b"],
        "null": made["c"],
        "no execution id": made["d"],
        "no hyphens": made["e"],
        "plan is no object": made["f"],
        "a blank": made["g"],
        "nothing at all": {},
    }


@pytest.mark.parametrize("kind", without_ids())
def test_a_record_without_both_ids_becomes_a_dead_letter(
    system: Live, kind: str
) -> None:
    """Refusals, R34, R38: INVALID_ID, as there is nobody to answer to."""
    system.rejected(json.dumps(without_ids()[kind]).encode(), "INVALID_ID")


def test_avro_without_valid_ids_becomes_a_dead_letter(system: Live) -> None:
    """R38: the same in Avro."""
    made = submission(step())
    made["execution_id"] = "17"
    system.rejected(write_avro(made), "INVALID_ID")


# -- too much


def padded(size: int, made: dict[str, Any]) -> bytes:
    """A submission as JSON of exactly so many bytes."""
    value = json.dumps(made).encode()
    return value + b" " * (size - len(value))


def test_a_submission_may_be_as_large_as_the_limit(system: Live) -> None:
    """R38: max_submission_bytes counts the value's bytes."""
    made = submission(step())
    trail = system.produce(padded(MAX_BYTES, made), made)
    assert trail.result.status is Status.SUCCESS


def test_a_larger_submission_is_refused(system: Live) -> None:
    """Refusals: RESOURCE_EXHAUSTED when its ids can be read; the topic takes it."""
    for size in (MAX_BYTES + 1, 7_000_000):
        made = submission(step(), step())
        trail = system.produce(padded(size, made), made)
        assert trail.result.status is Status.FAILURE
        assert trail.error.error_code == "RESOURCE_EXHAUSTED"
        assert trail.result.steps_total == 2


def test_a_larger_submission_without_ids_becomes_a_dead_letter(system: Live) -> None:
    """Refusals, R38: TOO_LARGE."""
    made = submission(step())
    del made["execution_id"]
    system.rejected(padded(MAX_BYTES + 1, made), "TOO_LARGE")


def nested(depth: int, made: dict[str, Any]) -> bytes:
    """A submission whose environment nests so deep, the record included."""
    inner = "[" * (depth - 2) + "]" * (depth - 2)
    return json.dumps(made).replace('"here"', inner).encode()


def test_a_submission_may_nest_as_deep_as_the_limit(system: Live) -> None:
    """R37: 200 levels are admitted, and reach the handler."""
    made = submission(step("depth", {"name": "where"}))
    trail = system.produce(nested(200, made), made)
    assert trail.result.status is Status.SUCCESS, trail.result
    assert list(trail.result.result_payload.values()) == ["198"]


@pytest.mark.parametrize("depth", [201, 5_000, 300_000])
def test_a_deeper_submission_is_refused(system: Live, depth: int) -> None:
    """R37: RESOURCE_EXHAUSTED when its ids can be read, else TOO_DEEP."""
    made = submission(step())
    trail = system.produce(nested(depth, made), made)
    assert trail.result.status is Status.FAILURE
    assert trail.error.error_code == "RESOURCE_EXHAUSTED"
    made = submission(step())
    del made["execution_id"]
    system.rejected(nested(depth, made), "TOO_DEEP")


def test_deep_text_in_an_avro_record_harms_nobody(system: Live) -> None:
    """R37: a refusal, however deep."""
    for depth in (201, 100_000):
        made = submission(step())
        fields = {**made, "environment": {"where": "[" * depth + "]" * depth}}
        fields["plan"]["steps"][0]["payload"] = "{}"
        trail = system.produce(write_fields(fields), made)
        assert trail.result.status is Status.FAILURE
        assert trail.result.steps_executed == 0


# -- more than a topic takes


async def compressed(system: Live, value: bytes, **how: Any) -> Any:
    """Produce a record with gzip: topics limit what a batch has when it is sent."""
    plans = system.system.topics.plans.name
    async with system.system.producer(compression_type="gzip") as producer:
        return await producer.send_and_wait(plans, value, **how)


def test_a_record_larger_than_our_topics_take_is_cut(system: Live) -> None:
    """R38: its beginning, why, and where all of it lies; the coordinator goes on."""
    count = system.system.settings.partitions
    made = submission(step())
    away = (system.place_of(made["plan"]["id"]) + 1) % count

    async def sent(value: bytes, **how: Any) -> Any:
        place = await compressed(system, value, key=b"key", **how)
        return await system.ledger.dead_letter(place)

    for value, reason, partition in (
        (b"z" * 12_000_000, b"MALFORMED", 0),
        (padded(12_000_000, made), b"TOO_LARGE", away),
    ):
        letter = system.run(sent(value, partition=partition, headers=HEADERS))
        assert (letter.key, letter.value) == (b"key", value[:65_536])
        assert [name for name, _ in letter.headers] == ADDED
        headers = dict(letter.headers)
        assert headers["reason"] == reason
        assert b"120000" in headers["reason-detail"]


def test_a_huge_submission_in_its_place_is_refused(system: Live) -> None:
    """Refusals, R41: RESOURCE_EXHAUSTED; no header is larger than a plan's may be."""
    made = submission(step(), members={"correlation_context": {"a": "b" * 12_000_000}})
    value, plan_id = json.dumps(made).encode(), made["plan"]["id"]

    async def sent() -> Trail:
        await compressed(system, value, partition=system.place_of(plan_id))
        return await system.ledger.ended(plan_id)

    trail = system.run(sent())
    assert trail.error.error_code == "RESOURCE_EXHAUSTED"
    names = [name for name, _ in trail.records[0].headers]
    assert names == ["execution_id", "status"]


def test_the_largest_record_that_the_topic_takes_is_kept_whole(system: Live) -> None:
    """R38: a value of max_record_bytes, with key and headers, becomes a dead letter."""
    value = b"y" * system.system.settings.max_record_bytes
    headers = [("h", b"x" * 60_000)]
    letter = system.rejected(value, "MALFORMED", key=b"k" * 4000, headers=headers)
    assert list(letter.headers[:1]) == headers


def test_a_header_without_a_value_is_kept(system: Live) -> None:
    """R36, R38: Kafka allows a null there."""
    headers: list[tuple[str, Any]] = [("nothing", None)]
    letter = system.rejected(b"garbage", "MALFORMED", headers=headers)
    assert letter.headers[0] == ("nothing", None)


def test_good_plans_pass_between_bad_records(system: Live) -> None:
    """A partition goes on after whatever lies on it; nothing is lost on the way."""
    bad = [value for value in malformed().values() if value]
    good = [submission(step()) for _ in range(20)]

    async def mixed() -> list[Trail]:
        for number, made in enumerate(good):
            for partition in range(system.system.settings.partitions):
                await system.send(bad[number % len(bad)], partition=partition)
            await system.submit(made)
        ends = [system.ledger.ended(made["plan"]["id"]) for made in good]
        return list(await asyncio.gather(*ends))

    assert all(each.result.status is Status.SUCCESS for each in system.run(mixed()))


# -- always


def test_every_record_ends_in_one_result_or_one_dead_letter(system: Live) -> None:
    """I1: but for those that were moved, whose copies do."""
    system.run(system.ledger.catch_up())
    for plan_id, trail in system.ledger.trails.items():
        counts = (len(trail.results), len(trail.audits), len(trail.events))
        assert counts == (1, 1, 1), plan_id
    headers = [dict(letter.headers[-6:]) for letter in system.ledger.rejected]
    sources = [
        (int(each["source-partition"]), int(each["source-offset"])) for each in headers
    ]
    assert len(sources) == len(set(sources)) > 20
    answered = []
    for record in system.run(system.system.read(system.system.topics.plans)):
        if (record.partition, record.offset) not in sources:
            ids = peek_ids(record.value)
            assert ids is not None, record
            if system.place_of(ids.plan_id) == record.partition:
                answered.append(ids.plan_id)
    assert sorted(answered) == sorted(system.ledger.trails)


def test_tables_are_empty_but_for_the_registry(system: Live) -> None:
    """I7, U3: refused plans and dead letters leave no rows behind."""
    system.run(eventually(lambda: rows_left(system.system), lambda rows: not rows))
