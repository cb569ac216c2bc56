from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import ClusterAuthorizationFailedError, NodeNotReadyError
from aiokafka.structs import TopicPartition

from streams.runtime import writer as module
from streams.runtime.transactions import (
    NOBODY,
    TOO_OLD,
    LastTransaction,
    OpenTransaction,
    Seen,
)
from streams.runtime.writer import Writer

HERE, THERE = TopicPartition("results", 1), TopicPartition("changelog", 2)
OURS, EPOCH = 7, 3
COMMITTED = LastTransaction("CompleteCommit")


class Rig:
    """A writer, and what brokers answer it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.open: list[OpenTransaction] = []
        self.leaderless: set[TopicPartition] = set()
        self.last = NOBODY
        self.errors: list[Exception] = []
        self.asked: list[set[TopicPartition]] = []
        self.surely: list[bool] = []
        self.ended: list[tuple[TopicPartition, bool]] = []
        self.is_started = False
        manager = SimpleNamespace(producer_id=OURS, producer_epoch=EPOCH)
        producer = SimpleNamespace(_txn_manager=manager, start=self._start)
        client = SimpleNamespace(force_metadata_update=lambda: asyncio.sleep(0))
        self.writer = Writer(cast(Any, producer), "some-id", THERE, cast(Any, client))
        for name in ("see", "last_transaction", "end_open"):
            patch.setattr(module, name, getattr(self, f"_{name}"))
        for name in ("SOON_S", "LATER_S", "DOUBT_S"):
            patch.setattr(module, name, 0.001)

    def hang(self, *tps: TopicPartition, epoch: int = EPOCH, by: int = OURS) -> None:
        """Have a transaction be open in logs."""
        self.open = [OpenTransaction(tp, by, epoch, 40) for tp in tps]

    async def _start(self) -> None:
        self.is_started = True

    async def _see(
        self, _client: Any, tps: Iterable[TopicPartition], *, surely: bool
    ) -> Seen:
        logs = set(tps)
        self.asked.append(logs)
        self.surely.append(surely)
        if self.errors:
            raise self.errors.pop(0)
        found = [each for each in self.open if each.tp in logs]
        return Seen(found, frozenset(logs & self.leaderless))

    async def _last_transaction(self, _client: Any, _name: str) -> LastTransaction:
        return self.last

    async def _end_open(
        self, _producer: Any, tps: list[TopicPartition], *, committed: bool
    ) -> None:
        self.ended += [(tp, committed) for tp in tps]
        self.open = [found for found in self.open if found.tp not in tps]


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(monkeypatch)


async def begun(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run something for a while that is not to end in it."""
    task = asyncio.create_task(coroutine)
    await asyncio.sleep(0.02)
    assert not task.done()
    return task


@pytest.mark.parametrize(
    ("state", "partitions", "committed"),
    [
        ("Ongoing", {HERE}, False),
        ("PrepareAbort", {HERE}, False),
        ("PrepareEpochFence", {HERE}, False),
        ("Ongoing", {THERE}, True),
        ("PrepareCommit", {HERE}, True),
        ("CompleteCommit", set(), True),
        ("CompleteAbort", set(), False),
        ("Empty", set(), True),
    ],
)
def test_it_ends_as_the_last_user_of_the_id_has_ended_it(
    state: str, partitions: set[TopicPartition], *, committed: bool
) -> None:
    """What the next user aborts was open in the partitions that were told before."""
    before = LastTransaction(state, frozenset(partitions))
    assert before.was_committed(HERE) is committed


def test_a_log_is_asked_for_once_between_two_transactions(rig: Rig) -> None:
    """A glance that has found the markers spares the next transaction the question."""

    async def scenario() -> None:
        await rig.writer.make_ready({HERE, THERE})
        await rig.writer.glance({HERE})
        assert rig.asked == [{HERE, THERE}, {HERE}]
        await rig.writer.make_ready({HERE, THERE})
        assert rig.asked[2:] == [{THERE}]

    asyncio.run(scenario())


def test_what_a_glance_has_not_found_is_waited_for(rig: Rig) -> None:
    """Markers that are being written are no reason to end anything."""

    async def scenario() -> None:
        rig.last = LastTransaction("PrepareCommit", frozenset({HERE}))
        rig.hang(HERE)
        await rig.writer.glance({HERE})
        waiting = await begun(rig.writer.make_ready({HERE}))
        rig.open = []
        await waiting
        assert not rig.ended

    asyncio.run(scenario())


def test_what_hangs_is_ended_before_its_log_is_written(rig: Rig) -> None:
    """This very producer has committed it: it never aborts, it ends the process."""

    async def scenario() -> None:
        rig.writer.before = LastTransaction("Ongoing", frozenset({HERE}))
        rig.last = COMMITTED
        rig.hang(HERE)
        await rig.writer.make_ready({HERE, THERE})
        assert rig.ended == [(HERE, True)]

    asyncio.run(scenario())


def test_one_of_the_producer_before_ends_as_is_known_of_it(rig: Rig) -> None:
    """By the partitions that were in its last transaction."""

    async def scenario() -> None:
        rig.last = LastTransaction("Ongoing", frozenset({HERE}))
        await rig.writer.fence()
        rig.last = COMMITTED
        rig.hang(HERE, THERE, epoch=EPOCH - 1)
        await rig.writer.take_over()
        assert sorted(rig.ended) == [(THERE, True), (HERE, False)]

    asyncio.run(scenario())


def test_strangers_end_their_own(rig: Rig) -> None:
    """A transaction of another id in the same log is none of ours."""

    async def scenario() -> None:
        rig.last = COMMITTED
        rig.hang(HERE, by=OURS + 1)
        await rig.writer.make_ready({HERE})
        await rig.writer.end_what_is_over({HERE})
        assert not rig.ended

    asyncio.run(scenario())


def test_a_log_without_a_leader_is_waited_for(rig: Rig) -> None:
    """Nobody can say what is open in it; it could not be written either."""

    async def scenario() -> None:
        rig.leaderless = {HERE}
        waiting = await begun(rig.writer.make_ready({HERE}))
        rig.leaderless = set()
        await waiting

    asyncio.run(scenario())


def test_nobody_is_fenced_while_a_log_of_its_transaction_has_no_leader(
    rig: Rig,
) -> None:
    """The marker that aborts it there would be left out."""

    async def scenario() -> None:
        rig.last = LastTransaction("Ongoing", frozenset({HERE}))
        rig.leaderless = {HERE, THERE}
        waiting = await begun(rig.writer.fence())
        rig.leaderless = {HERE}
        await asyncio.sleep(0.02)
        assert not rig.is_started
        rig.leaderless = {TopicPartition("results", 9)}
        await waiting
        assert rig.is_started

    asyncio.run(scenario())


def test_what_is_aborted_by_its_age_need_not_be_waited_for(rig: Rig) -> None:
    """Kafka ends a transaction that is open for too long, leader or not.

    Then it does not tell any more where that was; but that is remembered.
    """

    async def scenario() -> None:
        rig.last = LastTransaction("Ongoing", frozenset({HERE, THERE}))
        rig.leaderless = {HERE}
        waiting = await begun(rig.writer.fence())
        rig.last = LastTransaction("CompleteAbort")
        await waiting
        elsewhere = TopicPartition("results", 9)
        rig.hang(HERE, elsewhere, epoch=EPOCH - 1)
        await rig.writer.take_over()
        assert rig.surely == [True] * len(rig.surely)
        rig.leaderless = set()
        await rig.writer.make_ready({HERE, elsewhere})
        assert sorted(rig.ended) == [(HERE, False), (elsewhere, True)]

    asyncio.run(scenario())


def test_logs_that_are_left_out_first_are_not_forgotten(rig: Rig) -> None:
    """While Kafka aborts it names only where it has still markers to write."""

    async def scenario() -> None:
        rig.last = LastTransaction("Ongoing", frozenset({HERE, THERE}))
        rig.leaderless = {HERE}
        waiting = await begun(rig.writer.fence())
        rig.last = LastTransaction("PrepareAbort", frozenset({THERE}))
        await asyncio.sleep(0.02)
        assert not rig.is_started
        rig.leaderless = set()
        await waiting
        assert rig.writer.before.aborts == {HERE, THERE}

    asyncio.run(scenario())


def test_brokers_that_do_not_answer_are_asked_again(rig: Rig) -> None:
    """What cannot be tried again is raised."""

    async def scenario() -> None:
        rig.last = COMMITTED
        rig.hang(HERE)
        rig.errors = [NodeNotReadyError(), NodeNotReadyError()]
        await rig.writer.make_ready({HERE})
        assert rig.ended == [(HERE, True)]
        rig.errors = [ClusterAuthorizationFailedError()]
        with pytest.raises(ClusterAuthorizationFailedError):
            await rig.writer.make_ready({THERE})

    asyncio.run(scenario())


def test_a_glance_raises_nothing(rig: Rig) -> None:
    """Nobody waits for it."""

    async def scenario() -> None:
        rig.errors = [ClusterAuthorizationFailedError()]
        await rig.writer.glance({HERE})

    asyncio.run(scenario())


@pytest.mark.parametrize("error", TOO_OLD)
def test_old_brokers_are_asked_for_nothing(rig: Rig, error: type[Exception]) -> None:
    """Before Kafka 3.0 they cannot say; then all is as if nothing hung."""

    async def scenario() -> None:
        rig.errors = [error()]
        await rig.writer.fence()
        assert rig.is_started
        rig.hang(HERE)
        await rig.writer.make_ready({HERE, THERE})
        await rig.writer.end_what_is_over({HERE})
        assert len(rig.asked) == 1
        assert not rig.ended

    asyncio.run(scenario())
