"""Does to the processes what the schedule says."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from streams.devkit.kafka import EmbeddedKafka
from tests.chaos.schedule import Fault, Kind
from tests.integration.system import Keeper

READY_S = 120.0
FLICKERS, FROZEN_S = 40, 0.05


class Faults:
    """Carries a schedule out, each fault in its own time, also side by side."""

    def __init__(
        self,
        broker: EmbeddedKafka,
        coordinators: Sequence[Keeper],
        workers: Sequence[Keeper],
    ) -> None:
        self.began: list[tuple[Fault, int]] = []
        """What was done, and when (Unix ms)."""
        self._broker = broker
        self._keepers = {"coordinator": coordinators, "worker": workers}
        self._busy = asyncio.Lock()
        """Only one thing at a time is done to the broker."""

    async def run(self, schedule: Sequence[Fault]) -> None:
        """Do all that is scheduled; ends when the last fault is over."""
        async with asyncio.TaskGroup() as group:
            for fault in schedule:
                group.create_task(self._in_time(fault))

    async def _in_time(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at_s)
        async with asyncio.timeout(READY_S * 3):
            await self._do(fault)

    def _do(self, fault: Fault) -> Coroutine[Any, Any, None]:
        if fault.kind in {Kind.KILL_BROKER, Kind.FREEZE_BROKER, Kind.ORPHAN}:
            return self._harm_broker(fault)
        if fault.kind is Kind.ROLL:
            return self._roll(fault)
        keepers = self._keepers[fault.kind.role]
        victim = keepers[fault.victim % len(keepers)]
        if fault.kind in {Kind.FREEZE_COORDINATOR, Kind.FREEZE_WORKER}:
            return self._freeze(fault, victim)
        return self._kill(fault, victim)

    def _note(self, fault: Fault) -> None:
        self.began.append((fault, time.time_ns() // 1_000_000))

    async def _kill(self, fault: Fault, victim: Keeper) -> None:
        self._note(fault)
        victim.member.signal(signal.SIGKILL)

    async def _freeze(self, fault: Fault, victim: Keeper) -> None:
        self._note(fault)
        process = victim.member.process
        victim.member.signal(signal.SIGSTOP)
        await asyncio.sleep(fault.lasts_s)
        if process is victim.member.process:
            victim.member.signal(signal.SIGCONT)

    async def _roll(self, fault: Fault) -> None:
        self._note(fault)
        for keeper in (*self._keepers["coordinator"], *self._keepers["worker"]):
            process = keeper.member.process
            keeper.member.signal(signal.SIGTERM)
            async with asyncio.timeout(READY_S):
                while keeper.member.process is process and not keeper.member.has_ended:
                    await asyncio.sleep(0.1)
            await keeper.ready(READY_S)

    async def _harm_broker(self, fault: Fault) -> None:
        harm, mend = self._broker.kill, self._broker.start
        if fault.kind is not Kind.KILL_BROKER:
            harm, mend = self._broker.pause, self._broker.resume
        async with self._busy:
            self._note(fault)
            if fault.kind is Kind.ORPHAN:
                await self._flicker()
            await asyncio.to_thread(harm)
            if fault.kind is Kind.ORPHAN:
                for keeper in self._keepers["coordinator"]:
                    keeper.member.signal(signal.SIGKILL)
            await asyncio.sleep(fault.lasts_s)
            await asyncio.to_thread(mend)

    async def _flicker(self) -> None:
        """Let the broker run for a moment at a time: what takes 5 ms takes 200."""
        for _ in range(FLICKERS):
            self._broker.pause()
            await asyncio.sleep(FROZEN_S)
            self._broker.resume()
            await asyncio.sleep(FROZEN_S / 10)
