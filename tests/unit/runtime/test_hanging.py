from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.structs import TopicPartition

from streams.runtime import hanging
from streams.runtime.hanging import HangingTransactions, Writer
from streams.runtime.transactions import LastTransaction, OpenTransaction

HERE, THERE = TopicPartition("plans", 1), TopicPartition("plans", 2)
OURS, EPOCH = 7, 3


class Commit:
    """Notes what it is to end."""

    def __init__(self) -> None:
        self.age_s = 0.0
        self.told: list[tuple[TopicPartition, bool]] = []

    def in_flight_s(self) -> float:
        return self.age_s

    def end_hanging(self, tp: TopicPartition, *, committed: bool) -> None:
        self.told.append((tp, committed))


class Rig:
    """A watch over logs in which transactions are open as the test says."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.open: list[OpenTransaction] = []
        self.now = 0.0
        self.commit = Commit()
        manager = SimpleNamespace(producer_id=OURS, producer_epoch=EPOCH)
        producer = cast(Any, SimpleNamespace(_txn_manager=manager))
        self.writer = Writer(producer, "some-id")
        monitor = cast(Any, SimpleNamespace(_client=None))
        pair = (self.writer, cast(Any, self.commit))
        self.watched = HangingTransactions(monitor, [HERE, THERE], lambda: [pair])
        clock = SimpleNamespace(monotonic=lambda: self.now)
        patch.setattr(hanging, "time", clock)
        patch.setattr(hanging, "hidden_logs", self._hidden)
        patch.setattr(hanging, "open_transactions", self._open)

    async def _hidden(self, _client: Any, tps: list[TopicPartition]) -> Any:
        return tps

    async def _open(self, _client: Any, _tps: Any) -> list[OpenTransaction]:
        return self.open

    def look_after(self, seconds: float) -> list[tuple[TopicPartition, bool]]:
        """Look at once, and again a while later: what is to be ended."""
        asyncio.run(self.watched.look())
        self.now += seconds
        asyncio.run(self.watched.look())
        return self.commit.told


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
        ("Empty", set(), False),
    ],
)
def test_it_ends_as_the_last_user_of_the_id_has_ended_it(
    state: str, partitions: set[TopicPartition], committed: bool
) -> None:
    """What the next user aborts was open in the partitions that were told before."""
    before = LastTransaction(state, frozenset(partitions))
    assert before.was_committed(HERE) is committed


def test_one_of_this_very_producer_was_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It never aborts: it ends the process instead."""
    rig = Rig(monkeypatch)
    rig.writer.before = LastTransaction("Ongoing", frozenset({HERE}))
    rig.open = [OpenTransaction(HERE, OURS, EPOCH, 40)]
    assert rig.look_after(hanging.SURE_S) == [(HERE, True)]


def test_one_of_the_producer_before_ends_as_is_known_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the partitions that were in its last transaction."""
    rig = Rig(monkeypatch)
    rig.writer.before = LastTransaction("Ongoing", frozenset({HERE}))
    rig.open = [OpenTransaction(tp, OURS, EPOCH - 1, 40) for tp in (HERE, THERE)]
    assert rig.look_after(hanging.SURE_S) == [(HERE, False), (THERE, True)]


def test_a_young_one_may_be_over_in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit writes its ends a little after it is acknowledged."""
    rig = Rig(monkeypatch)
    rig.open = [OpenTransaction(HERE, OURS, EPOCH, 40)]
    assert not rig.look_after(hanging.SURE_S - 1)


def test_one_in_flight_is_not_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever has been open no longer than our own transaction may be that one."""
    rig = Rig(monkeypatch)
    rig.open = [OpenTransaction(HERE, OURS, EPOCH, 40)]
    rig.commit.age_s = hanging.SURE_S + 1
    assert not rig.look_after(hanging.SURE_S)


def test_another_one_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transactions that follow one another are none that hangs."""
    rig = Rig(monkeypatch)
    for start in range(5):
        rig.open = [OpenTransaction(HERE, OURS, EPOCH, start)]
        asyncio.run(rig.watched.look())
        rig.now += hanging.SURE_S
    assert not rig.commit.told


def test_strangers_end_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is done about a transaction of an id that is not ours."""
    rig = Rig(monkeypatch)
    rig.open = [OpenTransaction(HERE, OURS + 1, EPOCH, 40)]
    assert not rig.look_after(hanging.SURE_S)
