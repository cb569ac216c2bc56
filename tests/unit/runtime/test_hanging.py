from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.structs import TopicPartition

from streams.runtime import hanging
from streams.runtime.hanging import HangingTransactions
from streams.runtime.transactions import OpenTransaction, Seen

HERE, THERE = TopicPartition("plans", 1), TopicPartition("plans", 2)
OURS, EPOCH = 7, 3


class Commit:
    """Notes what it is to end."""

    def __init__(self) -> None:
        self.age_s = 0.0
        self.told: list[TopicPartition] = []
        self.writer = self

    def in_flight_s(self) -> float:
        return self.age_s

    def owns(self, found: OpenTransaction) -> bool:
        return found.producer_id == OURS

    def end_hanging(self, tp: TopicPartition) -> None:
        self.told.append(tp)


class Rig:
    """A watch over logs in which transactions are open as the test says."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.open: list[OpenTransaction] = []
        self.now = 0.0
        self.commit = Commit()
        monitor = cast(Any, SimpleNamespace(_client=None))
        commits = [cast(Any, self.commit)]
        self.watched = HangingTransactions(monitor, [HERE, THERE], lambda: commits)
        clock = SimpleNamespace(monotonic=lambda: self.now)
        patch.setattr(hanging, "time", clock)
        patch.setattr(hanging, "hidden_logs", self._hidden)
        patch.setattr(hanging, "see", self._see)

    async def _hidden(self, _client: Any, tps: list[TopicPartition]) -> Any:
        return tps

    async def _see(self, _client: Any, _tps: Any) -> Seen:
        return Seen(self.open, frozenset())

    def look_after(self, seconds: float) -> list[TopicPartition]:
        """Look at once, and again a while later: where there is something to end."""
        asyncio.run(self.watched.look())
        self.now += seconds
        asyncio.run(self.watched.look())
        return self.commit.told


def test_one_that_is_seen_for_long_is_looked_into(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By whose partition it is, in each log that it hides."""
    rig = Rig(monkeypatch)
    rig.open = [OpenTransaction(tp, OURS, EPOCH, 40) for tp in (HERE, THERE)]
    assert rig.look_after(hanging.SURE_S) == [HERE, THERE]


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
