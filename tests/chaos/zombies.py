"""Freezes processes until others have taken over what they owned."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Collection

from tests.integration.system import Member, System, eventually, partitions_of

READY = re.compile(r"(?:coordinator ready: partitions (.*) of|queues .*, (\d+) part)")
GLIMPSE_S = 0.01
TRIES = 400


def share_of(member: Member) -> int:
    """How many partitions a member said last it owns."""
    _, count = READY.findall(member.log.read_text())[-1]
    return int(count) if count else len(partitions_said(member))


def partitions_said(coordinator: Member) -> set[int]:
    """Which partitions a coordinator said last it owns."""
    owned, _ = READY.findall(coordinator.log.read_text())[-1]
    return set() if owned == "none" else {int(each) for each in owned.split(", ")}


async def shared(*members: Member, among: int) -> None:
    """Wait until the members own all partitions, each of them some."""

    async def shares() -> list[int]:
        return [share_of(member) for member in members]

    await eventually(shares, lambda found: sum(found) == among and 0 not in found)


async def taken_over(heir: Member, among: int) -> None:
    """Wait until one member owns everything."""

    async def share() -> int:
        return share_of(heir)

    await eventually(share, lambda found: found == among, timeout=60)


async def freeze_in_transaction(system: System, coordinator: Member) -> None:
    """Freeze a coordinator at a moment at which a transaction of its is open."""
    for _ in range(TRIES):
        coordinator.signal(signal.SIGSTOP)
        if await open_transactions(system, partitions_said(coordinator)):
            return
        coordinator.signal(signal.SIGCONT)
        await asyncio.sleep(GLIMPSE_S)
    raise AssertionError(f"no transaction was open in {TRIES} glimpses")


async def open_transactions(
    system: System, among: Collection[int] | None = None
) -> int:
    """In how many partitions of the changelog, or some, a transaction is open."""
    tps = [
        tp
        for tp in partitions_of(system.topics.changelog)
        if among is None or tp.partition in among
    ]
    ends = []
    # In this order: what is committed in between would look as if it were hidden.
    for committed in (False, True):
        async with system.consumer(committed=committed) as consumer:
            ends.append(await consumer.end_offsets(tps))
    all_of_it, stable = ends
    return sum(stable[tp] < all_of_it[tp] for tp in tps)
