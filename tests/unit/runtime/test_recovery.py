from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP

from streams import apps
from streams.apps import create_coordinator, create_worker
from streams.config import Settings
from streams.runtime.delivery import ChunkConsumer
from streams.runtime.recovery import FencedRecovery, HostedApp
from streams.runtime.worker import WorkerHost
from streams.topics import Topics

YEAR_S = 365 * 86_400
QUEUE = frozenset(TP("step-requests.default", number) for number in range(2))


@pytest.mark.parametrize(
    "make", [create_coordinator, lambda settings: create_worker(settings, [])]
)
def test_whoever_has_nothing_to_fetch_stays_in_the_group(
    make: Callable[[Settings], HostedApp],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full window of long steps, or a coordinator without a partition.

    aiokafka leaves the group of a consumer that fetches nothing for so long, and joins
    again when it fetches: as the flow is stopped by then, that is never.
    """
    monkeypatch.setattr(apps, "claim_slot", lambda *_: "0")  # it is held for ever
    app = make(Settings(data_dir=tmp_path, name=f"t{uuid.uuid4().hex[:8]}"))

    assert app.conf.broker_max_poll_interval > YEAR_S


def test_the_parts_of_a_combined_process_are_told_apart() -> None:
    """By their ids; and the worker leaves the coordinator time to stop."""
    settings = Settings(group_instance_id="pod-3", shutdown_timeout_ms=20_000)
    coordinator, worker = (
        apps._part(settings, role) for role in (apps.COORDINATOR, apps.WORKER)
    )
    ids = [part.instance_id("any", "0") for part in (coordinator, worker)]
    assert ids == ["pod-3-coordinator", "pod-3-worker"]
    assert coordinator.shutdown_timeout_ms == 20_000
    assert worker.shutdown_timeout_ms == 18_000
    short = Settings(shutdown_timeout_ms=3_000)
    assert apps._part(short, apps.WORKER).shutdown_timeout_ms == 1_500
    assert apps._part(short, apps.WORKER).group_instance_id is None


class Consumer(ChunkConsumer):
    """The bookkeeping of a consumer; it reads nothing."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self._active_partitions: set[TP] = set()
        self._paused_partitions = set(QUEUE)
        self._buffered_partitions: set[TP] = set()
        self.can_resume_flow, self.suspend_flow = asyncio.Event(), asyncio.Event()

    def assignment(self) -> set[TP]:
        return set(QUEUE)

    async def seek_exactly(self, offsets: dict[TP, int]) -> None:
        assert offsets.keys() == QUEUE


class Engine:
    """Knows how much room it has, and nothing of requests."""

    def __init__(self, room: int) -> None:
        self._room = room

    def room(self) -> int:
        return self._room


class Assigned(WorkerHost):
    """A worker's host that needs no broker to find its positions."""

    async def assign(self, assigned: frozenset[TP], generation: int) -> dict[TP, int]:
        self._next = dict.fromkeys(assigned, 0)
        return dict(self._next)


async def recovered(engine: Engine) -> Consumer:
    """The consumer as a rebalance leaves it."""

    async def nothing(*_: Any) -> None: ...

    settings = Settings()
    app = cast(Any, SimpleNamespace())
    app.consumer = consumer = Consumer(app)
    app.in_recovery = False
    app.rebalancing_count, app.consumer_generation_id = 1, 7
    app.on_rebalance_complete = SimpleNamespace(send=nothing)
    app.on_rebalance_end = lambda: None
    app.flow_control = SimpleNamespace(
        _queues=[], _suspend=asyncio.Event(), _resume=asyncio.Event()
    )
    app._fetcher = SimpleNamespace(maybe_start=nothing)
    app.tables = SimpleNamespace(changelog_topics=set())
    app.host = Assigned(
        settings,
        Topics.of(settings),
        make_engine=cast(Any, None),
        consumer=lambda: consumer,
        on_ready=lambda tps: None,
    )
    app.host._parts = SimpleNamespace(engine=engine)

    recovery = FencedRecovery.__new__(FencedRecovery)
    recovery.app = app
    recovery.completed = cast(Any, asyncio.Event())
    recovery.tables = cast(
        Any,
        SimpleNamespace(
            _changelog_queue=None,
            on_actives_ready=lambda: None,
            on_standbys_ready=lambda: None,
        ),
    )
    await recovery._recover(7, 1)
    return consumer


def test_a_rebalance_does_not_open_a_full_window() -> None:
    """Back-pressure outlives it: else the whole backlog would be fetched at once."""

    async def scenario() -> None:
        consumer = await recovered(Engine(room=0))
        assert not consumer._get_active_partitions()
        assert consumer.flow_active

    asyncio.run(scenario())


def test_a_rebalance_resumes_what_there_is_room_for() -> None:
    """All that was assigned is read again."""

    async def scenario() -> None:
        consumer = await recovered(Engine(room=5))
        assert consumer._get_active_partitions() == QUEUE

    asyncio.run(scenario())


def test_what_a_stopped_flow_drops_is_not_read() -> None:
    """A fetch under way when a rebalance begins moves the position for nothing."""

    async def scenario() -> None:
        consumer = await recovered(Engine(room=5))
        consumer.stop_flow()
        assert consumer.read_to(TP("step-requests.default", 0)) == -1

    asyncio.run(scenario())


def test_a_rebalance_that_never_ends_ends_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It owns nothing that is sure; its successor joins anew."""
    reasons: list[str] = []
    watch = cast(Any, FencedRecovery._watch_rebalance).fun

    async def scenario() -> None:
        recovery = cast(Any, SimpleNamespace(should_stop=False))
        limit = Settings(rebalance_timeout_ms=500)
        recovery.app = SimpleNamespace(planstream=limit, rebalancing=True)

        def die(reason: str) -> None:
            reasons.append(reason)
            recovery.should_stop = True

        monkeypatch.setattr("streams.runtime.recovery.die", die)
        await asyncio.wait_for(watch(recovery), 10)

    asyncio.run(scenario())
    assert reasons == ["a rebalance has not ended for 0 s"]
