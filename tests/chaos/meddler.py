"""What strangers put on the internal topics: forged, repeated, unreadable records."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from agents.partitioner import partition_of
from schemas.codec import encode_fields
from schemas.commands import DeadlineFired, Limit, RetryDue
from schemas.record import Record
from schemas.steps import StepSucceeded
from streams.topics import Topic
from tests.chaos.foreign import FORGED, REASON
from tests.chaos.load import Load
from tests.chaos.made import Made
from tests.integration.plans import new_id, now_ms
from tests.integration.system import System, partitions_of

EVERY_S = 2.5
AT_ONCE = 10
GARBAGE = (b"garbage", b"", None, b"\xc3\x01", b"[" * 10_000, b'{"type": "X"}', b"{}")
FORGED_RESULT = '"forged"'


class Meddler:
    """Meddles every few seconds, in a manner that the dice choose."""

    def __init__(self, system: System, load: Load, dice: random.Random) -> None:
        self.counts: Counter[str] = Counter()
        """Records by what they were."""
        self.unsure = 0
        self._system = system
        self._load = load
        self._dice = dice

    async def run(self, seconds: float) -> None:
        """Meddle for so long."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        async with self._system.producer(acks="all") as producer:
            while loop.time() < end:
                await asyncio.sleep(self._dice.expovariate(1 / EVERY_S))
                await self._meddle(producer)

    async def _meddle(self, producer: AIOKafkaProducer) -> None:
        ways: tuple[Callable[[AIOKafkaProducer], Awaitable[None]], ...] = (
            self._forge_outcomes,
            self._forge_commands,
            self._litter,
            self._repeat,
        )
        try:
            async with asyncio.timeout(30):
                await self._dice.choice(ways)(producer)
        except (KafkaError, TimeoutError):
            self.unsure += 1

    async def _forge_outcomes(self, producer: AIOKafkaProducer) -> None:
        """Tell of attempts that nobody makes."""
        for made in self._victims():
            number = self._dice.randrange(len(made.steps))
            right = _outcome(made, number)
            wrong = self._dice.choice(
                (
                    {"plan_id": new_id()},
                    {"execution_id": new_id()},
                    {"step_id": new_id()},
                    {"step_number": number + 1},
                    {"step_number": 2**40},
                    {"attempt": 1000},
                )
            )
            topic = self._system.topics.step_outcomes
            await self._put(producer, topic, StepSucceeded, {**right, **wrong})
            self.counts["forged outcomes"] += 1

    async def _forge_commands(self, producer: AIOKafkaProducer) -> None:
        """Fire limits that were never set, and retries of what did not fail."""
        topic = self._system.topics.commands
        for made in self._victims():
            ids = {"plan_id": made.plan_id, "execution_id": new_id(), "due_at": 1}
            retry = {**ids, "step_number": 0, "attempt": 2}
            await self._put(producer, topic, RetryDue, retry)
            limit = {**ids, "limit": Limit.DEADLINE, "step_number": None}
            await self._put(producer, topic, DeadlineFired, {**limit, "attempt": None})
            self.counts["forged commands"] += 2

    async def _litter(self, producer: AIOKafkaProducer) -> None:
        """Leave what cannot be read on everything that is read."""
        topics = self._system.topics
        read = (topics.step_outcomes, topics.commands, topics.requests["default"])
        for topic in (*read, topics.halts):
            await producer.send_and_wait(
                topic.name,
                self._dice.choice(GARBAGE),
                key=b"rubbish",
                partition=self._dice.randrange(topic.partitions),
                headers=[(REASON, b"unreadable")],
            )
            self.counts["unreadable records"] += 1

    async def _repeat(self, producer: AIOKafkaProducer) -> None:
        """Send again what lies on a topic: outcomes, or requests."""
        topics = self._system.topics
        topic = self._dice.choice((topics.step_outcomes, topics.requests["default"]))
        for record in await self._latest(topic):
            headers = [*record.headers, (FORGED, b"a repeat")]
            await producer.send_and_wait(
                topic.name,
                record.value,
                key=record.key,
                partition=record.partition,
                headers=headers,
            )
            self.counts[f"repeats on {topic.name.rpartition('.')[2]}"] += 1

    async def _latest(self, topic: Topic) -> list[Any]:
        """Some of the latest records of one partition."""
        tp = self._dice.choice(partitions_of(topic))
        async with self._system.consumer() as consumer:
            consumer.assign([tp])
            end = (await consumer.end_offsets([tp]))[tp]
            consumer.seek(tp, max(0, end - 5 * AT_ONCE))
            records = list((await consumer.getmany(timeout_ms=500)).get(tp, []))
        usable = [record for record in records if record.value]
        return self._dice.sample(usable, min(AT_ONCE, len(usable)))

    def _victims(self) -> list[Made]:
        recent = list(self._load.recent)
        chosen = self._dice.sample(recent, min(AT_ONCE, len(recent)))
        return [kept.made for kept in chosen]

    async def _put(
        self,
        producer: AIOKafkaProducer,
        topic: Topic,
        model: type[Record],
        fields: dict[str, Any],
    ) -> None:
        key = fields["plan_id"].encode()
        await producer.send_and_wait(
            topic.name,
            encode_fields(model, fields),
            key=key,
            partition=partition_of(key, topic.partitions),
            headers=[(FORGED, b"forged")],
        )


def _outcome(made: Made, number: int) -> dict[str, Any]:
    return {
        "plan_id": made.plan_id,
        "execution_id": made.execution_id,
        "step_id": made.steps[number],
        "step_number": number,
        "attempt": 1,
        "worker": "forged",
        "started_at": now_ms(),
        "ended_at": now_ms(),
        "result": FORGED_RESULT,
    }
