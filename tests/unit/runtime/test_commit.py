from __future__ import annotations

import asyncio
from collections.abc import Set
from typing import Any, cast

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import TopicPartition

from agents.effects import Outgoing
from streams.runtime import commit as module
from streams.runtime import exits
from streams.runtime.commit import CommitTerms, GroupCommit, Pending
from tests.unit.runtime.dying import end_this_task

CHANGELOG = TopicPartition("changelog", 3)


class SlowProducer:
    """Keeps the order of what is asked of it; batches are acknowledged at will."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.batches: dict[str, list[int]] = {}
        self.acknowledged = asyncio.Event()
        self.acknowledged.set()
        self.failure: Exception | None = None
        self.takes_s = 0.0
        self.began_at: list[float] = []

    async def begin_transaction(self) -> None:
        self.calls.append("begin")
        self.began_at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.takes_s)

    async def commit_transaction(self) -> None:
        self.calls.append("commit")

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(
            2**20,
            0,
            is_transactional=True,
            key_serializer=None,
            value_serializer=None,
        )

    async def send_batch(
        self, batch: BatchBuilder, topic: str, *, partition: int
    ) -> asyncio.Future[None]:
        self.calls.append(f"send {topic}/{partition}")
        self.batches.setdefault(topic, []).append(batch.record_count())
        return asyncio.ensure_future(self._acknowledge())

    async def _acknowledge(self) -> None:
        await self.acknowledged.wait()
        if self.failure is not None:
            raise self.failure


class SlowWriter:
    """Says when it is asked about logs; they are clear when the test wants."""

    def __init__(self, producer: SlowProducer) -> None:
        self.producer = producer
        self.is_clear = asyncio.Event()
        self.is_clear.set()
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.glanced_at: list[set[TopicPartition]] = []
        self.ended: list[set[TopicPartition]] = []

    async def make_ready(self, logs: Set[TopicPartition]) -> None:
        await self.is_clear.wait()

    async def glance(self, logs: Set[TopicPartition]) -> None:
        self.glanced_at.append(set(logs))

    async def end_what_is_over(self, logs: Set[TopicPartition]) -> None:
        self.producer.calls.append("end what is over")
        self.ended.append(set(logs))
        await self.may_end.wait()


class Bench:
    """A group commit over a slow producer; events are kept."""

    def __init__(self, **terms: float) -> None:
        values = {"interval_s": 30.0, "rows": 1000, "timeout_s": 5.0, **terms}
        self.producer = SlowProducer()
        self.writer = SlowWriter(self.producer)
        self.events: list[Outgoing] = []
        self.commit = GroupCommit(
            cast(Any, self.writer),
            CHANGELOG,
            CommitTerms(values["interval_s"], int(values["rows"]), values["timeout_s"]),
            locate=lambda record: (record.topic, 3),
            emit=self.events.extend,
        )
        self.commit.start()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def urgent(**fields: Any) -> Pending:
    return Pending(rows={b"k": b"v"}, urgent=True, **fields)


def test_rows_and_results_are_one_transaction() -> None:
    """§5, R16: the result and the state that says so are committed together."""

    async def scenario() -> None:
        bench = Bench()
        results = [Outgoing("results.success", b"p", b"r")]
        bench.commit.add(urgent(records=results))
        await bench.commit.drain()
        assert bench.producer.calls == [
            "begin",
            "send changelog/3",
            "send results.success/3",
            "commit",
        ]

    asyncio.run(scenario())


def test_a_transaction_waits_for_the_requests_of_its_folds() -> None:
    """A request is durable before the offset of its cause is committed."""

    async def scenario() -> None:
        bench = Bench()
        request = asyncio.get_running_loop().create_future()
        bench.commit.add(urgent(requests=[request]))
        await settle()
        assert "commit" not in bench.producer.calls
        request.set_result(None)
        await settle()
        assert bench.producer.calls[-1] == "commit"
        await bench.commit.drain()

    asyncio.run(scenario())


def test_a_transaction_waits_for_its_own_batches() -> None:
    """Aiokafka commits also when a batch has failed: so every batch is looked at."""

    async def scenario() -> None:
        bench = Bench()
        bench.producer.acknowledged.clear()
        bench.commit.add(urgent())
        await settle()
        assert "commit" not in bench.producer.calls
        bench.producer.acknowledged.set()
        await bench.commit.drain()
        assert bench.producer.calls[-1] == "commit"

    asyncio.run(scenario())


@pytest.mark.parametrize("of", ["batch", "request"])
def test_a_failed_send_is_never_committed(of: str, monkeypatch: Any) -> None:
    """What was not sent ends the process, not the promise."""
    reasons: list[str] = []

    async def watched(what: str, coroutine: Any) -> None:
        try:
            await coroutine
        except OSError as exc:
            reasons.append(f"{what}: {exc}")

    monkeypatch.setattr(exits, "watched", watched)

    async def scenario() -> None:
        bench = Bench()
        request = asyncio.get_running_loop().create_future()
        if of == "batch":
            bench.producer.failure = OSError("gone")
            request.set_result(None)
        else:
            request.set_exception(OSError("gone"))
        bench.commit.add(urgent(requests=[request]))
        await settle()
        assert "commit" not in bench.producer.calls

    asyncio.run(scenario())
    assert reasons == ["the committer of changelog/3: gone"]


def test_events_leave_after_the_commit() -> None:
    """R16: an event is emitted when its transaction has committed, not before."""

    async def scenario() -> None:
        bench = Bench()
        bench.producer.acknowledged.clear()
        bench.commit.add(urgent(events=[Outgoing("events", b"p", b"e")]))
        await settle()
        assert not bench.events
        bench.producer.acknowledged.set()
        await bench.commit.drain()
        assert len(bench.events) == 1

    asyncio.run(scenario())


def test_what_gathers_during_a_transaction_makes_the_next() -> None:
    """Group commit: folding runs ahead, and one more transaction takes it all."""

    async def scenario() -> None:
        bench = Bench()
        bench.producer.acknowledged.clear()
        bench.commit.add(urgent())
        await settle()
        for number in range(50):
            rows: dict[bytes, bytes | None] = {b"%d" % number: b"v"}
            bench.commit.add(Pending(rows=rows, urgent=True))
        bench.producer.acknowledged.set()
        await bench.commit.drain()
        assert bench.producer.batches["changelog"] == [1, 50]

    asyncio.run(scenario())


def ending(plans: int, key: bytes) -> Pending:
    return Pending(rows={key: b"v"}, ended=plans, urgent=True)


async def commits(bench: Bench, count: int) -> None:
    async with asyncio.timeout(5):
        while bench.commit.commits < count:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(("takes_s", "apart_s"), [(0.01, 0.03), (0.2, 0.25)])
def test_a_pause_follows_a_transaction(takes_s: float, apart_s: float) -> None:
    """Twice as long as it took, 50 ms at most: plans that end meanwhile share one."""

    async def scenario() -> None:
        bench = Bench()
        bench.producer.takes_s = takes_s
        bench.commit.add(ending(2, b"1"))
        await commits(bench, 1)
        bench.commit.add(ending(2, b"2"))
        await asyncio.sleep(0.005)
        bench.commit.add(ending(2, b"3"))
        await commits(bench, 2)
        assert bench.producer.batches["changelog"] == [1, 2]
        first, second = bench.producer.began_at
        assert apart_s <= second - first < apart_s + 0.1
        await bench.commit.drain()

    asyncio.run(scenario())


def test_a_lone_plan_ends_without_a_pause() -> None:
    """Nothing would share its transaction: a pause would only make it late."""

    async def scenario() -> None:
        bench = Bench()
        bench.producer.takes_s = 0.02
        bench.commit.add(ending(2, b"1"))
        await commits(bench, 1)
        ended = asyncio.get_running_loop().time()
        bench.commit.add(ending(1, b"2"))
        await settle()
        assert bench.producer.began_at[1] - ended < 0.02
        await bench.commit.drain()

    asyncio.run(scenario())


async def begin_a_pause(bench: Bench, pending: Pending) -> float:
    """Have this wait in a pause of 50 ms; when it began."""
    bench.producer.takes_s = 0.1
    bench.commit.add(ending(2, b"1"))
    await commits(bench, 1)
    bench.commit.add(pending)
    await settle()
    assert len(bench.producer.began_at) == 1
    bench.producer.takes_s = 0.0
    return asyncio.get_running_loop().time()


def test_who_is_in_a_hurry_ends_a_pause() -> None:
    """A lone plan that ends beside rows that nobody waits for, or a request."""

    async def scenario(hurried: Pending) -> None:
        bench = Bench(interval_s=0.0)
        began = await begin_a_pause(bench, Pending(rows={b"2": b"v"}))
        bench.commit.add(hurried)
        await commits(bench, 2)
        assert bench.producer.batches["changelog"] == [1, 2]
        assert bench.producer.began_at[1] - began < 0.04
        await bench.commit.drain()

    asyncio.run(scenario(ending(1, b"3")))
    asyncio.run(scenario(ending(0, b"3")))


def test_enough_rows_end_a_pause() -> None:
    """As many as make a commit due by themselves."""

    async def scenario() -> None:
        bench = Bench(rows=3)
        began = await begin_a_pause(bench, ending(2, b"2"))
        for number in range(3):
            bench.commit.add(ending(2, b"%d" % number))
        await commits(bench, 2)
        assert bench.producer.began_at[1] - began < 0.04
        await bench.commit.drain()

    asyncio.run(scenario())


def test_a_drain_ends_a_pause() -> None:
    """What waits in it is committed at once."""

    async def scenario() -> None:
        bench = Bench()
        began = await begin_a_pause(bench, ending(2, b"2"))
        await bench.commit.drain()
        assert bench.commit.commits == 2
        assert bench.producer.began_at[1] - began < 0.04

    asyncio.run(scenario())


def test_a_pause_of_nothing_holds_nobody_up() -> None:
    """What was added during a transaction went with it: the next plan is alone."""

    async def scenario() -> None:
        bench = Bench()
        bench.producer.takes_s = 0.1
        bench.commit.add(ending(2, b"1"))
        await settle()
        bench.commit.add(ending(2, b"2"))
        await commits(bench, 2)
        await settle()
        ended = asyncio.get_running_loop().time()
        bench.commit.add(ending(1, b"3"))
        await settle()
        assert bench.producer.began_at[2] - ended < 0.04
        await bench.commit.drain()

    asyncio.run(scenario())


def test_what_is_abandoned_in_a_pause_makes_no_transaction() -> None:
    """Nothing is left to commit when it is over."""

    async def scenario() -> None:
        bench = Bench()
        bench.producer.takes_s = 0.02
        bench.commit.add(ending(2, b"1"))
        await commits(bench, 1)
        bench.commit.add(ending(2, b"2"))
        await settle()
        await bench.commit.abandon()
        assert bench.producer.calls.count("begin") == 1

    asyncio.run(scenario())


def test_what_is_not_urgent_waits_for_company() -> None:
    """A commit without a result waits for the interval, or for enough rows."""

    async def scenario() -> None:
        bench = Bench(rows=3)
        bench.commit.add(Pending(rows={b"1": b"v"}))
        bench.commit.add(Pending(rows={b"2": b"v"}))
        await settle()
        assert not bench.producer.calls
        bench.commit.add(Pending(rows={b"3": b"v"}))
        await settle()
        assert bench.producer.batches["changelog"] == [3]
        await bench.commit.drain()

    asyncio.run(scenario())


def test_the_interval_ends_the_wait() -> None:
    """What is not urgent is committed all the same, after the interval."""

    async def scenario() -> None:
        bench = Bench(interval_s=0.01)
        bench.commit.add(Pending(rows={b"1": b"v"}))
        async with asyncio.timeout(5):
            while "commit" not in bench.producer.calls:
                await asyncio.sleep(0.005)
        await bench.commit.drain()

    asyncio.run(scenario())


def test_no_log_is_written_before_it_is_clear() -> None:
    """Nothing of the transactions before is open where the next one writes (0014)."""

    async def scenario() -> None:
        bench = Bench()
        bench.writer.is_clear.clear()
        bench.commit.add(urgent(records=[Outgoing("results.success", b"p", b"r")]))
        await settle()
        assert not bench.producer.calls
        assert bench.commit.in_flight_s() > 0
        bench.writer.is_clear.set()
        await commits(bench, 1)
        await bench.commit.drain()

    asyncio.run(scenario())


def test_who_asks_does_not_wait_for_what_is_looked_into() -> None:
    """It is no commit: all that was added before it is committed already."""

    async def scenario() -> None:
        bench = Bench()
        bench.commit.add(urgent())
        await commits(bench, 1)
        bench.writer.may_end.clear()
        bench.commit.end_hanging(CHANGELOG)
        await settle()
        assert bench.commit.in_flight_s() > 0
        await asyncio.wait_for(bench.commit.reach(), 1)
        bench.writer.may_end.set()
        await settle()
        assert bench.commit.in_flight_s() == 0
        await bench.commit.drain()

    asyncio.run(scenario())


def test_markers_are_looked_for_when_there_is_time() -> None:
    """Of the last transaction, once; the next one is not kept waiting by that."""

    async def scenario() -> None:
        bench = Bench()
        bench.commit.add(urgent(records=[Outgoing("results.success", b"p", b"r")]))
        await commits(bench, 1)
        bench.commit.add(urgent())
        await commits(bench, 2)
        assert not bench.writer.glanced_at
        await asyncio.sleep(3 * module.GLANCE_AFTER_S)
        assert bench.writer.glanced_at == [{CHANGELOG}]
        await bench.commit.drain()

    asyncio.run(scenario())


def test_markers_are_looked_for_in_a_pause() -> None:
    """It is as long as any answer takes."""

    async def scenario() -> None:
        bench = Bench()
        await begin_a_pause(bench, ending(2, b"2"))
        await commits(bench, 2)
        assert bench.writer.glanced_at == [{CHANGELOG}]
        await bench.commit.drain()

    asyncio.run(scenario())


def test_what_hangs_is_ended_between_two_transactions() -> None:
    """In a log that nothing is written to just now; rows are committed as ever."""

    async def scenario() -> None:
        bench = Bench()
        there = TopicPartition("results.failure", 5)
        bench.producer.acknowledged.clear()
        bench.commit.add(urgent())
        await settle()
        bench.commit.end_hanging(there)
        await settle()
        assert not bench.writer.ended
        bench.producer.acknowledged.set()
        bench.commit.add(urgent())
        await commits(bench, 2)
        assert bench.writer.ended == [{there}]
        calls = bench.producer.calls
        assert calls.index("commit") < calls.index("end what is over")
        await bench.commit.drain()

    asyncio.run(scenario())


def test_the_newest_row_of_a_key_is_committed() -> None:
    """A step that moved twice between two commits is one row."""

    async def scenario() -> None:
        bench = Bench()
        bench.commit.add(Pending(rows={b"k": b"old"}))
        bench.commit.add(Pending(rows={b"k": None}, urgent=True))
        await bench.commit.drain()
        assert bench.producer.batches["changelog"] == [1]

    asyncio.run(scenario())


def test_a_commit_in_doubt_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crash, don't limp: past the commit timeout nobody knows what is committed."""
    deaths: list[str] = []

    def die(reason: str, exc: BaseException | None = None) -> None:
        deaths.append(reason)
        end_this_task()

    monkeypatch.setattr(module, "die", die)

    async def scenario() -> None:
        bench = Bench(timeout_s=0.02)
        bench.producer.acknowledged.clear()
        bench.commit.add(urgent())
        async with asyncio.timeout(5):
            while not deaths:
                await asyncio.sleep(0.01)

    asyncio.run(scenario())
    assert deaths == ["a commit took longer than 0 s"]


def test_abandoned_rows_are_not_committed() -> None:
    """After a fold raised, what waited behind the transaction in flight is dropped."""

    async def scenario() -> None:
        bench = Bench()
        bench.producer.acknowledged.clear()
        bench.commit.add(urgent())
        await settle()
        bench.commit.add(Pending(rows={b"bad": b"v"}))
        bench.producer.acknowledged.set()
        await bench.commit.abandon()
        assert bench.producer.batches["changelog"] == [1]
        assert bench.commit.backlog == 0

    asyncio.run(scenario())


def test_positions_are_known_once_they_are_committed() -> None:
    """Group offsets never run ahead of the changelog's."""

    async def scenario() -> None:
        bench = Bench()
        bench.producer.acknowledged.clear()
        bench.commit.add(urgent(positions={"plans": 7}))
        await settle()
        assert not bench.commit.committed
        bench.producer.acknowledged.set()
        await bench.commit.drain()
        assert bench.commit.committed == {"plans": 7}

    asyncio.run(scenario())
