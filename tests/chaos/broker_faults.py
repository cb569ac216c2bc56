"""What is done to the one broker, or to one of three at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from streams.devkit.cluster import EmbeddedCluster
from streams.devkit.kafka import EmbeddedKafka, KafkaError
from tests.chaos.schedule import Fault, Kind

FLICKERS, FROZEN_S = 40, 0.05
PAUSED_S = 30.0
TRIES = 3


class BrokerFaults(Protocol):
    """Harms brokers, one fault after the other."""

    kills: int
    alone: asyncio.Lock
    """Only one thing at a time is done to brokers."""

    async def harm(self, fault: Fault, kill_coordinators: Callable[[], None]) -> None:
        """Do what the fault says, and mend it."""


def start(broker: EmbeddedKafka) -> None:
    """Start it; where all cores are busy it may need more than one try."""
    for _ in range(TRIES - 1):
        with suppress(KafkaError):
            return broker.start()
    return broker.start()


class OneBroker:
    """Kills, freezes and slows down the only broker that there is."""

    def __init__(self, broker: EmbeddedKafka) -> None:
        self.kills = 0
        self.alone = asyncio.Lock()
        self._broker = broker

    async def harm(self, fault: Fault, kill_coordinators: Callable[[], None]) -> None:
        """Do what the fault says, and mend it."""
        match fault.kind:
            case Kind.KILL_BROKER:
                await self._kill(fault.lasts_s)
            case Kind.SLOW_BROKER:
                await self._flicker()
            case Kind.ORPHAN:
                await self._flicker()
                await self._freeze(fault.lasts_s, kill_coordinators)
            case _:
                await self._freeze(fault.lasts_s, lambda: None)

    async def _kill(self, lasts_s: float) -> None:
        self.kills += 1
        await asyncio.to_thread(self._broker.kill)
        try:
            await asyncio.sleep(lasts_s)
        finally:
            await asyncio.to_thread(start, self._broker)

    async def _freeze(self, lasts_s: float, meanwhile: Callable[[], None]) -> None:
        self._broker.pause()
        try:
            meanwhile()
            await asyncio.sleep(lasts_s)
        finally:
            self._broker.resume()

    async def _flicker(self) -> None:
        """Let the broker run for a moment at a time: what takes 5 ms takes 200."""
        for _ in range(FLICKERS):
            await self._freeze(FROZEN_S, lambda: None)
            await asyncio.sleep(FROZEN_S / 10)


class OneOfThree:
    """Kills, freezes and restarts brokers of a cluster, never two at a time."""

    def __init__(self, cluster: EmbeddedCluster) -> None:
        self.kills = 0
        self.alone = asyncio.Lock()
        self._cluster = cluster

    async def harm(self, fault: Fault, kill_coordinators: Callable[[], None]) -> None:
        """Do what the fault says, and mend it."""
        node = self._cluster.nodes[fault.victim % len(self._cluster.nodes)]
        match fault.kind:
            case Kind.ROLL_BROKERS:
                for each in self._cluster.nodes:
                    await self._restart(each, each.stop, 0.0)
            case Kind.KILL_BROKER:
                self.kills += 1
                await self._restart(node, node.kill, fault.lasts_s)
            case Kind.ORPHAN:
                self.kills += 1
                kill_coordinators()
                await self._restart(node, node.kill, fault.lasts_s)
            case _:
                await self._freeze(node)
        await asyncio.to_thread(self._cluster.wait_until_whole)

    async def _freeze(self, node: EmbeddedKafka) -> None:
        node.pause()
        try:
            await asyncio.sleep(PAUSED_S)
        finally:
            node.resume()

    async def _restart(
        self, node: EmbeddedKafka, end: Callable[[], None], lasts_s: float
    ) -> None:
        await asyncio.to_thread(end)
        try:
            await asyncio.sleep(lasts_s)
        finally:
            await asyncio.to_thread(start, node)
        await asyncio.to_thread(self._cluster.wait_until_whole)


def broker_faults(broker: EmbeddedKafka | EmbeddedCluster) -> BrokerFaults:
    """What can be done to these brokers."""
    if isinstance(broker, EmbeddedCluster):
        return OneOfThree(broker)
    return OneBroker(broker)
