"""The load: plans, second submissions and what is no plan, at a steady rate."""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from collections import Counter, deque
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from agents.partitioner import partition_of
from streams.client import PlanClient
from streams.exceptions import ClientStopped, SubmissionRefused
from tests.chaos.foreign import REASON, STRAY
from tests.chaos.made import Made, Place, known
from tests.chaos.mix import draw
from tests.chaos.plans import MAX_BYTES
from tests.integration.plans import new_id, now_ms, step, submission
from tests.integration.system import System

AGAIN = 0.04
"""The part of submissions that are an earlier one once more."""
STRAYS = 0.02
"""The part of submissions that lie on any partition, with any key or none."""
UNREADABLE = 0.02
"""The part of records that are no submission."""
UNACKNOWLEDGED_S = 90.0
RECENT, EARLIER = 400, 400
"""How many submissions are kept to be repeated: the latest, and some of all others."""


class Kept(NamedTuple):
    """A submission that can be repeated, or meddled with."""

    made: Made
    value: bytes


class Load:
    """Submits plans as foreign programs do, and remembers what was acknowledged.

    Args:
        where: A directory for the marks of handlers.
    """

    def __init__(self, system: System, dice: random.Random, where: Path) -> None:
        self.made: dict[str, Made] = {}
        self.acknowledged: dict[Place, str | None] = {}
        """The plan at each place of the plans topic; None is no submission."""
        self.unsure = 0
        """Submissions that were not acknowledged: they may lie there or not."""
        self.kinds: Counter[str] = Counter()
        self.recent: deque[Kept] = deque(maxlen=RECENT)
        self._earlier: list[Kept] = []
        self._system = system
        self._dice = dice
        self._where = where

    @property
    def expected(self) -> set[str]:
        """The plans that were acknowledged: each will have a result."""
        return {plan_id for plan_id in self.acknowledged.values() if plan_id}

    async def run(self, rate: float, seconds: float) -> None:
        """Submit at a steady rate, whatever becomes of each submission."""
        begun, number = time.monotonic(), 0
        async with (
            self._system.client(results=False) as client,
            self._system.producer(acks="all", enable_idempotence=True) as producer,
            asyncio.TaskGroup() as group,
        ):
            sender = _Sender(self, client, producer)
            while (now := time.monotonic() - begun) < seconds:
                # By the clock, so that what a busy moment delays is made up for.
                while number < now * rate:
                    group.create_task(self._send_next(sender))
                    number += 1
                await asyncio.sleep(self._dice.expovariate(rate))

    async def flood(self, count: int) -> None:
        """Submit one plan very often, all at once."""
        kept = self._fresh()
        async with self._system.client(results=False, check=False) as client:
            sender = _Sender(self, client, None)
            self.kinds["flood"] += count
            await asyncio.gather(*[sender.submit(kept) for _ in range(count)])

    async def _send_next(self, sender: _Sender) -> None:
        roll = self._dice.random()
        if roll < UNREADABLE:
            self.kinds["no submission"] += 1
            partition = self._dice.randrange(self._system.topics.plans.partitions)
            await sender.send_rubbish(partition, *_rubbish(self._dice))
        elif roll < UNREADABLE + AGAIN and self._earlier:
            self.kinds["submitted again"] += 1
            kept = self._dice.choice((self.recent, self._earlier)[roll < AGAIN])
            await sender.submit(kept)
        elif roll < UNREADABLE + AGAIN + STRAYS:
            self.kinds["strays"] += 1
            await sender.stray(self._fresh(), self._dice)
        else:
            await sender.submit(self._fresh())

    def _fresh(self) -> Kept:
        kind, draft = draw(self._dice, self._where)
        self.kinds[kind] += 1
        plan, *children = known(kind, draft, now_ms())
        for made in (plan, *children):
            self.made[made.plan_id] = made
        value = json.dumps(draft.submission).encode()
        return self._keep(Kept(plan, value + b" " * draft.padding))

    def _keep(self, kept: Kept) -> Kept:
        self.recent.append(kept)
        if len(self._earlier) < EARLIER:
            self._earlier.append(kept)
        elif self._dice.random() < EARLIER / len(self.made):
            self._earlier[self._dice.randrange(EARLIER)] = kept
        return kept


class _Sender:
    """Sends, and tells the load what was acknowledged."""

    def __init__(
        self, load: Load, client: PlanClient, producer: AIOKafkaProducer | None
    ) -> None:
        self._load = load
        self._client = client
        self._producer = producer
        self._plans = load._system.topics.plans

    async def submit(self, kept: Kept) -> None:
        try:
            async with asyncio.timeout(UNACKNOWLEDGED_S):
                sent = await self._client.submit_bytes(kept.value)
        except (SubmissionRefused, ClientStopped, TimeoutError):
            self._load.unsure += 1
        else:
            place = Place(sent.partition, sent.offset)
            self._load.acknowledged[place] = kept.made.plan_id

    async def stray(self, kept: Kept, dice: random.Random) -> None:
        """Send a submission with another's key, or none, to wherever that leads."""
        key = dice.choice((None, new_id().encode()))
        partition = dice.randrange(self._plans.partitions)
        if key is not None:
            partition = partition_of(key, self._plans.partitions)
        headers = [(STRAY, uuid.uuid4().hex.encode())]
        what = {"key": key, "value": kept.value}
        await self._send(kept.made.plan_id, partition, headers, **what)

    async def send_rubbish(
        self, partition: int, value: bytes | None, reason: str
    ) -> None:
        headers = [(REASON, reason.encode())]
        await self._send(None, partition, headers, key=b"rubbish", value=value)

    async def _send(
        self, plan_id: str | None, partition: int, headers: Any, **what: Any
    ) -> None:
        assert self._producer is not None
        try:
            async with asyncio.timeout(UNACKNOWLEDGED_S):
                future = await self._producer.send(
                    self._plans.name, partition=partition, headers=headers, **what
                )
                # Who is cancelled here must not take the batch of others with him.
                sent = await asyncio.shield(future)
        except (KafkaError, TimeoutError):
            self._load.unsure += 1
        else:
            self._load.acknowledged[Place(sent.partition, sent.offset)] = plan_id


def _rubbish(dice: random.Random) -> tuple[bytes | None, str]:
    """What is no submission, and the reason of its dead letter."""
    whole = json.dumps(submission(step())).encode()
    made = submission(step())
    made["plan"]["id"] = "no id"
    without_ids = json.dumps(made).encode()
    return dice.choice(
        (
            (whole[:-1], "MALFORMED"),
            (b"garbage", "MALFORMED"),
            (dice.randbytes(200), "MALFORMED"),
            (None, "MALFORMED"),
            (b"", "MALFORMED"),
            (without_ids, "INVALID_ID"),
            (without_ids + b" " * MAX_BYTES, "TOO_LARGE"),
            (b"{}", "INVALID_ID"),
        )
    )
