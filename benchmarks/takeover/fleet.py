"""Several coordinators and workers, which can be killed and restarted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from benchmarks.progress import Progress, Sayings, Takeover
from benchmarks.system import Installation, crew, handlers
from benchmarks.waiting import wait_for
from streams.config import Settings
from streams.devkit.lines import log_files
from streams.devkit.supervisor import Backoff, Supervised, Supervisor

READY_WITHIN_S = 90.0
STEADY_S = 1.0
"""All partitions have got on within this time: the load reaches each of them."""


@dataclass(frozen=True)
class Mode:
    """How processes are members of their groups, and when they come back."""

    name: str
    static: bool
    back_after_s: float
    """How long the supervisor waits before it starts a process again."""


@dataclass(frozen=True)
class Fleet:
    """Processes under one supervisor, and what can be seen of them."""

    settings: Settings
    coordinators: tuple[Supervised, ...]
    workers: tuple[Supervised, ...]
    progress: Progress
    sayings: Sayings = field(default_factory=Sayings)

    async def kill(self, coordinator: Supervised) -> Takeover:
        """Kills -9, and watches the partitions that are without an owner."""
        owned = self.sayings.owned.pop(coordinator.name)
        ends, began = len(coordinator.exits), time.perf_counter()
        coordinator.kill()
        ended = lambda: len(coordinator.exits) > ends  # noqa: E731 - said once
        await wait_for("the end of a killed process", ended, 10.0)
        takeover = Takeover(began, time.time_ns() // 1_000_000, owned)
        self.progress.takeover = takeover
        return takeover

    async def settled(self, back: Supervised | None = None) -> None:
        """Waits until everything is owned, and gets on.

        Args:
            back: a coordinator that has been away, and gets its share again.
        """
        if back is not None:
            await back.wait_start(len(back.exits) + 1, READY_WITHIN_S)
            await back.wait_ready(READY_WITHIN_S)
        await wait_for("owners of all partitions", self._is_whole, READY_WITHIN_S)
        await wait_for("progress everywhere", self._is_steady, READY_WITHIN_S)

    async def restart(self, process: Supervised) -> None:
        """Stops one process by SIGTERM; its supervisor starts it again."""
        starts = process.starts
        self.sayings.owned.pop(process.name, None)
        process.restart()
        await process.wait_start(starts + 1, READY_WITHIN_S)
        await process.wait_ready(READY_WITHIN_S)
        await self.settled()

    def _is_whole(self) -> bool:
        names = [each.name for each in self.coordinators]
        everyone = all(self.sayings.owned.get(name) for name in names)
        return everyone and self.sayings.is_whole(names, self.settings.partitions)

    def _is_steady(self) -> bool:
        return self.progress.is_steady(range(self.settings.partitions), STEADY_S)


@asynccontextmanager
async def fleet(
    installation: Installation, mode: Mode, sizes: tuple[int, int]
) -> AsyncIterator[Fleet]:
    """Runs so many coordinators and so many workers."""
    settings, sayings = installation.settings, Sayings()
    progress = await Progress.from_end(settings)
    following = asyncio.create_task(progress.follow())
    sink = log_files(installation.logs / mode.name)

    def hear(name: str, line: str) -> None:
        sink(name, line)
        sayings.hear(name, line)

    env = installation.environment(static_membership=mode.static)
    backoff = Backoff(first_s=mode.back_after_s, factor=1.0)
    try:
        async with Supervisor(sink=hear, backoff=backoff) as supervisor:
            processes = [
                [supervisor.start(each) for each in commands]
                for commands in (
                    crew("coordinator", sizes[0], env),
                    crew("worker", sizes[1], env, *handlers()),
                )
            ]
            await supervisor.wait_ready(READY_WITHIN_S)
            coordinators, workers = map(tuple, processes)
            yield Fleet(settings, coordinators, workers, progress, sayings)
    finally:
        following.cancel()
        await progress.stop()
