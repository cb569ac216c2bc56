"""Watches whether a process gets done what it has to do; ends it when it does not."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from aiokafka.structs import TopicPartition
from faust.types import TP

from agents.watchdog import Watchdog
from streams.config import Settings
from streams.runtime import report
from streams.runtime.client_tasks import dead_tasks
from streams.runtime.delivery import ChunkConsumer
from streams.runtime.ends import Ends
from streams.runtime.exits import die, spawn
from streams.runtime.host import Host, LogEnds
from streams.runtime.progress import Look, Progress, Standing, State
from streams.runtime.report import Condition, Report
from streams.runtime.telling import Telling

logger = logging.getLogger("planstream.health")

LOOK_EVERY_S = 1.0
STALE_S = 10.0
"""The age at which a report says nothing any more: the loop does not turn."""
AWAY_S = 5.0
"""Silence of brokers after which nobody is blamed for standing still."""


class Health:
    """Looks every second, tells what it sees, and ends a process that is stuck.

    Args:
        settings: of this process.
        who: its name in its group.
        host: what it hosts.
        consumer: gives the app's consumer, once it is there.
        is_stopping: whether the process was told to stop.
        telling: where it is told, together with what else the process hosts.
        watch: makes what watches the loop, if this is to have it watched. A worker's
            engine has a watch of its own.
    """

    def __init__(
        self,
        settings: Settings,
        who: str,
        host: Host,
        consumer: Callable[[], ChunkConsumer],
        is_stopping: Callable[[], bool],
        *,
        telling: Telling,
        watch: Callable[[], Watchdog] | None,
    ) -> None:
        self._settings = settings
        self._who = who
        self._host = host
        self._consumer = consumer
        self._is_stopping = is_stopping
        self._progress = Progress(LOOK_EVERY_S)
        self._written = Ends(host.ask_ends, self._sources)
        self._stable = Ends(self._ask_stable, self._sources)
        self._report = report.dead("it has only just begun")
        self._looked = time.monotonic()
        self._held: set[str] = set()
        self._outside_s = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._watch = watch
        self._watchdog: Watchdog | None = None
        self._telling = telling

    async def start(self) -> None:
        """Begin to watch, on the running loop."""
        if self._watch is not None:
            self._watchdog = self._watch()
            self._watchdog.start()
        self._telling.add(self.report)
        self._look()
        self._tasks = [
            spawn("the health watch", self._run()),
            spawn("asking where logs end", self._written.run()),
            spawn("asking what may be read", self._stable.run()),
        ]
        await self._telling.listen()

    async def stop(self) -> None:
        """Watch no more; what was told is taken back."""
        for task in self._tasks:
            task.cancel()
        if self._watchdog is not None:
            self._watchdog.stop()
        await self._telling.remove(self.report)

    def report(self) -> Report:
        """How the process is, as of the last look, if that is not long ago."""
        age_s = time.monotonic() - self._looked
        if age_s > STALE_S:
            return report.dead(f"nothing has been looked at for {age_s:.0f} s")
        return self._report

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self._look()

    def _look(self) -> None:
        self._looked = time.monotonic()
        stopping = self._is_stopping()
        standings = self._progress.see(self._looks(), self._looked)
        if not stopping:
            self._end_if_stuck(standings)
        condition = Condition(self._host.is_live, stopping, self._silent_s(), standings)
        ready_s = self._settings.ready_timeout_ms / 1000
        self._report = report.report_on(self._who, condition, ready_s)
        self._tell_of_held(standings, ready_s)
        self._telling.write()

    # -- what is seen

    def _sources(self) -> list[TP]:
        return self._host.sources() if self._host.is_live else []

    async def _ask_stable(self, tps: list[TP]) -> dict[TP, int]:
        """Ask the app's consumer: it is read_committed, and so is its answer."""
        ends = await self._consumer().kafka.end_offsets(
            [TopicPartition(*tp) for tp in tps]
        )
        return {TP(*tp): end for tp, end in ends.items()}

    def _silent_s(self) -> float:
        return self._written.silent_s

    def _looks(self) -> list[Look]:
        # The consumer's own client may be what is stuck: then all counts as readable.
        is_fresh = self._stable.silent_s <= AWAY_S
        stable = self._stable.known if is_fresh else {}
        looks = self._host.looks(LogEnds(self._written.known, stable))
        if self._silent_s() <= AWAY_S:
            return looks
        return [replace(look, excuse="no broker answers") for look in looks]

    # -- what follows

    def _end_if_stuck(self, standings: list[Standing]) -> None:
        clients = dict(self._host.clients())
        if self._host.is_live:
            clients["the app's consumer"] = self._consumer().kafka
        for why in dead_tasks(clients):
            die(why)
        limit_s = self._settings.progress_timeout_ms / 1000
        for each in standings:
            if each.state is State.STILL and each.still_s > limit_s:
                die(report.describe(each))
        self._end_if_outside()

    def _end_if_outside(self) -> None:
        """A process that its group does not let in is not told so by anybody."""
        is_outside = not self._host.is_live
        self._outside_s = self._outside_s + LOOK_EVERY_S if is_outside else 0.0
        limit_s = self._settings.rebalance_timeout_ms / 1000
        if self._outside_s > limit_s:
            who = self._who
            die(f"the group of {who} has assigned nothing to it for {limit_s:.0f} s")

    def _tell_of_held(self, standings: list[Standing], after_s: float) -> None:
        """Say once of each log that a transaction holds it: a restart is no help."""
        held = {each.look.name: each for each in standings if each.held_s > after_s}
        for name in held.keys() - self._held:
            logger.warning("%s", report.describe(held[name]))
        for name in self._held - held.keys():
            logger.info("%s is held no longer", name)
        self._held = set(held)
