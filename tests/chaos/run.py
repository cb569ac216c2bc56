"""One run: load and faults, the end of both, then the checks and the report."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from streams import bootstrap
from streams.devkit.cluster import EmbeddedCluster
from streams.devkit.kafka import EmbeddedKafka
from streams.runtime.exits import EXIT_MISFIT
from streams.runtime.membership import members
from tests.chaos.autopsy import autopsy, concerned
from tests.chaos.broker_faults import broker_faults
from tests.chaos.checks import Checks
from tests.chaos.faults import Faults
from tests.chaos.findings import Invariant
from tests.chaos.follower import Follower
from tests.chaos.load import Load
from tests.chaos.meddler import Meddler
from tests.chaos.network import NetworkFaults
from tests.chaos.options import Options
from tests.chaos.plans import MAX_BYTES
from tests.chaos.processes import HANDLERS, READY_S, clock_of, kept, of_role, only
from tests.chaos.proxy import Proxy
from tests.chaos.report import report, summary
from tests.chaos.schedule import COMBINED, COORDINATOR, WORKER, draw
from tests.chaos.storm import Storm
from tests.integration.symptoms import hidden, last_words
from tests.integration.system import Keeper, System

SESSION_MS = 6000
MANY_DELIVERIES = 100
"""So that no step is given up because of what we do to its workers (R29)."""
PROGRESS_S = 10.0
ENDED_S = 300.0
SETTLED_S = 60.0
LONG_S, FORGOTTEN_S = 600, 150
"""From such a load on the end waits until parents that left no child are forgotten."""


class Run:
    """What belongs to one run; told by the report, however far it came."""

    def __init__(
        self,
        options: Options,
        broker: EmbeddedKafka | EmbeddedCluster,
        where: Path,
        proxy: Proxy | None,
    ) -> None:
        dice = random.Random(options.seed)
        self.options = options
        self.schedule = draw(dice, options.seconds, SESSION_MS / 1000, options.brokers)
        self.system = System(
            *(broker.bootstrap, "chaos.", where),
            partitions=options.partitions,
            session_timeout_ms=SESSION_MS,
            max_deliveries=MANY_DELIVERIES,
            max_submission_bytes=MAX_BYTES,
        )
        (marks := where / "marks").mkdir()
        seeds = [dice.random() for _ in range(4)]
        self.load = Load(self.system, random.Random(seeds[0]), marks)
        self.meddler = Meddler(self.system, self.load, random.Random(seeds[1]))
        self.storm = Storm(self.system, HANDLERS, random.Random(seeds[2]))
        self.follower = Follower(self.system)
        self.checks = Checks(self.system, self.load, self.follower)
        self.keepers: dict[str, Keeper] = {}
        self.faults = Faults(
            broker_faults(broker),
            self.keepers,
            self.storm,
            self.load,
            None if proxy is None else NetworkFaults(proxy),
            {role: clock_of(self.system, role) for role in (COORDINATOR, WORKER)},
        )
        self._proxy_port = None if proxy is None else proxy.port
        self._dice = random.Random(seeds[3])
        self._begun = time.monotonic()
        self.load_s = 0.0
        self.notes: list[str] = []
        """What may explain what was found broken."""

    @property
    def whole_s(self) -> float:
        """How long all has taken until now."""
        return time.monotonic() - self._begun

    @property
    def installation(self) -> dict[str, int]:
        """What the system under test is made of."""
        return {
            "brokers": self.options.brokers,
            "coordinators": len(only(self.keepers, COORDINATOR)),
            "workers": len(only(self.keepers, WORKER)),
            "combined": len(only(self.keepers, COMBINED)),
            "partitions": self.options.partitions,
            "session_timeout_ms": SESSION_MS,
            "plans_per_second": round(self.options.rate),
        }

    async def carry_out(self) -> dict[str, Any]:
        """Do all of it; the report is written whatever happens."""
        error: str | None = "broken off"
        try:
            await self._do()
            error = None
        except Exception as exc:
            error = repr(exc)
            raise
        finally:
            told = report(self, error)
            self._publish(told)
        return told

    def _publish(self, told: dict[str, Any]) -> None:
        print(*summary(told), sep="\n", flush=True)
        if (path := self.options.report) is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
            print(f"the report is in {path}", flush=True)

    async def _do(self) -> None:
        await bootstrap.create(self.system.settings)
        async with self.follower.following():
            async with kept(self.system, self._dice, self._proxy_port) as keepers:
                self.keepers.update(keepers)
                telling = asyncio.create_task(self._tell())
                try:
                    await self._load()
                    await self._end()
                finally:
                    telling.cancel()
            print(f"{self.whole_s:6.0f} s  reading what lies on the topics", flush=True)
            self._exits()
            await self.checks.run()
        await self._explain()

    async def _explain(self) -> None:
        """Leave, beside the logs, what there is about plans that ended wrongly."""
        if not self.checks.findings.examples:
            return
        self.notes += [
            line async for line in hidden(self.system, self.load.acknowledged)
        ]
        self.notes += last_words(keeper.member.log for keeper in self.keepers.values())
        ids = concerned(self.checks.findings.examples)
        lines = [line async for line in autopsy(self.system, ids)]
        if lines:
            path = self.system.directory / "broken.txt"
            path.write_text("\n".join(lines), "utf-8")
            print(f"what lies on the topics about them is in {path}", flush=True)

    async def _load(self) -> None:
        begun, options = time.monotonic(), self.options
        async with asyncio.TaskGroup() as group:
            group.create_task(self.load.run(options.rate, options.seconds))
            group.create_task(self.meddler.run(options.seconds))
            group.create_task(self.faults.run(self.schedule))
        self.load_s = time.monotonic() - begun

    async def _end(self) -> None:
        for keeper in self.keepers.values():
            await keeper.ready(READY_S)
        await self._until(self._all_have_ended, ENDED_S)
        # One that is cut off still may be out of its group, and would stop in doubt.
        await self._until(self._all_take_part, SETTLED_S)
        # Workers first: what they still answer must be folded too.
        await self._stop(WORKER)
        await self._stop(COMBINED)
        await self._until(self._all_is_folded, SETTLED_S)
        if self.options.seconds >= LONG_S:
            await self._until(self._all_is_forgotten, FORGOTTEN_S)
        await self._stop(COORDINATOR)

    async def _stop(self, kind: str) -> None:
        stopping = [keeper.stop() for keeper in only(self.keepers, kind)]
        for code in await asyncio.gather(*stopping):
            self.checks.findings.check(
                Invariant.EXITS, code == 0, f"a {kind} process ended with {code}"
            )

    def _exits(self) -> None:
        for fault in map(str, self.schedule):
            done = fault not in self.faults.failed
            self.checks.findings.check(Invariant.FAULTS, done, fault)
        for name, keeper in self.keepers.items():
            self.checks.findings.check(
                Invariant.EXITS,
                EXIT_MISFIT not in keeper.exits,
                f"{name} found positions that do not fit",
            )

    async def _until(self, met: Callable[[], Awaitable[bool]], within_s: float) -> None:
        """Wait; if it is in vain, the checks say what is missing."""
        try:
            async with asyncio.timeout(within_s):
                while not await met():
                    await asyncio.sleep(0.5)
        except TimeoutError:
            print(f"{met.__name__}: not within {within_s} s", flush=True)

    async def _all_have_ended(self) -> bool:
        return self.load.expected <= self.follower.seen.keys()

    async def _all_take_part(self) -> bool:
        settings = self.system.settings
        groups = {
            settings.coordinator_app_id: COORDINATOR,
            settings.worker_app_id: WORKER,
        }
        for group, role in groups.items():
            found = await members(settings, group)
            if len(found) != len(of_role(self.keepers, role)):
                return False
            if not all(each.partitions for each in found):
                return False
        return True

    async def _all_is_folded(self) -> bool:
        return not self.follower.rows(orphans=False) and not await self.follower.lag()

    async def _all_is_forgotten(self) -> bool:
        return not self.follower.rows()

    async def _tell(self) -> None:
        """Say every few seconds how far it is."""
        while True:
            await asyncio.sleep(PROGRESS_S)
            made, seen = len(self.load.acknowledged), len(self.follower.seen)
            kills = sum(self.faults.kills.values())
            down = [
                name for name, each in self.keepers.items() if each.member.has_ended
            ]
            print(
                f"{self.whole_s:6.0f} s  {made} records acknowledged, {seen} results,"
                f" {self.follower.rows()} rows of open plans;"
                f" {len(self.faults.done)} faults, {kills} kills"
                f"{'; down: ' if down else ''}{', '.join(down)}",
                flush=True,
            )
