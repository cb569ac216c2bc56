"""A running system with a load generator that is warm."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from benchmarks.client import Client
from benchmarks.load import Load
from benchmarks.presenting import Say
from benchmarks.run import SETTLE_IN_FLIGHT, SETTLE_SHAPE, load_on
from benchmarks.scenarios import Pace
from benchmarks.system import Installation, System, serving
from streams.devkit.lines import Sink


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    pace: Pace
    rounds: int
    open_plans: int = 200_000
    few_plans: int = 1_000
    armed: int = 10_000
    critical_path_ms: int = 2_000
    sleep_s: float = 60.0
    patience_s: float = 60.0


@dataclass(frozen=True)
class Session:
    """What a part of the suite measures with."""

    system: System
    client: Client
    load: Load
    scale: Scale
    say: Say


@asynccontextmanager
async def session(
    installation: Installation, scale: Scale, say: Say, hear: Sink | None = None
) -> AsyncIterator[Session]:
    """Starts the processes, connects, and keeps them busy for a while."""
    async with (
        serving(installation, hear) as system,
        Client.connected(system.settings) as client,
    ):
        load = load_on(system, client, scale.patience_s)
        await load.settle(SETTLE_SHAPE, SETTLE_IN_FLIGHT, scale.pace.settle_s)
        yield Session(system, client, load, scale, say)
