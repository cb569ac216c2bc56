"""What the topics of an installation say, plan by plan, to a read_committed reader."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from schemas import codec
from schemas.errors import ExecutionError
from schemas.events import PlanExecutionEvent
from schemas.record import Record
from schemas.results import ExecutionAudit, PlanResult
from schemas.steps import (
    ChildEnded,
    StepFailed,
    StepStarted,
    StepSucceeded,
    StepWarned,
)
from tests.integration.system import System, eventually, partitions_of

OUTCOMES = (StepStarted, StepSucceeded, StepFailed, StepWarned, ChildEnded)


@dataclass
class Trail:
    """All that was published about one plan."""

    results: list[PlanResult] = field(default_factory=list)
    audits: list[ExecutionAudit] = field(default_factory=list)
    events: list[PlanExecutionEvent] = field(default_factory=list)
    outcomes: list[Record] = field(default_factory=list)
    records: list[Any] = field(default_factory=list)
    """The records of `results`, as Kafka gave them."""

    @property
    def has_ended(self) -> bool:
        """Whether result, audit and event are there."""
        return bool(self.results and self.audits and self.events)

    @property
    def result(self) -> PlanResult:
        """The one result."""
        assert len(self.results) == 1, self.results
        return self.results[0]

    @property
    def error(self) -> ExecutionError:
        """The one result's error."""
        error = self.result.error
        assert error is not None, self.result
        return error

    @property
    def audit(self) -> ExecutionAudit:
        """The one audit."""
        assert len(self.audits) == 1, self.audits
        return self.audits[0]

    @property
    def event(self) -> PlanExecutionEvent:
        """The one event."""
        assert len(self.events) == 1, self.events
        return self.events[0]

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


class Ledger:
    """Follows the topics from their beginning, and sorts what they say by plan."""

    def __init__(self, system: System) -> None:
        self.trails: dict[str, Trail] = defaultdict(Trail)
        self.rejected: list[Any] = []
        """Dead letters, as Kafka gave them."""
        self._system = system
        self._consumer = system.new_consumer()
        self._following: asyncio.Task[None] | None = None
        self._heard = asyncio.Event()
        topics = system.topics
        self._take: dict[str, Callable[[Any], None]] = {
            topics.audit.name: self._take_audit,
            topics.events.name: self._take_event,
            topics.step_outcomes.name: self._take_outcome,
            topics.rejected.name: self.rejected.append,
            **{topic.name: self._take_result for topic in topics.results},
        }

    async def start(self) -> None:
        """Begin to follow."""
        topics = self._system.topics
        await self._consumer.start()
        read = (*topics.results, topics.audit, topics.events, topics.rejected)
        tps = partitions_of(*read, topics.step_outcomes)
        self._consumer.assign(tps)
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

    async def ended(self, plan_id: str, timeout: float = 30) -> Trail:
        """Wait for a plan's result, audit and event."""
        await self._until(lambda: self.trails[plan_id].has_ended, timeout)
        trail = self.trails[plan_id]
        assert trail.has_ended, f"plan {plan_id} after {timeout} s: {trail}"
        return trail

    async def begun(self, plan_id: str, timeout: float = 30) -> Trail:
        """Wait for the first outcome of a plan's steps."""
        trail = self.trails[plan_id]
        await self._until(lambda: bool(trail.outcomes), timeout)
        assert trail.outcomes, f"plan {plan_id} has not begun after {timeout} s"
        return trail

    async def dead_letter(self, place: Any, timeout: float = 30) -> Any:
        """Wait for the dead letter of the record that lay at this place."""
        await self._until(lambda: bool(self._letters(place)), timeout)
        found = self._letters(place)
        assert len(found) == 1, f"dead letters of {place}: {found}"
        return found[0]

    async def catch_up(self) -> None:
        """Wait until all that is on the topics now has been read."""
        consumer = self._consumer
        tps = list(consumer.assignment())
        ends = await consumer.end_offsets(tps)

        async def behind() -> list[Any]:
            return [tp for tp in tps if await consumer.position(tp) < ends[tp]]

        await eventually(behind, lambda found: not found)

    def _letters(self, place: Any) -> list[Any]:
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

    async def _until(self, holds: Callable[[], bool], timeout: float) -> None:
        """Wait as long as the timeout; the caller looks whether it came true."""
        assert self._following is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not holds() and not self._following.done():
                    self._heard.clear()
                    await self._heard.wait()
        if self._following.done():
            self._following.result()

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
            outcome: Any = codec.decode(record.value, *OUTCOMES)
        except codec.DecodeError:
            return  # tests put such things there
        self.trails[outcome.plan_id].outcomes.append(outcome)
