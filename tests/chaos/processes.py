"""The processes of a run: three coordinators, three workers, one that is both."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.chaos.schedule import COMBINED, COORDINATOR, WORKER
from tests.chaos.skewed import VARIABLE
from tests.chaos.trails import SKEWED
from tests.integration.system import Keeper, Member, System

HANDLERS = "tests.chaos.handlers"
READY_S = 120.0


@asynccontextmanager
async def kept(
    system: System, dice: random.Random, proxy_port: int | None
) -> AsyncIterator[dict[str, Keeper]]:
    """Start them; each is started again after 1 to 5 s whenever it ends.

    Of each role one is as any other, one has a clock that can be stepped, and one
    reaches the broker through the proxy, if there is one.
    """

    def delay() -> float:
        return dice.uniform(1, 5)

    members = {
        f"{role} {number}": _member(system, role, how)
        for role in (COORDINATOR, WORKER)
        for number, how in enumerate(_ways(system, role, proxy_port), 1)
    }
    members[f"{COMBINED} 1"] = system.combined(HANDLERS)
    keepers = {name: Keeper(member, delay) for name, member in members.items()}
    try:
        for keeper in keepers.values():
            await keeper.ready(READY_S)
        yield keepers
    finally:
        for keeper in keepers.values():
            keeper.member.signal(signal.SIGCONT)
        stopping = [keeper.stop() for keeper in keepers.values()]
        await asyncio.gather(*stopping, return_exceptions=True)


def of_role(keepers: dict[str, Keeper], role: str) -> list[Keeper]:
    """Those that are coordinators, or workers; what is both counts as each."""
    return only(keepers, role) + only(keepers, COMBINED)


def only(keepers: dict[str, Keeper], kind: str) -> list[Keeper]:
    """Those that are of this kind and no other."""
    return [keeper for name, keeper in keepers.items() if name.startswith(kind)]


def clock_of(system: System, role: str) -> Path:
    """The file that says how wrong the clock of one process of the role is."""
    return system.directory / f"clock-of-a-{role}"


def _ways(system: System, role: str, proxy_port: int | None) -> list[dict[str, Any]]:
    clock = clock_of(system, role)
    clock.write_text("0")
    stepped = {VARIABLE: str(clock), "PLANSTREAM_NAME": f"{SKEWED}-1"}
    proxied: Mapping[str, str] = {}
    if proxy_port is not None:
        proxied = {"PLANSTREAM_BROKER": f"127.0.0.1:{proxy_port}"}
    return [
        {},
        {"environment": stepped, "module": "tests.chaos.skewed"},
        {"environment": proxied},
    ]


def _member(system: System, role: str, how: dict[str, Any]) -> Member:
    if role == COORDINATOR:
        return system.coordinator(**how)
    return system.worker(HANDLERS, **how)
