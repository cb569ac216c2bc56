"""Carries a schedule of faults out."""

from __future__ import annotations

import asyncio
import signal
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.broker_faults import BrokerFaults
from tests.chaos.load import Load
from tests.chaos.network import NetworkFaults
from tests.chaos.processes import of_role
from tests.chaos.schedule import COORDINATOR, NETWORK, WORKER, Fault, Kind
from tests.chaos.storm import Storm
from tests.integration.plans import now_ms
from tests.integration.system import Keeper

READY_S = 120.0
FLOOD = 300
STEPS_MS = (0, 30_000, -30_000)
"""By how much a clock may be wrong."""


@dataclass
class Done:
    """A fault, and from when to when it was done, Unix ms."""

    fault: Fault
    began: int
    ended: int | None = None


class Faults:
    """Does what is scheduled, each fault in its own time, also side by side."""

    def __init__(
        self,
        broker: BrokerFaults,
        keepers: dict[str, Keeper],
        storm: Storm,
        load: Load,
        network: NetworkFaults | None,
        clocks: dict[str, Path],
    ) -> None:
        self.done: list[Done] = []
        self.failed: list[str] = []
        """What could not be done: the suite's own fault."""
        self._kills: Counter[str] = Counter()
        self._broker = broker
        self._keepers = keepers
        self._storm = storm
        self._load = load
        self._network = network
        self._clocks = clocks

    @property
    def kills(self) -> dict[str, int]:
        """Processes that were killed -9, by what they were."""
        others = {"guest": self._storm.kills, "broker": self._broker.kills}
        return {**self._kills, **others}

    async def run(self, schedule: Sequence[Fault]) -> None:
        """Do all that is scheduled; ends when the last fault is over."""
        async with asyncio.TaskGroup() as group:
            for fault in schedule:
                group.create_task(self._in_time(fault))

    async def _in_time(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at_s)
        done = Done(fault, now_ms())
        try:
            async with asyncio.timeout(READY_S * 3):
                await self._way(fault.kind)(fault, done)
        except Exception:  # noqa: BLE001 - the others go on, and the run has failed
            print(f"{fault} went wrong:\n{traceback.format_exc()}", flush=True)
            self.failed.append(str(fault))
        done.ended = now_ms()

    def _way(self, kind: Kind) -> Callable[[Fault, Done], Awaitable[None]]:
        match kind:
            case Kind.KILL_COORDINATOR | Kind.KILL_WORKER:
                return self._kill
            case Kind.FREEZE_COORDINATOR | Kind.FREEZE_WORKER:
                return self._freeze
            case Kind.ROLL:
                return self._roll
            case Kind.STORM:
                return self._let_others_join
            case Kind.FLOOD:
                return self._flood
            case Kind.CLOCK_OF_COORDINATOR | Kind.CLOCK_OF_WORKER:
                return self._step_clock
            case kind if kind in NETWORK:
                return self._harm_network
            case _:
                return self._harm_broker

    def _begin(self, done: Done) -> None:
        done.began = now_ms()
        self.done.append(done)

    def _victim(self, fault: Fault) -> tuple[str, Keeper]:
        """Who is meant, or the next one that has a process just now."""
        is_coordinator = fault.kind in {Kind.KILL_COORDINATOR, Kind.FREEZE_COORDINATOR}
        role = COORDINATOR if is_coordinator else WORKER
        keepers = of_role(self._keepers, role)
        order = [
            keepers[(fault.victim + n) % len(keepers)] for n in range(len(keepers))
        ]
        return role, next((each for each in order if each.member.is_ready), order[0])

    async def _kill(self, fault: Fault, done: Done) -> None:
        self._begin(done)
        self._kill_one(*self._victim(fault))

    def _kill_one(self, role: str, keeper: Keeper) -> None:
        if not keeper.member.has_ended:
            self._kills[role] += 1
            keeper.member.signal(signal.SIGKILL)

    async def _freeze(self, fault: Fault, done: Done) -> None:
        self._begin(done)
        _, victim = self._victim(fault)
        process = victim.member.process
        victim.member.signal(signal.SIGSTOP)
        await asyncio.sleep(fault.lasts_s)
        if process is victim.member.process:
            victim.member.signal(signal.SIGCONT)

    async def _roll(self, _: Fault, done: Done) -> None:
        self._begin(done)
        for keeper in self._keepers.values():
            process = keeper.member.process
            keeper.member.signal(signal.SIGTERM)
            async with asyncio.timeout(READY_S):
                while keeper.member.process is process and not keeper.member.has_ended:
                    await asyncio.sleep(0.1)
            await keeper.ready(READY_S)

    async def _let_others_join(self, fault: Fault, done: Done) -> None:
        self._begin(done)
        await self._storm.blow(fault.lasts_s)

    async def _flood(self, _: Fault, done: Done) -> None:
        self._begin(done)
        await self._load.flood(FLOOD)

    async def _step_clock(self, fault: Fault, done: Done) -> None:
        """Set a clock forwards or back, and leave it so until the next step."""
        self._begin(done)
        is_coordinator = fault.kind is Kind.CLOCK_OF_COORDINATOR
        clock = self._clocks[COORDINATOR if is_coordinator else WORKER]
        others = [step for step in STEPS_MS if f"{step}" != clock.read_text()]
        (new := clock.with_suffix(".new")).write_text(str(others[fault.victim % 2]))
        new.replace(clock)

    async def _harm_network(self, fault: Fault, done: Done) -> None:
        self._begin(done)
        assert self._network is not None
        await self._network.harm(fault)

    async def _harm_broker(self, fault: Fault, done: Done) -> None:
        async with self._broker.alone:
            self._begin(done)
            await self._broker.harm(fault, self._kill_all_coordinators)

    def _kill_all_coordinators(self) -> None:
        for keeper in of_role(self._keepers, COORDINATOR):
            self._kill_one(COORDINATOR, keeper)
