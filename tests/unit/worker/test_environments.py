"""Requests that refer to their environment: it is fetched before their handler."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from agents import StepContext
from agents.environments import Environments
from agents.failures import StepUnfit
from agents.handlers import Registry
from schemas import codec
from schemas.context import PlanSubmission
from tests.unit.schemas.factories import submission
from tests.unit.worker import plain_handlers
from tests.unit.worker.harness import TOPIC, Bench, bench, eventually, in_loop, request

PARTITION = (TOPIC, 0)
AT = {"partition": 3, "offset": 17}
PLACE = (3, 17)
MADE = submission()
IDS = {"plan_id": MADE["plan"]["id"], "execution_id": MADE["execution_id"]}
REFERRING = {**IDS, "environment": {}, "environment_at": AT}
registry = Registry()


@registry.action("tell")
async def tell(step: StepContext) -> dict[str, Any]:
    return dict(step.environment)


@registry.action("meddle")
async def meddle(step: StepContext) -> list[int]:
    numbers: list[int] = step.environment["numbers"]
    numbers.append(len(numbers))
    return numbers


def stored(environment: dict[str, Any], **changes: Any) -> bytes:
    """A submission as it lies on the plans topic, in Avro."""
    texts = {name: json.dumps(value) for name, value in environment.items()}
    fields = submission(environment=texts, **changes)
    return codec.encode_fields(PlanSubmission, fields)


def as_json(avro: bytes) -> bytes:
    return codec.to_json(codec.decode(avro, PlanSubmission)).encode()


def put(b: Bench, **environment: Any) -> None:
    b.submissions[PLACE] = stored(environment)


@pytest.mark.parametrize("write", [bytes, as_json])
@in_loop
async def test_a_handler_finds_what_the_plan_was_submitted_with(write: Any) -> None:
    """In whichever format it was."""
    async with bench(registry) as b:
        b.submissions[PLACE] = write(stored({"region": "eu", "list": [1, {"a": None}]}))
        await b.run("tell", **REFERRING)
        assert b.sink.results == [{"region": "eu", "list": [1, {"a": None}]}]


@in_loop
async def test_a_plain_function_finds_it_too() -> None:
    """It travels to the child process with the request."""
    async with bench(plain_handlers.registry) as b:
        put(b, region="eu")
        await b.run("whoami", **REFERRING)
        assert b.sink.results[0]["region"] == "eu"


@in_loop
async def test_a_request_that_carries_its_environment_reads_nothing() -> None:
    """As all of small plans do."""
    async with bench(registry) as b:
        await b.run("tell")
        assert b.sink.results == [{"region": "eu"}]
        assert b.reads == []


@in_loop
async def test_requests_of_a_plan_share_one_read() -> None:
    """Those that come meanwhile, and those that come later."""
    async with bench(registry) as b:
        put(b, region="eu")
        for number in range(100):
            b.offer("tell", step_number=number, **REFERRING)
        await b.answered(100)
        await b.run("tell", **REFERRING)
        assert b.sink.results == [{"region": "eu"}] * 101
        assert b.reads == [PLACE]


@in_loop
async def test_each_attempt_has_its_own_copy() -> None:
    """R28: what a handler changes nobody sees."""
    async with bench(registry) as b:
        put(b, numbers=[])
        await b.run("meddle", **REFERRING)
        await b.run("meddle", **REFERRING)
        assert b.sink.results == [[0], [0]]


@pytest.mark.parametrize(
    "lies",
    [
        None,
        b"",
        b"garbage",
        b"\xc3\x01garbage",
        b"{}",
        b'{"plan": 3}',
        stored({"region": "eu"}, execution_id="00000000-0000-4000-8000-00000000000f"),
    ],
)
@in_loop
async def test_an_environment_that_is_gone_fails_the_step(lies: bytes | None) -> None:
    """Fatally, with its place; what else lies there is nobody's environment."""
    async with bench(registry) as b:
        if lies is not None:
            b.submissions[PLACE] = lies
        outcome = await b.run("tell", **REFERRING)
        assert outcome.error.error_code == "UNKNOWN_ERROR"
        assert outcome.error.severity == "fatal"
        assert "partition 3, offset 17" in outcome.error.message
        context = json.loads(outcome.error.context)
        assert (context["partition"], context["offset"]) == PLACE
        await eventually(lambda: b.engine.committable() == {PARTITION: 1})


@in_loop
async def test_a_step_waits_while_the_broker_is_away() -> None:
    """R10: its own limit does not run, as its handler has not started."""
    async with bench(registry) as b:
        put(b, region="eu")
        b.is_away = True
        b.offer("tell", timeout_ms=50, **REFERRING)
        await asyncio.sleep(0.2)
        assert b.sink.records == []
        b.is_away = False
        await b.answered()
        assert b.sink.results == [{"region": "eu"}]


@in_loop
async def test_the_wait_ends_with_the_plan() -> None:
    """A halt ends it, unanswered; nothing reads on for nobody."""
    async with bench(registry) as b:
        b.is_away = True
        b.offer("tell", **REFERRING)
        b.offer("tell", **REFERRING)
        await eventually(lambda: b.reads)
        b.engine.halt(IDS["execution_id"])
        await eventually(lambda: b.engine.committable() == {PARTITION: 2})
        await eventually(lambda: b.engine.load().running == 0)
        assert b.sink.records == []
        assert b.engine._environments._fetches == {}


@in_loop
async def test_the_wait_ends_at_the_plans_deadline() -> None:
    """Also when no halt comes by."""
    async with bench(registry, deadline_slack=0.1) as b:
        b.is_away = True
        soon = int(time.time() * 1000) + 100
        b.offer("tell", **REFERRING, deadline_ms=soon)
        await eventually(lambda: b.engine.committable() == {PARTITION: 1})
        assert b.sink.records == []


class Reader:
    """Gives submissions by offset: the environment has so many characters."""

    def __init__(self) -> None:
        self.reads: list[int] = []
        self.begun = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self, _partition: int, offset: int) -> bytes:
        self.begun += 1
        await self.gate.wait()
        self.reads.append(offset)
        return stored({"blob": "x" * offset})


def referring(offset: int) -> dict[str, Any]:
    at = {"partition": 0, "offset": offset}
    return request("tell", **{**REFERRING, "environment_at": at})


@in_loop
async def test_the_longest_unused_is_forgotten() -> None:
    """When more memory is taken than there is."""
    reader = Reader()
    found = Environments(reader.read, kept_bytes=3500)
    for offset in (1001, 1002, 1003, 1001, 1004, 1001, 1003, 1002):
        texts = await found.find(referring(offset))
        assert len(texts["blob"]) == offset + 2
    assert reader.reads == [1001, 1002, 1003, 1004, 1002]


@in_loop
async def test_what_is_larger_than_the_memory_drives_nothing_out() -> None:
    """It is read for those who wait for it."""
    reader = Reader()
    found = Environments(reader.read, kept_bytes=3500)
    for offset in (1000, 5000, 1000, 5000):
        await found.find(referring(offset))
    assert reader.reads == [1000, 5000, 5000]


@in_loop
async def test_who_gives_up_takes_nothing_from_the_others() -> None:
    """The read goes on for as long as somebody waits, and begins anew after that."""
    reader = Reader()
    reader.gate.clear()
    found = Environments(reader.read, kept_bytes=3500)
    first, second = [asyncio.create_task(found.find(referring(7))) for _ in range(2)]
    await eventually(lambda: reader.begun)
    first.cancel()
    await asyncio.wait([first])
    second.cancel()
    third = asyncio.create_task(found.find(referring(7)))
    await asyncio.wait([second])
    fourth = asyncio.create_task(found.find(referring(7)))
    third.cancel()
    reader.gate.set()
    assert (await fourth)["blob"] == '"xxxxxxx"'
    assert first.cancelled()
    assert second.cancelled()


@in_loop
async def test_a_failed_read_is_not_remembered() -> None:
    """Whoever asks again reads again."""

    async def read(_partition: int, _offset: int) -> bytes | None:
        return answers.pop()

    answers = [stored({"blob": 1}), None]
    found = Environments(read, kept_bytes=3500)
    with pytest.raises(StepUnfit):
        await found.find(referring(7))
    assert (await found.find(referring(7)))["blob"] == "1"
