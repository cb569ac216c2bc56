"""The simulation in the place of the broker, the clocks and the exit."""

from __future__ import annotations

import asyncio
import random
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from agents import reporting
from streams.runtime import (
    chores,
    clients,
    commit,
    coordinator,
    exits,
    halts,
    hanging,
    origins,
    replay,
    submission_reader,
    watch,
    worker,
    writer,
)
from tests.simulation.broker import Broker
from tests.simulation.clients import Consumer, Producer
from tests.simulation.processes import OWNER, SimLoop, Vanished

if TYPE_CHECKING:
    from tests.simulation.world import World


def now_ms() -> int:
    """The clock of the running process."""
    loop, process = asyncio.get_running_loop(), OWNER.get()
    assert isinstance(loop, SimLoop)
    return loop.now_ms() + (0 if process is None else process.skew_ms)


class _Words:
    """What a process says before it ends."""

    def __init__(self, world: World) -> None:
        self._world = world

    def critical(self, _text: str, reason: str, *, exc_info: object = None) -> None:
        self._world.last_words = f"{reason} ({exc_info!r})"


def _exit(world: World) -> Any:
    def leave(_code: int) -> None:
        if sys.exc_info()[0] is GeneratorExit:  # a coroutine of a dead process
            raise GeneratorExit
        world.exit()
        raise Vanished

    return leave


def patch_all(patch: pytest.MonkeyPatch, world: World) -> None:
    """Put the simulation in the place of the broker, the clocks and the exit."""
    broker, loop = world.broker, world.loop
    clock = SimpleNamespace(monotonic=loop.time, time=lambda: now_ms() / 1000)
    for module in (chores, commit, coordinator, hanging, worker):
        patch.setattr(module, "time", clock)

    _patch_transactions(patch, broker)
    patch.setattr(coordinator, "now_ms", now_ms)
    patch.setattr(watch, "TICK_S", 0.1)
    patch.setattr(origins, "LOOK_S", 1e6)

    async def ids(_monitor: Any, names: Any) -> dict[str, str]:
        return {name: f"id-{name}" for name in names}

    patch.setattr(origins, "topic_ids", ids)
    patch.setattr(exits, "os", SimpleNamespace(_exit=_exit(world)))
    patch.setattr(exits, "logging", SimpleNamespace(shutdown=lambda: None))
    patch.setattr(exits, "logger", _Words(world))
    hexes = random.Random(world.seed)
    tokens = SimpleNamespace(token_hex=lambda size: hexes.randbytes(size).hex())
    patch.setattr(reporting, "secrets", tokens)

    def consumer(**options: Any) -> Consumer:
        return Consumer(broker, options.get("isolation_level", ""))

    for each in (clients, halts, replay, submission_reader, worker):
        patch.setattr(each, "AIOKafkaConsumer", consumer)
    for each in (clients, worker):
        patch.setattr(each, "idempotent_producer", lambda _: Producer(broker))
    patch.setattr(clients, "best_effort_producer", lambda _: Producer(broker))
    patch.setattr(
        coordinator, "transactional_producer", lambda _, name: Producer(broker, name)
    )


def _patch_transactions(patch: pytest.MonkeyPatch, broker: Broker) -> None:
    """Have the simulated broker tell of transactions, and end them."""

    async def last(_client: Any, name: str) -> Any:
        return await broker.post(lambda: broker.last(name))

    async def see(_client: Any, tps: Any, **_: Any) -> Any:
        return await broker.post(lambda: broker.see(tps))

    async def hidden(_client: Any, tps: Any) -> Any:
        return await broker.post(lambda: broker.hidden(tps))

    async def end_open(producer: Any, tps: Any, *, committed: bool) -> None:
        await broker.post(
            lambda: broker.end_open(producer.identity, tps, committed=committed)
        )

    patch.setattr(writer, "last_transaction", last)
    patch.setattr(writer, "end_open", end_open)
    patch.setattr(hanging, "hidden_logs", hidden)
    for each in (hanging, writer):
        patch.setattr(each, "see", see)
