"""Guests: processes with other names that join the groups, and leave them again."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from tests.integration.system import Member, System

STAY_S = (3.0, 7.0)
EVERY_S = (2.0, 5.0)
PATIENCE_S, GONE_S = 15.0, 60.0


class Storm:
    """Lets guests come every few seconds, some of which leave without a word."""

    def __init__(self, system: System, handlers: str, dice: random.Random) -> None:
        self.guests = 0
        self.kills = 0
        self.exits: Counter[int] = Counter()
        self._system = system
        self._handlers = handlers
        self._dice = dice

    async def blow(self, seconds: float) -> None:
        """Let guests come for so long; ends when all have left."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        async with asyncio.TaskGroup() as group:
            while loop.time() < end:
                group.create_task(self._visit())
                await asyncio.sleep(self._dice.uniform(*EVERY_S))

    async def _visit(self) -> None:
        guest = self._guest()
        guest.launch()
        # Who is spare, or comes when nothing moves, does not get ready: it leaves, too.
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while not (guest.is_ready or guest.has_ended):
                    await asyncio.sleep(0.1)
        await asyncio.sleep(self._dice.uniform(*STAY_S))
        leave = self._dice.choice((signal.SIGTERM, signal.SIGKILL))
        self.kills += leave is signal.SIGKILL and not guest.has_ended
        guest.signal(leave)
        self.exits[await guest.exit_code(GONE_S)] += 1

    def _guest(self) -> Member:
        self.guests += 1
        name = {"PLANSTREAM_NAME": f"guest-{self.guests}"}
        make: Callable[..., Member] = self._dice.choice(
            (
                self._system.coordinator,
                partial(self._system.worker, self._handlers),
                partial(self._system.combined, self._handlers),
            )
        )
        return make(environment=name)
