"""Sends what cases say, waits for what comes of it, and looks at all of it at the end.

Cases run all at once: submitting them one after the other would mean waiting for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

from aiokafka import AIOKafkaProducer

from agents.partitioner import partition_of
from schemas.codec import Format, decode_fields, encode
from schemas.context import PlanSubmission
from streams.broker import connect
from streams.config import Settings
from streams.conformance.cases import Case, Finding, Moment, Phase, Sent
from streams.conformance.checking import faults
from streams.conformance.ledger import Ledger, Seen
from streams.conformance.making import written
from streams.results import new_consumer
from streams.submissions import now_ms
from streams.topics import Topics

PATIENCE_S = 75.0
"""How long a case may take; limits end its plans much sooner."""
AT_ONCE = 150
"""Cases under way at the same time; more only wait for each other."""


@dataclass(frozen=True)
class Verdict:
    """A case, and what is wrong with it: nothing when it has passed."""

    case: Case
    faults: tuple[str, ...]

    @property
    def has_passed(self) -> bool:
        """Whether all is as it must be."""
        return not self.faults


@dataclass
class _Run:
    """A case under way."""

    case: Case
    sent_at: list[int] = field(default_factory=list)
    places: list[Any] = field(default_factory=list)


class Suite:
    """Runs cases on an installation; an async context manager.

    Args:
        settings: Of the installation.
        patience_s: How long to wait for one case.
    """

    def __init__(self, settings: Settings, patience_s: float = PATIENCE_S) -> None:
        self._settings = settings
        self._topics = Topics.of(settings)
        self._patience_s = patience_s
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._open = AsyncExitStack()
        self._producer: AIOKafkaProducer
        self.ledger: Ledger[Seen]

    async def __aenter__(self) -> Self:
        """Connect; from now on nothing passes unseen.

        Raises:
            BrokerUnreachable: No broker answers.
        """
        settings = self._settings
        producer = AIOKafkaProducer(
            **settings.connection(), max_request_size=settings.max_request_bytes
        )
        await connect(producer, settings)
        self._open.push_async_callback(producer.stop)
        self._producer = producer
        size = settings.max_request_bytes
        consumer = new_consumer(settings, max_partition_fetch_bytes=size)
        self.ledger = Ledger(Seen, self._topics, consumer)
        self._open.push_async_callback(self.ledger.stop)
        await self.ledger.start(at_end=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave."""
        await self._open.aclose()

    async def run(
        self,
        cases: Sequence[Case],
        in_the_middle: Callable[[], Awaitable[None]] | None = None,
    ) -> list[Verdict]:
        """Run cases, phase by phase; the verdicts in their order.

        Args:
            cases: They are made for one run: their plan ids can be used once.
            in_the_middle: Is awaited when half of the cases of the first phase have
                ended.
        """
        runs = {id(each): _Run(each) for each in cases}
        for phase in Phase:
            of_phase = [each for each in runs.values() if each.case.phase is phase]
            disturb = in_the_middle if phase is Phase.TOGETHER else None
            await self._run_phase(of_phase, disturb)
        await self.ledger.catch_up()
        return [self._judge(runs[id(each)]) for each in cases]

    async def _run_phase(
        self, runs: Sequence[_Run], disturb: Callable[[], Awaitable[None]] | None
    ) -> None:
        half = asyncio.Event()
        left = len(runs) // 2

        async def run_one(run: _Run) -> None:
            nonlocal left
            await self._run_one(run)
            left -= 1
            if left <= 0:
                half.set()

        async with asyncio.TaskGroup() as tasks:
            for each in runs:
                tasks.create_task(run_one(each))
            if disturb is not None and runs:
                await half.wait()
                await disturb()

    async def _run_one(self, run: _Run) -> None:
        async with self._slots:
            for sent in run.case.sent:
                await self._until(sent.when, run.case)
                await self._send(run, sent)
            if run.case.expected is not None:
                await self._ended(run.case.plan_id)
            for child in run.case.children:
                await self._ended(child)
            for sent, place in zip(run.case.sent, run.places, strict=True):
                if sent.rejected:
                    await self._wait(partial(self._is_rejected, place))

    def _is_rejected(self, place: Any) -> bool:
        return bool(self.ledger.letters_of(place))

    async def _until(self, moment: Moment, case: Case) -> None:
        if moment is Moment.BEGUN:
            seen = self.ledger.trails[case.plan_id]
            await self._wait(lambda: bool(seen.outcomes))
        elif moment is Moment.ENDED:
            await self._ended(case.plan_id)

    async def _ended(self, plan_id: str) -> None:
        await self._wait(lambda: self.ledger.trails[plan_id].has_ended)

    async def _wait(self, holds: Callable[[], bool]) -> None:
        """Wait; that it came to nothing is seen when the case is judged."""
        await self.ledger.wait(holds, self._patience_s)

    async def _send(self, run: _Run, sent: Sent) -> None:
        now = now_ms()
        own = run.case.plan_id.encode()
        partition = partition_of(own, self._settings.partitions)
        place = await self._producer.send_and_wait(
            self._topics.plans.name,
            _value_of(sent, now),
            key=own if sent.key == b"plan id" else sent.key,
            partition=(partition + sent.astray) % self._settings.partitions,
            headers=list(sent.headers),
        )
        run.sent_at.append(now)
        run.places.append(place)

    def _judge(self, run: _Run) -> Verdict:
        finding = Finding(run.case, self.ledger, tuple(run.sent_at))
        found = list(faults(finding))
        for number, (sent, place) in enumerate(
            zip(run.case.sent, run.places, strict=True)
        ):
            letters = [_reason(each) for each in self.ledger.letters_of(place)]
            wanted = [] if sent.rejected is None else [sent.rejected]
            if letters != wanted:
                found.append(f"record {number}: dead letters {letters}, not {wanted}")
        return Verdict(run.case, tuple(found))


def _value_of(sent: Sent, now: int) -> bytes | None:
    if sent.value is None or isinstance(sent.value, bytes):
        return sent.value
    value = written(sent.value, now).encode()
    if not sent.is_avro:
        return value
    _, fields = decode_fields(value, PlanSubmission)
    return encode(PlanSubmission.model_validate(fields), Format.AVRO)


def _reason(letter: Any) -> str:
    headers = dict(letter.headers)
    return headers["reason"].decode() if "reason" in headers else ""
