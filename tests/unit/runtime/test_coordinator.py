from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP

from agents.effects import Outgoing
from agents.partitioner import partition_of
from streams.apps import coordinator_terms
from streams.config import Settings
from streams.runtime import coordinator as module
from streams.runtime import writer
from streams.runtime.clients import Clients
from streams.runtime.coordinator import CoordinatorHost
from streams.runtime.exits import spawn
from streams.runtime.locator import Locator
from streams.runtime.outbox import Outbox
from streams.runtime.transactions import NOBODY, LastTransaction, Seen
from streams.topics import Topics
from tests.unit.coordinator.bench import Source, steps, submission
from tests.unit.runtime.test_commit import SlowProducer, settle

SETTINGS = Settings(commit_interval_ms=1)
TOPICS = Topics.of(SETTINGS)
INPUTS = (TOPICS.plans.name, TOPICS.step_outcomes.name, TOPICS.commands.name)


class Producer(SlowProducer):
    """Knows whether it runs; its start lasts as long as the test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.may_start = asyncio.Event()
        self.may_start.set()
        self.is_stopped = False

    async def start(self) -> None:
        await self.may_start.wait()

    async def stop(self) -> None:
        self.is_stopped = True


class Consumer:
    """A consumer that others look at, and that commits nothing."""

    kafka = None

    def __init__(self) -> None:
        self.handed: dict[TP, int] = {}
        self.read: dict[TP, int] = {}
        self.rejoined = False

    def rejoin(self) -> None:
        self.rejoined = True

    def read_to(self, tp: TP) -> int:
        return self.read.get(tp, -1)

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> None: ...


async def _nothing_known(_client: Any, _transactional_id: str) -> LastTransaction:
    return NOBODY


async def _nothing_open(_client: Any, _tps: Any, *, surely: bool) -> Seen:
    return Seen([], frozenset())


class Rig:
    """A host that owns a partition, over producers that do as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests, self.events, self.results = Producer(), Producer(), Producer()
        self.consumer = Consumer()
        monkeypatch.setattr(module, "transactional_producer", lambda *_: self.results)
        self.host = CoordinatorHost(
            SETTINGS,
            TOPICS,
            coordinator_terms(SETTINGS, TOPICS),
            consumer=lambda: cast(Any, self.consumer),
            on_ready=lambda numbers: None,
        )
        clients = (self.requests, self.events)
        outboxes = [Outbox(cast(Any, each)) for each in clients]
        self.host._clients = Clients(
            cast(Any, self.requests),
            outboxes[0],
            cast(Any, self.events),
            outboxes[1],
            cast(Any, SimpleNamespace(_client=None, stop=self.events.stop)),
        )
        monkeypatch.setattr(writer, "last_transaction", _nothing_known)
        monkeypatch.setattr(writer, "see", _nothing_open)
        for outbox in outboxes:
            self.host._background.append(spawn("sending", outbox.run()))

    def own(self, number: int) -> frozenset[TP]:
        """Start to fold an empty partition."""
        tps = frozenset(TP(topic, number) for topic in INPUTS)
        self.host._owned[number] = self.host._prepare(number)
        self.host._generation = 1
        self.host.start(1, dict.fromkeys(tps, 0))
        return tps

    def deliver(self, plan: dict[str, Any], number: int, offset: int) -> None:
        """Hand a submission over, on the partition of its plan."""
        while partition_of(plan["plan"]["id"].encode(), SETTINGS.partitions) != number:
            plan["plan"]["id"] = submission([])["plan"]["id"]
        value = json.dumps(plan).encode()
        record = Source(TOPICS.plans.name, number, offset, value)
        self.host.deliver(1, TP(TOPICS.plans.name, number), [record])

    @property
    def commits(self) -> int:
        return self.results.calls.count("commit")


def test_a_shutdown_commits_what_waits_for_its_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Requests in flight still leave: else their folds could not be committed."""

    async def scenario() -> None:
        rig = Rig(monkeypatch)
        rig.own(3)
        rig.requests.acknowledged.clear()
        rig.deliver(submission(steps([])), 3, 0)
        await settle()
        assert rig.commits == 0
        closing = asyncio.create_task(rig.host.close())
        await asyncio.sleep(0.02)
        rig.requests.acknowledged.set()
        await asyncio.wait_for(closing, 2)
        assert rig.commits == 1
        assert rig.results.is_stopped
        assert rig.requests.is_stopped

    asyncio.run(scenario())


def test_events_that_cannot_be_sent_hold_nothing_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """§5.0: neither later requests nor later commits wait for them."""

    async def scenario() -> None:
        rig = Rig(monkeypatch)
        rig.own(3)
        rig.events.acknowledged.clear()
        for offset in range(4):
            refused = submission(steps([]), {"version": 2}) if offset % 2 else None
            rig.deliver(refused or submission(steps([])), 3, offset)
            async with asyncio.timeout(5):
                while rig.commits <= offset:
                    await asyncio.sleep(0.005)
        assert TOPICS.events.name in rig.events.batches
        assert TOPICS.events.name not in rig.requests.batches
        assert rig.commits == 4
        await asyncio.wait_for(rig.host.close(), 2)

    asyncio.run(scenario())


def test_events_that_cannot_be_sent_do_not_pile_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """§5.0: too many are dropped."""
    monkeypatch.setattr(module, "EVENTS_KEPT", 5)

    async def scenario() -> None:
        rig = Rig(monkeypatch)
        rig.events.acknowledged.clear()
        for _ in range(20):
            rig.host._emit([Outgoing("events", b"k", b"v")], 3)
            await settle()
        assert rig.host._connected.events.waiting == 6

    asyncio.run(scenario())
    assert "dropped" in caplog.text


def test_a_kept_partition_is_read_on_where_it_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also a topic whose log does not begin at 0, and of which nothing was folded."""

    async def check(*_: Any) -> dict[TP, int]:
        assert not _[-1], "a kept partition has been checked"
        return {}

    monkeypatch.setattr(module, "check_positions", check)

    async def scenario() -> None:
        rig = Rig(monkeypatch)
        tps = rig.own(3)
        await rig.host.quiesce()
        task = rig.host._owned[3].task
        task.next = {INPUTS[0]: 7, INPUTS[1]: 500, INPUTS[2]: 0}
        task.state.tables.put_position(INPUTS[0], 7)
        offsets = await rig.host._offsets(tps)
        assert {tp.topic: offset for tp, offset in offsets.items()} == task.next

    asyncio.run(scenario())


def test_a_partition_that_lacks_a_topic_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its plans would never be read; another assignment is asked for."""
    monkeypatch.setattr(module, "REJOIN_S", 0.0)

    async def scenario() -> None:
        rig = Rig(monkeypatch)
        whole = frozenset(TP(topic, 3) for topic in INPUTS)
        assert await rig.host._whole(whole) == {3}
        assert not rig.consumer.rejoined
        partial = frozenset(TP(topic, 4) for topic in INPUTS[1:])
        assert await rig.host._whole(whole | partial) == {3}
        assert rig.consumer.rejoined

    asyncio.run(scenario())


def test_what_is_handed_out_but_not_folded_is_not_passed_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The consumer's own position is ahead of the fold's while a chunk is queued."""

    async def scenario() -> None:
        rig = Rig(monkeypatch)
        rig.own(3)
        plans, outcomes, _ = (TP(topic, 3) for topic in INPUTS)
        rig.consumer.handed = {plans: 1, outcomes: 0}
        rig.consumer.read = {plans: 1, outcomes: 1}
        read = rig.host._chores.read_by(rig.host._owned[3].task)
        assert plans.topic not in read
        assert read[outcomes.topic] == 1

    asyncio.run(scenario())


def test_a_cancelled_take_over_leaves_no_producer_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next rebalance may begin while former owners are being fenced."""

    async def scenario() -> None:
        rig = Rig(monkeypatch)
        rig.results.may_start.clear()
        opening = asyncio.create_task(rig.host._open({3}))
        await settle()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert rig.results.is_stopped
        assert not rig.host._owned

    asyncio.run(scenario())


@pytest.mark.parametrize("topic", ["plans", "step-outcomes", "commands"])
def test_what_concerns_a_plan_goes_to_its_partition(topic: str) -> None:
    """R36, R39: also what parents and children on other partitions are told."""
    locate = Locator(SETTINGS)
    for number in range(20):
        key = f"plan-{number}".encode()
        name, partition = locate(Outgoing(topic, key, b""), own=0)
        assert name == SETTINGS.prefix + topic
        assert partition == partition_of(key, SETTINGS.partitions)
