"""The error handler is told of every failed plan, whatever happens to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from agents.partitioner import partition_of
from schemas.codec import decode
from schemas.results import PlanResult, Status
from streams.client import PlanClient
from tests.conftest import Broker
from tests.integration.alerts import FILE
from tests.integration.plans import new_id, step, submission
from tests.integration.system import Member, System, eventually

HANDLERS = "tests.integration.handlers"
ASYNC = "tests.integration.alerts:tell"
PLAIN = "tests.integration.alerts:tell_plainly"
Note = dict[str, Any]


class Alerts:
    """An installation with plans that fail, and what its error handlers noted."""

    def __init__(self, system: System, client: PlanClient, file: Path) -> None:
        self.system = system
        self.client = client
        self._file = file

    async def fail(self, alert: str = "", plan_id: str | None = None) -> str:
        """Submit a plan that fails, and wait for its result; its id."""
        made = submission(
            step("fail", {"severity": "fatal"}),
            id=plan_id or new_id(),
            members={"correlation_context": {"alert": alert}},
        )
        return await self.end(made, Status.FAILURE)

    async def end(self, made: dict[str, Any], status: Status) -> str:
        """Submit a plan, and wait for its result."""
        submitted = await self.client.submit_bytes(json.dumps(made).encode())
        result = await self.client.result(submitted.plan_id, timeout=30)
        assert result.status is status, result
        return submitted.plan_id

    def notes(self, what: str = "told") -> list[Note]:
        """What was noted, in order."""
        if not self._file.exists():
            return []
        notes = map(json.loads, self._file.read_text("utf-8").splitlines())
        return [note for note in notes if note["what"] == what]

    def ids(self, what: str = "told") -> list[str]:
        """The plans that were noted, in order."""
        return [note["plan_id"] for note in self.notes(what)]

    async def until(self, plan_ids: list[str], what: str = "told") -> None:
        """Wait until plans have been noted."""

        async def ids() -> list[str]:
            return self.ids(what)

        await eventually(ids, lambda found: set(plan_ids) <= set(found))

    async def committed(self) -> int:
        """How far the group of error handlers is, over all partitions."""
        settings = self.system.settings
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.broker)
        await admin.start()
        try:
            group = settings.error_handler_app_id
            offsets = await admin.list_consumer_group_offsets(group)
        finally:
            await admin.close()
        name = self.system.topics.failure.name
        return sum(at.offset for tp, at in offsets.items() if tp.topic == name)

    def id_in(self, partition: int) -> str:
        """An id of a plan of a partition."""
        count = self.system.settings.partitions
        while partition_of((plan_id := new_id()).encode(), count) != partition:
            pass
        return plan_id

    async def letters(self) -> list[Any]:
        """The dead letters of the error handler."""
        return await self.system.read(self.system.topics.failure_rejected)


Scenario = Callable[[Alerts], Awaitable[None]]


@pytest.fixture
def run(kafka: Broker, topic_prefix: str, tmp_path: Path) -> Callable[[Scenario], None]:
    """Run a scenario on an installation of its own."""

    @asynccontextmanager
    async def installed() -> AsyncIterator[Alerts]:
        options = {
            "error_handler_max_attempts": 3,
            "error_handler_backoff_ms": 100,
            "error_handler_timeout_ms": 5_000,
            "shutdown_timeout_ms": 8_000,
        }
        system = System(kafka.bootstrap, topic_prefix, tmp_path, **options)
        file = tmp_path / "alerts"
        system.environment[FILE] = str(file)
        try:
            await system.start(HANDLERS)
            async with system.client() as client:
                yield Alerts(system, client, file)
            assert await system.stop() == [0] * len(system.members)
        finally:
            await asyncio.gather(*[each.kill() for each in system.members])

    async def main(scenario: Scenario) -> None:
        async with installed() as alerts:
            await scenario(alerts)

    return lambda scenario: asyncio.run(main(scenario))


async def started(alerts: Alerts, path: str = ASYNC) -> Member:
    """An error handler that runs."""
    member = alerts.system.error_handler(path)
    await member.start()
    return member


def test_every_failure_is_told_once_in_order(run: Callable[[Scenario], None]) -> None:
    """R42: refused plans and children too, those from before its start, no success."""

    async def scenario(alerts: Alerts) -> None:
        first = [await alerts.fail() for _ in range(3)]
        await started(alerts)
        await alerts.end(submission(step()), Status.SUCCESS)
        refused = submission(step(), name="")
        child = submission(step("fail", {"severity": "fatal"}))
        nested = {"plan": child["plan"], "environment": child["environment"]}
        parent = submission(step("execute_plan", nested))
        second = [
            await alerts.end(refused, Status.FAILURE),
            await alerts.end(parent, Status.FAILURE),
            child["plan"]["id"],
        ]
        behind = await alerts.fail("once")
        await alerts.until([*first, *second, behind])
        assert sorted(alerts.ids()) == sorted([*first, *second, behind])
        codes = {note["plan_id"]: note["code"] for note in alerts.notes()}
        assert codes[refused["plan"]["id"]] == "INVALID_PAYLOAD"
        (note,) = [each for each in alerts.notes() if each["plan_id"] == behind]
        assert (note["attempt"], note["correlation"]) == (2, {"alert": "once"})
        records = await alerts.system.read(alerts.system.topics.failure)
        for partition in range(alerts.system.settings.partitions):
            here = [
                each.key.decode() for each in records if each.partition == partition
            ]
            assert [each for each in alerts.ids() if each in here] == here
        assert await alerts.letters() == []

    run(scenario)


def test_a_killed_error_handler_is_told_again(run: Callable[[Scenario], None]) -> None:
    """R42: at least once, none lost, in order, when it dies in the middle of a call."""

    async def scenario(alerts: Alerts) -> None:
        member = await started(alerts)
        before = await alerts.fail(plan_id=alerts.id_in(0))
        await alerts.until([before])
        told = [await alerts.fail("slow", alerts.id_in(0)) for _ in range(2)]
        await alerts.until(told[:1], "begun")
        await member.restart()
        await alerts.until(told)
        assert alerts.ids("begun").count(told[0]) == 2
        assert [each for each in alerts.ids() if each in told] == told

    run(scenario)


def test_a_stop_lets_a_call_end(run: Callable[[Scenario], None]) -> None:
    """SIGTERM: what runs is finished and committed; the next process goes on behind."""

    async def scenario(alerts: Alerts) -> None:
        member = await started(alerts)
        told = await alerts.fail("slow")
        await alerts.until([told], "begun")
        assert await member.stop() == 0
        assert alerts.ids() == [told]
        await member.start()
        behind = await alerts.fail()
        await alerts.until([behind])
        assert alerts.ids("begun") == [told, behind]

    run(scenario)


def test_what_keeps_failing_becomes_a_dead_letter(
    run: Callable[[Scenario], None],
) -> None:
    """R42: after all attempts; the record untouched, the error beside it; then on."""

    async def scenario(alerts: Alerts) -> None:
        await started(alerts)
        failing = await alerts.fail("fail", alerts.id_in(1))
        behind = await alerts.fail(plan_id=alerts.id_in(1))
        await alerts.until([behind])
        assert alerts.ids("begun") == [failing] * 3 + [behind]
        (letter,) = await alerts.letters()
        (source, _) = await alerts.system.read(alerts.system.topics.failure)
        assert (letter.key, letter.value) == (source.key, source.value)
        assert decode(letter.value, PlanResult).plan_id == failing
        assert letter.headers[: len(source.headers)] == source.headers
        headers = dict(letter.headers)
        assert headers["reason"] == b"HANDLER_FAILED"
        assert headers["reason-detail"] == b"RuntimeError: nobody answers"
        assert headers["error-type"] == b"builtins.RuntimeError"
        assert headers["error-message"] == b"nobody answers"
        assert headers["source-topic"].decode() == source.topic
        assert int(headers["source-offset"]) == source.offset

    run(scenario)


def test_what_cannot_be_read_becomes_a_dead_letter(
    run: Callable[[Scenario], None],
) -> None:
    """A stranger's record on results.failure holds nothing up."""

    async def scenario(alerts: Alerts) -> None:
        await started(alerts)
        topic = alerts.system.topics.failure.name
        async with alerts.system.producer() as producer:
            await producer.send_and_wait(topic, b"garbage", partition=2)
        behind = await alerts.fail(plan_id=alerts.id_in(2))
        await alerts.until([behind])
        (letter,) = await alerts.letters()
        assert (letter.value, letter.partition) == (b"garbage", 2)
        assert dict(letter.headers)["reason"] == b"MALFORMED"

    run(scenario)


def test_an_error_handler_that_hangs_delays_nobody(
    run: Callable[[Scenario], None],
) -> None:
    """R42: plans of the same partition end; failures of other partitions are told."""

    async def scenario(alerts: Alerts) -> None:
        await started(alerts)
        hanging = await alerts.fail("hang", alerts.id_in(0))
        await alerts.until([hanging], "begun")
        made = submission(step(), id=alerts.id_in(0))
        await alerts.end(made, Status.SUCCESS)
        other = await alerts.fail(plan_id=alerts.id_in(3))
        await alerts.until([other])
        assert alerts.ids() == [other]
        assert await alerts.letters() == []

    run(scenario)


def test_two_error_handlers_share_the_failures(
    run: Callable[[Scenario], None],
) -> None:
    """Each failure once; when one leaves, the other takes its partitions over."""

    async def scenario(alerts: Alerts) -> None:
        one = await started(alerts, PLAIN)
        await started(alerts, PLAIN)
        ids = [await alerts.fail(plan_id=alerts.id_in(n % 4)) for n in range(8)]
        await alerts.until(ids)
        assert sorted(alerts.ids()) == sorted(ids)
        await one.stop()
        more = [await alerts.fail(plan_id=alerts.id_in(n)) for n in range(4)]
        await alerts.until(more)
        assert set(alerts.ids()) == {*ids, *more}
        ends = len(await alerts.system.read(alerts.system.topics.failure))

        # Each result is followed by the mark of its transaction.
        await eventually(alerts.committed, lambda at: at >= 2 * ends)

    run(scenario)
