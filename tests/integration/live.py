"""A running installation that all tests of a module share."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from aiokafka import AIOKafkaProducer

from agents.partitioner import partition_of
from tests.conftest import Broker
from tests.integration.ledger import Ledger, Trail
from tests.integration.system import System

HANDLERS = "tests.integration.handlers"
ADDED = [
    "reason",
    "reason-detail",
    "source-topic",
    "source-partition",
    "source-offset",
    "source-timestamp",
]
"""The headers of dead letters, after those received (R38)."""
T = TypeVar("T")


class Live:
    """Processes that run, a producer and a reader that know nothing of planstream.

    The tests are plain functions; what they await runs on one loop, so that producer
    and reader live as long as the processes.
    """

    def __init__(self, system: System, runner: asyncio.Runner) -> None:
        self.system = system
        self.ledger: Ledger
        self.producer: AIOKafkaProducer
        self._runner = runner

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, on the loop that they all share."""
        return self._runner.run(coroutine)

    def execute(self, *submissions: dict[str, Any], timeout: float = 30) -> Trail:
        """Submit plans as JSON, wait for the ends of all; the trail of the first."""
        return self.execute_all(*submissions, timeout=timeout)[0]

    def execute_all(
        self, *submissions: dict[str, Any], timeout: float = 30
    ) -> list[Trail]:
        """Submit plans as JSON, in this order; the trails of their ends."""
        return self.run(self._execute(submissions, timeout))

    def produce(self, value: bytes, made: dict[str, Any], **how: Any) -> Trail:
        """Send a submission's bytes, keyed by its plan's id, and wait for its end."""

        async def sent() -> Trail:
            plan_id = made["plan"]["id"]
            await self.send(value, plan_id.encode(), **how)
            return await self.ledger.ended(plan_id)

        return self.run(sent())

    def rejected(self, value: bytes | None, reason: str, **how: Any) -> Any:
        """Send a record, and wait for its dead letter with this reason."""

        async def sent() -> Any:
            place = await self.send(value, **how)
            return await self.ledger.dead_letter(place)

        letter = self.run(sent())
        headers = letter.headers[-len(ADDED) :]
        assert (dict(headers)["reason"], letter.value) == (reason.encode(), value)
        return letter

    def place_of(self, plan_id: str) -> int:
        """The partition where a plan belongs (R36)."""
        return partition_of(plan_id.encode(), self.system.settings.partitions)

    async def send(
        self,
        value: bytes | None,
        key: bytes | None = None,
        *,
        partition: int | None = None,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> Any:
        """Produce a record to the plans topic; where it lies."""
        plans = self.system.topics.plans.name
        return await self.producer.send_and_wait(
            plans, value, key=key, partition=partition, headers=headers
        )

    async def submit(self, submission: Mapping[str, Any]) -> Any:
        """Produce a submission as JSON, keyed by its plan's id."""
        value = json.dumps(submission).encode()
        return await self.send(value, submission["plan"]["id"].encode())

    async def start(self, handlers: str, members: Mapping[str, int]) -> None:
        """Start everything."""
        await self.system.start(handlers, **members)
        self.producer = AIOKafkaProducer(
            bootstrap_servers=self.system.settings.broker,
            max_request_size=16 * 1024 * 1024,
        )
        await self.producer.start()
        self.ledger = Ledger(self.system)
        await self.ledger.start()

    async def stop(self) -> None:
        """Stop everything; nothing that ran may have gone wrong unseen."""
        await self.producer.stop()
        await self.ledger.stop()
        codes = await self.system.stop()
        assert set(codes) <= {0}, codes
        for member in self.system.members:
            assert "Traceback" not in member.log.read_text(), member.log

    async def _execute(
        self, submissions: tuple[dict[str, Any], ...], timeout: float
    ) -> list[Trail]:
        for submission in submissions:
            await self.submit(submission)
        ends = [self.ledger.ended(each["plan"]["id"], timeout) for each in submissions]
        return list(await asyncio.gather(*ends))


@contextmanager
def live(
    broker: Broker,
    directory: Path,
    *,
    handlers: str = HANDLERS,
    members: Mapping[str, int] | None = None,
    **options: Any,
) -> Iterator[Live]:
    """Run an installation with these handlers and members, and these settings."""
    prefix = f"test-{uuid.uuid4().hex[:12]}."
    system = System(broker.bootstrap, prefix, directory, **options)
    with asyncio.Runner() as runner:
        running = Live(system, runner)
        try:
            running.run(running.start(handlers, members or {}))
            yield running
            running.run(running.stop())
        finally:
            for member in system.members:
                runner.run(member.kill())
