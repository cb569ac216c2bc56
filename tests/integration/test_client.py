import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from agents.partitioner import partition_of
from schemas.codec import DecodeError, Format, decode, encode
from schemas.context import PlanSubmission
from schemas.results import PlanResult, Status
from streams import bootstrap
from streams.client import PlanClient
from streams.config import Settings
from streams.exceptions import (
    ClientStopped,
    InvalidPlan,
    PlanRejected,
    ResultsLost,
    ResultTimeout,
    SubmissionRefused,
    TopicsDoNotFit,
)
from streams.results import Received, Rejected, assign, partitions_of
from streams.submissions import complete, step_id, write
from streams.topics import Topics
from tests.conftest import Broker

PARTITIONS = 3
TIMEOUT = 20.0


def new_id() -> str:
    """Draw an id."""
    return str(uuid.uuid4())


def plan(**members: Any) -> dict[str, Any]:
    """Make a plan of one step, without what can be filled in."""
    return {
        "name": "one step",
        "context_requirements": ["carrier"],
        "steps": [{"id": "ship", "action": "ship", "payload": {"n": 1}}],
        **members,
    }


def result_of(plan_id: str, status: Status = Status.SUCCESS) -> PlanResult:
    """Make a result."""
    return PlanResult(
        plan_id=plan_id,
        execution_id=new_id(),
        status=status,
        completed_at=int(time.time() * 1000),
        duration_ms=5,
        steps_executed=1,
        steps_total=1,
        result_payload={new_id(): '{"receipt": 1.0}'},
        error=None,
    )


class FakeCoordinator:
    """Publishes results and dead letters, in transactions, without any plan."""

    def __init__(self, settings: Settings) -> None:
        self.topics = Topics.of(settings)
        self.producer = AIOKafkaProducer(
            **settings.connection(),
            transactional_id=f"{settings.prefix}fake",
            retry_backoff_ms=3,
        )

    async def publish(self, *plan_ids: str, fmt: Format = Format.AVRO) -> None:
        """Commit results."""
        async with self.producer.transaction():
            for plan_id in plan_ids:
                await self.send(result_of(plan_id), fmt)

    async def abort(self, plan_id: str) -> None:
        """Write a result, and take it back."""
        await self.producer.begin_transaction()
        await (await self.send(result_of(plan_id)))
        await self.producer.abort_transaction()

    async def send(
        self, result: PlanResult, fmt: Format = Format.AVRO
    ) -> Awaitable[Any]:
        """Send a result, inside a transaction."""
        key = result.plan_id.encode()
        sent: Awaitable[Any] = await self.producer.send(
            self.topics.result(result.status).name,
            encode(result, fmt),
            key=key,
            partition=partition_of(key, PARTITIONS),
        )
        return sent

    async def reject(self, key: str, reason: str, value: bytes = b"{") -> None:
        """Commit a dead letter."""
        headers = [("reason", reason.encode()), ("reason-detail", b"as asked")]
        async with self.producer.transaction():
            await self.producer.send(
                self.topics.rejected.name, value, key=key.encode(), headers=headers
            )


class Scene:
    """Topics of a test's own, a client, and somebody who answers."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.topics = Topics.of(settings)
        self.fake = FakeCoordinator(settings)

    @asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator[PlanClient]:
        """Give a client that runs."""
        async with PlanClient(self.settings, **options) as client:
            yield client

    async def plans(self) -> list[Any]:
        """Read the plans topic up to its end."""
        consumer = AIOKafkaConsumer(**self.settings.connection())
        await consumer.start()
        try:
            tps = partitions_of([self.topics.plans])
            ends = await consumer.end_offsets(tps)
            await assign(consumer, tps, since=0)
            records: list[Any] = []
            while len(records) < sum(ends.values()):
                for batch in (await consumer.getmany(timeout_ms=100)).values():
                    records += batch
            return records
        finally:
            await consumer.stop()


Play = Callable[[Callable[[Scene], Awaitable[None]]], None]


@pytest.fixture
def play(kafka: Broker, topic_prefix: str) -> Play:
    """Give what runs a scenario with a broker and topics."""

    def run(scenario: Callable[[Scene], Awaitable[None]], **changes: Any) -> None:
        async def scene() -> None:
            settings = Settings.load(
                broker=kafka.bootstrap,
                prefix=topic_prefix,
                partitions=PARTITIONS,
                **changes,
            )
            await bootstrap.create(settings)
            scene = Scene(settings)
            await scene.fake.producer.start()
            try:
                await scenario(scene)
            finally:
                await scene.fake.producer.stop()

        asyncio.run(scene())

    return run


@pytest.mark.parametrize("fmt", ["avro", "json"])
def test_a_submission_lies_on_the_topic_as_the_contract_has_it(
    play: Callable[..., None], fmt: str
) -> None:
    """Keyed by its plan's id, where murmur2 puts it, in the format of the settings."""

    async def scenario(scene: Scene) -> None:
        async with scene.client() as client:
            submitted = await client.submit(
                plan(),
                {"carrier": "pigeon"},
                user_id="me",
                correlation_context={"a": "b"},
            )
        (record,) = await scene.plans()
        assert record.key == submitted.plan_id.encode()
        assert record.partition == partition_of(record.key, PARTITIONS)
        assert (record.partition, record.offset) == (
            submitted.partition,
            submitted.offset,
        )
        assert record.value.startswith(b"\xc3\x01" if fmt == "avro" else b"{")
        found = decode(record.value, PlanSubmission)
        assert found.plan.id == submitted.plan_id
        assert found.execution_id == submitted.execution_id
        assert found.environment == {"carrier": '"pigeon"'}
        assert (found.user_id, found.correlation_context) == ("me", {"a": "b"})
        assert submitted.steps == {"ship": step_id(submitted.plan_id, "ship")}
        assert found.plan.steps[0].id == submitted.steps["ship"]

    play(scenario, format=fmt)


def test_bytes_are_submitted_as_they_are(play: Play) -> None:
    """Not one of them differs on the topic."""

    async def scenario(scene: Scene) -> None:
        text = complete(write(plan(), {"carrier": 1}), int(time.time() * 1000)).text
        value = text.replace(",", " ,\t").encode()
        async with scene.client(results=False) as client:
            submitted = await client.submit_bytes(value)
            with pytest.raises(SubmissionRefused, match="no valid plan"):
                await client.submit_bytes(b'{"plan": {}}')
        (record,) = await scene.plans()
        assert record.value == value
        assert record.key == submitted.plan_id.encode()
        assert json.loads(value)["execution_id"] == submitted.execution_id

    play(scenario)


def test_what_breaks_the_contract_is_not_sent_unless_asked(play: Play) -> None:
    """All violations at once; without validation the pipeline is to answer."""

    async def scenario(scene: Scene) -> None:
        async with scene.client(results=False) as client:
            with pytest.raises(InvalidPlan) as caught:
                await client.submit(plan(name="", timeout_ms=0), {})
            paths = {violation.path for violation in caught.value.violations}
            assert {"plan.name", "plan.timeout_ms", "environment.carrier"} <= paths
            assert await scene.plans() == []
            await client.submit(plan(name=""), {}, validate=False)
        (record,) = await scene.plans()
        assert json.loads(record.value)["plan"]["name"] == ""

    play(scenario)


def test_many_submissions_at_once_share_batches(play: Play) -> None:
    """Each is acknowledged on its own; together they take a moment."""

    async def scenario(scene: Scene) -> None:
        async with scene.client(results=False) as client:
            began = time.monotonic()
            every = await asyncio.gather(
                *(client.submit(plan(), {"carrier": n}) for n in range(1_000))
            )
            took = time.monotonic() - began
        assert len({(each.partition, each.offset) for each in every}) == 1_000
        assert len({record.key for record in await scene.plans()}) == 1_000
        assert took < 5, f"{took:.1f} s for 1,000 submissions"

    play(scenario)


def test_a_result_that_comes_later_is_awaited(play: Play) -> None:
    """By any number of waiters, whatever the format."""

    async def scenario(scene: Scene) -> None:
        async with scene.client() as client:
            submitted = await client.submit(plan(), {"carrier": 1})
            waiters = [
                asyncio.create_task(client.result(submitted.plan_id, TIMEOUT))
                for _ in range(3)
            ]
            await asyncio.sleep(0.1)
            assert not any(task.done() for task in waiters)
            await scene.fake.publish(submitted.plan_id, fmt=Format.JSON)
            results = await asyncio.gather(*waiters)
        assert {result.plan_id for result in results} == {submitted.plan_id}
        assert list(results[0].result_payload.values()) == ['{"receipt": 1.0}']

    play(scenario)


def test_a_result_that_came_before_anybody_asked_is_there(play: Play) -> None:
    """Between the submission and the question there may be any time."""

    async def scenario(scene: Scene) -> None:
        async with scene.client() as client:
            submitted = await client.submit(plan(), {"carrier": 1})
            await scene.fake.publish(submitted.plan_id)
            other = new_id()
            await scene.fake.publish(other)
            await client.result(other, TIMEOUT)
            result = await client.result(submitted.plan_id, TIMEOUT)
            assert result.plan_id == submitted.plan_id

    play(scenario)


def test_a_result_of_before_the_clients_start_is_found(play: Play) -> None:
    """Behind thousands of others, and the marks of transactions."""

    async def scenario(scene: Scene) -> None:
        wanted = [new_id() for _ in range(10)]
        await scene.fake.publish(*wanted, *(new_id() for _ in range(3_000)))
        await scene.fake.abort(new_id())
        async with scene.client() as client:
            results = await asyncio.gather(
                *(client.result(plan_id, TIMEOUT) for plan_id in wanted)
            )
        assert [result.plan_id for result in results] == wanted

    play(scenario)


def test_how_far_back_is_looked_is_bounded_and_can_be_said(play: Play) -> None:
    """A look-back must not read a week for a plan that is yet to end."""

    async def scenario(scene: Scene) -> None:
        old = new_id()
        await scene.fake.publish(old)
        await asyncio.sleep(0.05)
        async with scene.client(lookback_ms=1) as client:
            with pytest.raises(ResultTimeout):
                await client.result(old, 1.0)
            assert (await client.result(old, TIMEOUT, since=0)).plan_id == old

    play(scenario)


def test_an_aborted_result_is_never_seen(play: Play) -> None:
    """Neither by those who wait, nor by those who read all."""

    async def scenario(scene: Scene) -> None:
        plan_id = new_id()
        async with scene.client() as client:
            await scene.fake.abort(plan_id)
            await scene.fake.publish(last := new_id())
            await client.result(last, TIMEOUT)
            with pytest.raises(ResultTimeout) as caught:
                await client.result(plan_id, 0.5)
            assert (caught.value.plan_id, caught.value.timeout) == (plan_id, 0.5)
            async with client.results(since=0) as results:
                first = await anext(results)
        assert isinstance(first, Received)
        assert first.result.plan_id == last

    play(scenario)


def test_a_result_is_not_seen_before_its_transaction_is_committed(play: Play) -> None:
    """What is not committed may never have been."""

    async def scenario(scene: Scene) -> None:
        plan_id = new_id()
        async with scene.client() as client:
            await scene.fake.producer.begin_transaction()
            await (await scene.fake.send(result_of(plan_id)))
            waiter = asyncio.create_task(client.result(plan_id, TIMEOUT))
            await asyncio.sleep(0.5)
            assert not waiter.done()
            await scene.fake.producer.commit_transaction()
            assert (await waiter).plan_id == plan_id

    play(scenario)


def test_thousands_may_wait_at_once(play: Play) -> None:
    """One reader serves them all."""

    async def scenario(scene: Scene) -> None:
        ids = [new_id() for _ in range(3_000)]
        async with scene.client() as client:
            waiters = [
                asyncio.create_task(client.result(each, TIMEOUT)) for each in ids
            ]
            await asyncio.sleep(0)
            await scene.fake.publish(*ids)
            results = await asyncio.gather(*waiters)
        assert [result.plan_id for result in results] == ids

    play(scenario)


def test_a_dead_letter_ends_the_waiting(play: Play) -> None:
    """No result will come; asked later, the answer is the same."""

    async def scenario(scene: Scene) -> None:
        async with scene.client() as client:
            submitted = await client.submit(plan(), {"carrier": 1})
            waiter = asyncio.create_task(client.result(submitted.plan_id, TIMEOUT))
            await asyncio.sleep(0)
            await scene.fake.reject(submitted.plan_id, "TOO_LARGE")
            with pytest.raises(PlanRejected, match="TOO_LARGE: as asked"):
                await waiter
            with pytest.raises(PlanRejected):
                await client.result(submitted.plan_id, TIMEOUT)

    play(scenario)


def test_the_ids_of_a_dead_letter_are_free(play: Play) -> None:
    """Submitted again, the plan may well have a result (R14)."""

    async def scenario(scene: Scene) -> None:
        async with scene.client() as client:
            first = await client.submit(plan(), {"carrier": 1})
            await scene.fake.reject(first.plan_id, "TOO_LARGE")
            with pytest.raises(PlanRejected):
                await client.result(first.plan_id, TIMEOUT)
            again = await client.submit(plan(id=first.plan_id), {"carrier": 1})
            await scene.fake.publish(again.plan_id)
            assert (
                await client.result(again.plan_id, TIMEOUT)
            ).plan_id == first.plan_id

    play(scenario)


def test_whoever_submits_twice_gets_the_first_result(play: Play) -> None:
    """A submitter that crashed does so; the result may be older than his client."""

    async def scenario(scene: Scene) -> None:
        plan_id = new_id()
        await scene.fake.publish(plan_id)
        async with scene.client() as client:
            submitted = await client.submit(plan(id=plan_id), {"carrier": 1})
            waiter = asyncio.create_task(client.result(submitted.plan_id, TIMEOUT))
            await asyncio.sleep(0.2)
            assert not waiter.done()
            await scene.fake.reject(plan_id, "DUPLICATE_EXECUTION")
            assert (await waiter).plan_id == plan_id

    play(scenario)


def test_all_results_can_be_read_from_any_time_on(play: Play) -> None:
    """From the beginning, from an instant, from now on."""

    async def scenario(scene: Scene) -> None:
        async with scene.client(results=False) as client:
            await scene.fake.publish(first := new_id())
            await asyncio.sleep(0.05)
            between = int(time.time() * 1000)
            await asyncio.sleep(0.05)
            await scene.fake.publish(second := new_id())
            async with (
                client.results(since=0) as all_of_them,
                client.results(since=between) as some,
                client.results() as future,
            ):
                await scene.fake.publish(third := new_id())
                assert await ids_of(all_of_them, 3) == {first, second, third}
                assert await ids_of(some, 2) == {second, third}
                assert await ids_of(future, 1) == {third}

    play(scenario)


def test_dead_letters_can_be_read_too(play: Play) -> None:
    """They may hold anything, a key that is no id included."""

    async def scenario(scene: Scene) -> None:
        async with scene.client(results=False) as client:
            await scene.fake.reject("\xff no id", "MALFORMED", value=b"\x00\xff")
            async with client.results(since=0, rejected=True) as results:
                letter = await anext(results)
        assert isinstance(letter, Rejected)
        assert (letter.reason, letter.detail) == ("MALFORMED", "as asked")
        assert letter.value == b"\x00\xff"

    play(scenario)


def test_an_unreadable_result_does_not_end_the_reading(play: Play) -> None:
    """Somebody else may write to the topic."""

    async def scenario(scene: Scene) -> None:
        async with scene.client() as client:
            odd = new_id()
            async with scene.fake.producer.transaction():
                await scene.fake.producer.send(
                    scene.topics.success.name,
                    b"nonsense",
                    key=odd.encode(),
                    partition=0,
                )
            with pytest.raises(DecodeError):
                await client.result(odd, TIMEOUT)
            await scene.fake.publish(plan_id := new_id())
            assert (await client.result(plan_id, TIMEOUT)).plan_id == plan_id

    play(scenario)


def test_a_reader_that_fails_fails_all_who_wait(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody may wait for ever for a reader that is gone."""

    async def scenario(scene: Scene) -> None:
        real = AIOKafkaConsumer.getmany
        broken = asyncio.Event()

        async def getmany(self: AIOKafkaConsumer, **options: Any) -> Any:
            if broken.is_set():
                raise ConnectionResetError("cable pulled")
            return await real(self, **{**options, "timeout_ms": 50})

        monkeypatch.setattr(AIOKafkaConsumer, "getmany", getmany)
        async with scene.client() as client:
            submitted = await client.submit(plan(), {"carrier": 1})
            waiters = [
                asyncio.create_task(client.result(submitted.plan_id)) for _ in range(2)
            ]
            await asyncio.sleep(0)
            broken.set()
            for waiter in waiters:
                with pytest.raises(ResultsLost, match="cable pulled"):
                    await asyncio.wait_for(waiter, TIMEOUT)
            with pytest.raises(ResultsLost):
                await client.result(new_id())

    play(scenario)


def test_a_client_that_stops_lets_nobody_wait(play: Play) -> None:
    """And takes nothing any more."""

    async def scenario(scene: Scene) -> None:
        client = PlanClient(scene.settings)
        with pytest.raises(ClientStopped):
            await client.submit(plan(), {"carrier": 1})
        with pytest.raises(ClientStopped):
            await client.result(new_id())
        async with client:
            waiter = asyncio.create_task(client.result(new_id()))
            await asyncio.sleep(0.1)
        with pytest.raises(ClientStopped):
            await waiter
        with pytest.raises(ClientStopped):
            await client.submit(plan(), {"carrier": 1})
        await client.stop()

    play(scenario)


def test_a_client_that_reads_no_results_says_so(play: Play) -> None:
    """Rather than waiting for what nobody brings."""

    async def scenario(scene: Scene) -> None:
        async with scene.client(results=False) as client:
            with pytest.raises(ClientStopped, match="without results"):
                await client.result(new_id())

    play(scenario)


def test_who_is_cancelled_leaves_no_trace(play: Play) -> None:
    """A web server cancels its handlers; the client must not gather them."""

    async def scenario(scene: Scene) -> None:
        async with scene.client() as client:
            for _ in range(20):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await client.result(new_id())
            assert client._waiting is not None
            assert client._waiting._waiters == {}

    play(scenario)


def test_a_client_checks_the_topics_at_its_start(play: Play) -> None:
    """A wrong partition count would put plans where nobody looks for them."""

    async def scenario(scene: Scene) -> None:
        other = Settings.load(
            broker=scene.settings.broker, prefix=scene.settings.prefix, partitions=7
        )
        with pytest.raises(TopicsDoNotFit):
            async with PlanClient(other):
                pass

    play(scenario)


def test_a_submission_beyond_every_limit_is_refused_at_once(
    play: Callable[..., None],
) -> None:
    """Larger than the topic takes: there is nobody who could answer it."""

    async def scenario(scene: Scene) -> None:
        async with scene.client(results=False) as client:
            with pytest.raises(SubmissionRefused):
                await client.submit(plan(), {"carrier": "x" * 5_000_000})
            await client.submit(plan(), {"carrier": "x" * 900_000})

    play(scenario, max_record_bytes=4_194_304)


async def ids_of(results: AsyncIterator[Any], count: int) -> set[str]:
    """Read so many results, and not one more within a moment."""
    found: set[str] = set()
    async with asyncio.timeout(TIMEOUT):
        while len(found) < count:
            found.add((await anext(results)).result.plan_id)
    return found
