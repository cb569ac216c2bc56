"""Waits for what other processes bring about."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from benchmarks.presenting import NothingMeasured

TICK_S = 0.005


class Stalled(NothingMeasured):
    """The system did not get where it should."""


async def until(probe: Callable[[], bool], within_s: float) -> bool:
    """Waits for something to be so; tells whether it was in time."""
    give_up_at = time.perf_counter() + within_s
    while not probe():
        if time.perf_counter() > give_up_at:
            return False
        await asyncio.sleep(TICK_S)
    return True


async def wait_for(what: str, probe: Callable[[], bool], within_s: float) -> None:
    """Waits for something to be so.

    Raises:
        Stalled: it has not become so in time.
    """
    if not await until(probe, within_s):
        raise Stalled(f"{what}: not within {within_s:g} s")
