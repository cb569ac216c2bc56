"""A bad network between one process and the broker, while all others are well."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from streams.devkit.kafka import EmbeddedKafka
from streams.devkit.ports import free_ports
from streams.runtime.exits import EXIT_IN_DOUBT
from tests.chaos.proxy import Proxy
from tests.chaos.siege import keep, survives
from tests.integration.survival import HANDLERS
from tests.integration.system import Keeper, Member, System, eventually

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(400)]

STEADY_S = 2.0
"""Load before and after what happens."""
LATENCY_S = 0.075
SLOW_S = 8.0
STALLED_S = 20.0
"""Longer than the session of 6 s: the group gives up on whoever is behind it."""
MORE_STALLS, NOTICED_SOON_S = 3, 8.0
RESETS, BETWEEN_S = 12, 0.5
DEAF_S, NOTICED_S = 0.5, 75.0


@dataclass(frozen=True)
class Net:
    """A broker, and the port by which one process reaches it through a proxy."""

    broker: EmbeddedKafka
    proxy_port: int

    def behind_proxy(self, member: Member) -> Member:
        """Send a process, and all its connections, through the proxy."""
        through = {"PLANSTREAM_BROKER": f"127.0.0.1:{self.proxy_port}"}
        return replace(member, environment={**member.environment, **through})


@pytest.fixture(scope="module")
def net() -> Iterator[Net]:
    """Give a broker that can also be reached through a proxy."""
    (port,) = free_ports(1)
    with EmbeddedKafka(proxy_port=port, quick=True) as broker:
        yield Net(broker, port)


Fault = Callable[[Proxy, Keeper], Awaitable[None]]


def under_fault(
    net: Net, prefix: str, directory: Path, fault: Fault, role: str = "coordinator"
) -> None:
    """Run an installation of which one coordinator or worker is behind the proxy."""

    async def scenario() -> None:
        system = System(net.broker.bootstrap, prefix, directory)
        members = [system.coordinator(), system.worker(HANDLERS)]
        another = system.worker(HANDLERS)
        if role == "coordinator":
            another = system.coordinator()
        members.append(net.behind_proxy(another))
        proxy = Proxy(net.proxy_port, net.broker.inner_port)
        async with proxy, keep(system, members) as keepers:
            assert proxy.connections

            async def steady_then_fault() -> None:
                await asyncio.sleep(STEADY_S)
                await fault(proxy, keepers[-1])
                await asyncio.sleep(STEADY_S)

            await survives(system, steady_then_fault())

    asyncio.run(scenario())


def test_a_slow_line_to_a_coordinator(
    net: Net, topic_prefix: str, tmp_path: Path
) -> None:
    """150 ms for each answer: slower, and nothing else."""

    async def fault(proxy: Proxy, victim: Keeper) -> None:
        proxy.latency_s = LATENCY_S
        await asyncio.sleep(SLOW_S)
        assert not victim.exits

    under_fault(net, topic_prefix, tmp_path, fault)


@pytest.mark.parametrize("role", ["coordinator", "worker"])
def test_a_line_that_stalls(
    net: Net, topic_prefix: str, tmp_path: Path, role: str
) -> None:
    """Others take over meanwhile; what arrives when it flows again is too late."""

    async def fault(proxy: Proxy, victim: Keeper) -> None:
        await proxy.stall(STALLED_S)
        if role == "coordinator":
            # One that had no transaction open has nothing to be fenced from.
            for _ in range(MORE_STALLS):
                if await ends_within(victim, NOTICED_SOON_S):
                    break
                await proxy.stall(STALLED_S)
            await eventually(codes_of(victim), bool)
            assert victim.exits == [EXIT_IN_DOUBT]

    under_fault(net, topic_prefix, tmp_path, fault, role)


def test_connections_that_are_reset_again_and_again(
    net: Net, topic_prefix: str, tmp_path: Path
) -> None:
    """Whether an answer was lost or the request nobody knows: neither is done twice."""

    async def fault(proxy: Proxy, victim: Keeper) -> None:
        broken = 0
        for _ in range(RESETS):
            broken += proxy.reset()
            await asyncio.sleep(BETWEEN_S)
        assert broken > RESETS

    under_fault(net, topic_prefix, tmp_path, fault)


def test_connections_whose_other_end_is_gone(
    net: Net, topic_prefix: str, tmp_path: Path
) -> None:
    """Answers are lost, then all is, and nobody says so; others do the work meanwhile.

    When it finds out, it is fenced.
    """

    async def fault(proxy: Proxy, victim: Keeper) -> None:
        assert proxy.deafen()
        await asyncio.sleep(DEAF_S)
        assert proxy.strand()
        await eventually(codes_of(victim), bool, timeout=NOTICED_S)
        assert victim.exits == [EXIT_IN_DOUBT]

    under_fault(net, topic_prefix, tmp_path, fault)


async def ends_within(keeper: Keeper, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not keeper.exits:
                await asyncio.sleep(0.1)
    return bool(keeper.exits)


def codes_of(keeper: Keeper) -> Callable[[], Awaitable[list[int]]]:
    async def codes() -> list[int]:
        return keeper.exits

    return codes
