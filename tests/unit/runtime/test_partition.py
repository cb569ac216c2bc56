from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any, cast

import pytest
from aiokafka.structs import TopicPartition

from agents.admission import admit
from agents.effects import Outgoing
from agents.tables import POISON, POSITION
from streams.runtime import partition as module
from streams.runtime.commit import CommitTerms, GroupCommit, Pending
from streams.runtime.partition import INBOX_HIGH, Inbox, PartitionTask
from tests.unit.coordinator.bench import (
    COMMANDS_TOPIC,
    NOW,
    OUTCOMES_TOPIC,
    PLANS_TOPIC,
    Bench,
    Source,
    steps,
    submission,
)
from tests.unit.runtime.dying import Died, end_this_task
from tests.unit.runtime.test_commit import SlowProducer, SlowWriter, settle

START = {PLANS_TOPIC: 0, OUTCOMES_TOPIC: 0, COMMANDS_TOPIC: 0}


class Rig:
    """A partition task over a real fold and a slow producer."""

    def __init__(self, **terms: Any) -> None:
        self.bench = Bench(**terms)
        self.producer = SlowProducer()
        self.sent: list[Outgoing] = []
        self.throttled: list[tuple[bool, bool]] = []
        commit = GroupCommit(
            cast(Any, SlowWriter(self.producer)),
            TopicPartition("changelog", 0),
            CommitTerms(0.001, 1000, 5.0),
            locate=lambda record: (record.topic, 0),
            emit=lambda events: None,
        )
        self.task = PartitionTask(
            self.bench.state,
            commit,
            send=self._send,
            clock=lambda: NOW,
            throttle=lambda plans, others: self.throttled.append((plans, others)),
        )

    def _send(self, records: list[Outgoing]) -> list[Any]:
        self.sent += records
        return []

    def plan(self, offset: int) -> Source:
        plan = submission(steps([]))
        self.bench.rehome(plan)
        return Source(PLANS_TOPIC, 0, offset, json.dumps(plan).encode())


def test_what_is_started_goes_before_what_is_new() -> None:
    """DESIGN §5: outcomes and commands are folded before plans."""
    inbox = Inbox(PLANS_TOPIC)
    new, done = Source(PLANS_TOPIC, 0, 0, b""), Source(OUTCOMES_TOPIC, 0, 0, b"")
    inbox.put([new])
    inbox.put([done])
    assert inbox.take(1) == [done]
    assert inbox.take(0) is None
    assert inbox.take(1) == [new]
    assert inbox.take(1) is None


def test_no_more_new_plans_are_taken_than_there_is_room_for() -> None:
    """A chunk of plans is folded in portions; what is started is always taken whole."""
    inbox = Inbox(PLANS_TOPIC)
    new = [Source(PLANS_TOPIC, 0, offset, b"") for offset in range(5)]
    done = [Source(OUTCOMES_TOPIC, 0, offset, b"") for offset in range(5)]
    inbox.put(new)
    assert inbox.take(2) == new[:2]
    inbox.put(done)
    assert inbox.take(0) == done
    assert inbox.plans_queued == 3
    assert inbox.take(9) == new[2:]
    assert (inbox.plans_queued, inbox.others_queued) == (0, 0)


def test_a_fold_sends_requests_and_commits_its_offset() -> None:
    """The next offset to fold is that after the chunk; quiesce commits it."""

    async def scenario() -> None:
        rig = Rig()
        rig.task.start(dict(START))
        rig.task.offer([rig.plan(0), rig.plan(1)])
        await settle()
        await rig.task.quiesce()
        assert rig.task.next[PLANS_TOPIC] == 2
        assert rig.task.commit.committed == {PLANS_TOPIC: 2}
        assert len(rig.sent) == 2
        assert "commit" in rig.producer.calls

    asyncio.run(scenario())


def test_records_that_were_fetched_twice_are_folded_once() -> None:
    """A fetch around a rebalance may return what is queued already."""

    async def scenario() -> None:
        rig = Rig()
        rig.task.start(dict(START))
        first, second, third = (rig.plan(offset) for offset in range(3))
        rig.task.offer([first, second])
        rig.task.offer([first, second, third])
        await settle()
        await rig.task.quiesce()
        assert len(rig.sent) == 3

    asyncio.run(scenario())


def test_new_plans_wait_while_too_many_are_open() -> None:
    """Back-pressure: plans wait in the inbox, and their topic is paused beyond."""

    async def scenario() -> None:
        rig = Rig(max_plans_in_flight=1)
        rig.task.start(dict(START))
        rig.task.offer([rig.plan(0)])
        rig.task.offer([rig.plan(1)])
        await settle()
        assert rig.task.next[PLANS_TOPIC] == 1
        rig.task.offer([rig.plan(offset) for offset in range(2, INBOX_HIGH + 3)])
        assert rig.throttled == [(True, False)]
        await rig.task.quiesce()

    asyncio.run(scenario())


def test_folding_stops_ahead_of_a_transaction_that_does_not_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Folding ahead of a stuck transaction would send every request twice."""
    monkeypatch.setattr(module, "STALL_S", 0.0)

    async def scenario() -> None:
        rig = Rig()
        rig.producer.acknowledged.clear()
        rig.task.start(dict(START))
        rig.task.offer([rig.plan(0)])
        await asyncio.sleep(0.05)
        rig.task.offer([rig.plan(1)])
        rig.task.offer([rig.plan(2)])
        await asyncio.sleep(0.05)
        assert rig.task.next[PLANS_TOPIC] == 2
        rig.producer.acknowledged.set()
        await asyncio.sleep(0.05)
        assert rig.task.next[PLANS_TOPIC] == 3
        await rig.task.quiesce()

    asyncio.run(scenario())


@pytest.mark.interpreted
def test_a_fold_that_raises_is_remembered_and_ends_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """POISON: the offset and the count are committed, the rest of the fold is not."""
    deaths: list[str] = []

    def die(reason: str, exc: BaseException | None = None, code: int = 0) -> None:
        deaths.append(reason)
        end_this_task()

    monkeypatch.setattr(module, "die", die)

    async def scenario() -> dict[bytes, bytes | None]:
        rig = Rig()
        rows: dict[bytes, bytes | None] = {}
        add = rig.task.commit.add

        def remember(part: Pending) -> None:
            rows.update(part.rows)
            add(part)

        monkeypatch.setattr(rig.task.commit, "add", remember)
        bad = rig.plan(1)
        fold = rig.bench.state.fold

        def broken(record: Any, now: int) -> None:
            if record is bad:
                raise ZeroDivisionError
            fold(record, now)

        monkeypatch.setattr(rig.bench.state, "fold", broken)
        rig.task.start(dict(START))
        rig.task.offer([rig.plan(0), bad])
        await asyncio.sleep(0.05)
        return rows

    rows = asyncio.run(scenario())
    assert list(rows) == [POISON + PLANS_TOPIC.encode()]
    assert deaths == ["folding plans/0 at 1 raised, for the 1. time"]


@pytest.mark.interpreted
def test_ids_are_forgotten_as_fast_as_they_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R14: one housekeeping goes on until everything is forgotten that may be."""
    portions = iter([True, True, False])
    asked: list[int] = []

    def expire(now: int) -> bool:
        asked.append(now)
        return next(portions)

    async def scenario() -> None:
        rig = Rig()
        monkeypatch.setattr(rig.bench.state, "expire", expire)
        rig.task.start(dict(START))
        rig.task.housekeep({})
        rig.task.offer([rig.plan(0)])
        await settle()
        await rig.task.quiesce()
        assert rig.task.next[PLANS_TOPIC] == 1

    asyncio.run(scenario())
    assert len(asked) == 3


def test_positions_pass_the_markers_of_transactions() -> None:
    """What is read and folded to its end stands there, also behind the last record.

    Else retention, which removes the marker in the end, would look like a loss.
    """

    async def scenario() -> None:
        rig = Rig()
        rig.task.start(dict(START))
        rig.task.offer([rig.plan(0)])
        await settle()
        rig.task.housekeep({PLANS_TOPIC: 2, OUTCOMES_TOPIC: -1})
        await settle()
        assert rig.task.next == START | {PLANS_TOPIC: 2}
        rig.task.offer([rig.plan(1), rig.plan(2)])
        await settle()
        await rig.task.quiesce()
        assert rig.task.commit.committed == {PLANS_TOPIC: 3}
        assert len(rig.sent) == 2
        assert rig.bench.tables.positions == {PLANS_TOPIC: 3}

    asyncio.run(scenario())


def die(*_: Any, **__: Any) -> None:
    end_this_task()


class Lives:
    """What lasts from one life of a process to the next."""

    def __init__(self, records: list[Source], bad: list[Source]) -> None:
        self.records = records
        self.bad = bad
        self.rows: dict[bytes, bytes | None] = {}
        self.sent: list[Outgoing] = []

    async def live(self) -> bool:
        """Read on; whether everything was dealt with."""
        task = Rig().task
        for key, value in self.rows.items():
            task.state.tables.load(key, value)
        task.state._folds[PLANS_TOPIC] = self._fold
        task.commit._commit = self._commit  # type: ignore[method-assign]
        begin = task.state.tables.positions.get(PLANS_TOPIC, 0)
        task.start(START | {PLANS_TOPIC: begin})
        task.offer(self.records[begin:])
        await asyncio.sleep(0.05)
        with suppress(Died):
            await task.quiesce()
            return True
        return False

    def _fold(self, state: Any, record: Any, now: int) -> None:
        if record in self.bad:
            raise ZeroDivisionError
        admit(state, record, now)

    async def _commit(self, pending: Pending, batches: Any) -> None:
        self.rows.update(pending.rows)
        self.sent += pending.records


def test_several_records_whose_folds_raise_end_as_dead_letters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """POISON: two crashes for each; the second does not undo the first's rejection."""
    monkeypatch.setattr(module, "die", die)
    rig = Rig()
    records = [rig.plan(offset) for offset in range(6)]
    process = Lives(records, bad=[records[1], records[3], records[4]])

    lives = [asyncio.run(process.live()) for _ in range(7)]

    assert lives == [False] * 6 + [True]
    assert [each.value for each in process.sent] == [each.value for each in process.bad]
    assert process.rows[POSITION + PLANS_TOPIC.encode()] == b"6"


def test_a_kept_partition_must_stand_where_its_log_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A partition that was kept over a rebalance and disagrees ends the process."""
    deaths: list[str] = []
    monkeypatch.setattr(module, "die", deaths.append)

    async def scenario() -> None:
        rig = Rig()
        rig.task.start(dict(START))
        await rig.task.quiesce()
        rig.task.start(START | {PLANS_TOPIC: 5})
        await rig.task.quiesce()

    asyncio.run(scenario())
    assert len(deaths) == 1
