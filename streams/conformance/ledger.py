"""What the topics of an installation say, plan by plan, to a read_committed reader."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from schemas import codec
from schemas.events import PlanExecutionEvent
from schemas.record import Record
from schemas.results import ExecutionAudit, PlanResult
from schemas.steps import StepFailed, StepRequest, StepSucceeded
from streams.results import partitions_of
from streams.topics import STEP_OUTCOMES, Topics

CAUGHT_UP_WITHIN_S = 30.0


@dataclass
class Seen:
    """All that was published about one plan."""

    results: list[PlanResult] = field(default_factory=list)
    audits: list[ExecutionAudit] = field(default_factory=list)
    events: list[PlanExecutionEvent] = field(default_factory=list)
    outcomes: list[Record] = field(default_factory=list)
    requests: list[StepRequest] = field(default_factory=list)
    records: list[Any] = field(default_factory=list)
    """The records of `results`, as Kafka gave them."""

    @property
    def has_ended(self) -> bool:
        """Whether result, audit and event are there."""
        return bool(self.results and self.audits and self.events)

    def succeeded(self) -> dict[str, list[StepSucceeded]]:
        """The completions of each step, in the order of the log."""
        found: dict[str, list[StepSucceeded]] = defaultdict(list)
        for each in self.outcomes:
            if isinstance(each, StepSucceeded):
                found[each.step_id].append(each)
        return found

    def failed(self) -> list[StepFailed]:
        """The failed attempts, in the order of the log."""
        return [each for each in self.outcomes if isinstance(each, StepFailed)]


SeenT = TypeVar("SeenT", bound=Seen)


class Ledger(Generic[SeenT]):
    """Follows the topics, and sorts what they say by plan.

    Args:
        kind: What is kept of a plan.
        topics: Of the installation.
        consumer: Not started, without a group; reads what is committed alone.
    """

    def __init__(self, kind: type[SeenT], topics: Topics, consumer: Any) -> None:
        self.trails: dict[str, SeenT] = defaultdict(kind)
        self.rejected: list[Any] = []
        """Dead letters, as Kafka gave them."""
        self._topics = topics
        self._consumer = consumer
        self._following: asyncio.Task[None] | None = None
        self._heard = asyncio.Event()
        self._take: dict[str, Callable[[Any], None]] = {
            topics.audit.name: self._take_audit,
            topics.events.name: self._take_event,
            topics.step_outcomes.name: self._take_outcome,
            topics.rejected.name: self.rejected.append,
            **{each.name: self._take_request for each in topics.requests.values()},
            **{topic.name: self._take_result for topic in topics.results},
        }

    async def start(self, *, at_end: bool = False) -> None:
        """Begin to follow: what lies there already too, unless told otherwise."""
        await self._consumer.start()
        tps = partitions_of(
            each for each in self._topics.all() if each.name in self._take
        )
        self._consumer.assign(tps)
        if at_end:
            await self._consumer.seek_to_end(*tps)
        else:
            await self._consumer.seek_to_beginning(*tps)
        self._following = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Leave; whatever could not be read is raised."""
        try:
            if self._following is not None:
                self._following.cancel()
                with suppress(asyncio.CancelledError):
                    await self._following
        finally:
            await self._consumer.stop()

    async def wait(self, holds: Callable[[], bool], timeout: float) -> bool:
        """Wait until something holds of what was read; whether it does in time."""
        following = self._following
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not holds() and following and not following.done():
                    self._heard.clear()
                    await self._heard.wait()
        if following is not None and following.done():
            following.result()
        return holds()

    async def catch_up(self) -> None:
        """Wait until all that is on the topics now has been read."""
        consumer = self._consumer
        ends = await consumer.end_offsets(list(consumer.assignment()))
        async with asyncio.timeout(CAUGHT_UP_WITHIN_S):
            for tp, end in ends.items():
                while await consumer.position(tp) < end:
                    self._heard.clear()
                    await self._heard.wait()

    def letters_of(self, place: Any) -> list[Any]:
        """The dead letters of the record that lay at this place."""
        wanted = [
            ("source-topic", place.topic.encode()),
            ("source-partition", b"%d" % place.partition),
            ("source-offset", b"%d" % place.offset),
        ]
        return [
            letter
            for letter in self.rejected
            if all(each in letter.headers for each in wanted)
        ]

    async def _follow(self) -> None:
        try:
            while True:
                found = await self._consumer.getmany(timeout_ms=1000)
                for tp, records in found.items():
                    for record in records:
                        self._take[tp.topic](record)
                self._heard.set()
        finally:
            self._heard.set()

    def _take_result(self, record: Any) -> None:
        result = codec.decode(record.value, PlanResult)
        self.trails[result.plan_id].results.append(result)
        self.trails[result.plan_id].records.append(record)

    def _take_audit(self, record: Any) -> None:
        audit = codec.decode(record.value, ExecutionAudit)
        self.trails[audit.plan_id].audits.append(audit)

    def _take_event(self, record: Any) -> None:
        event = codec.decode(record.value, PlanExecutionEvent)
        self.trails[event.plan_id].events.append(event)

    def _take_outcome(self, record: Any) -> None:
        try:
            outcome: Any = codec.decode(record.value, *STEP_OUTCOMES)
        except codec.DecodeError:
            return  # anybody may put anything there
        self.trails[outcome.plan_id].outcomes.append(outcome)

    def _take_request(self, record: Any) -> None:
        try:
            request = codec.decode(record.value, StepRequest)
        except codec.DecodeError:
            return
        self.trails[request.plan_id].requests.append(request)
