"""The load: plans, second submissions and garbage, at a steady rate."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from pathlib import Path

from streams.client import PlanClient
from streams.exceptions import ClientStopped, SubmissionRefused
from tests.chaos.plans import Made, make
from tests.integration.plans import step, submission
from tests.integration.system import System

AGAIN = 0.04
"""The part of submissions that are an earlier one once more."""
UNREADABLE = 0.02
"""The part of submissions whose plan has no right id."""
UNACKNOWLEDGED_S = 90.0


class Load:
    """Submits plans as foreign programs do, and remembers what was acknowledged.

    Args:
        where: A directory for the marks of handlers.
    """

    def __init__(self, system: System, dice: random.Random, where: Path) -> None:
        self.made: dict[str, Made] = {}
        self.acknowledged: dict[tuple[int, int], str | None] = {}
        """The plan at each partition and offset of the plans topic; None is garbage."""
        self.unsure = 0
        """Submissions that were not acknowledged: they may lie there or not."""
        self.kinds: Counter[str] = Counter()
        self._system = system
        self._dice = dice
        self._where = where

    async def run(self, rate: float, seconds: float) -> None:
        """Submit at a steady rate, whatever becomes of each submission."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        client = self._system.client(results=False)
        async with client, asyncio.TaskGroup() as group:
            while loop.time() < end:
                group.create_task(self._submit(client, self._next()))
                await asyncio.sleep(self._dice.expovariate(rate))

    def _next(self) -> tuple[str | None, bytes]:
        roll = self._dice.random()
        if roll < UNREADABLE:
            self.kinds["unreadable"] += 1
            return None, _unreadable()
        if roll < UNREADABLE + AGAIN and self.made:
            self.kinds["submitted again"] += 1
            made = self.made[self._dice.choice(list(self.made))]
        else:
            made = make(self._dice, self._where)
            self.kinds[made.kind] += 1
            self.made[made.plan_id] = made
        return made.plan_id, json.dumps(made.submission).encode()

    async def _submit(self, client: PlanClient, what: tuple[str | None, bytes]) -> None:
        plan_id, value = what
        try:
            async with asyncio.timeout(UNACKNOWLEDGED_S):
                sent = await client.submit_bytes(value)
        except (SubmissionRefused, ClientStopped, TimeoutError):
            self.unsure += 1
        else:
            self.acknowledged[sent.partition, sent.offset] = plan_id


def _unreadable() -> bytes:
    """A submission whose ids can be found, and that is no JSON for all that."""
    return json.dumps(submission(step()))[:-1].encode()
