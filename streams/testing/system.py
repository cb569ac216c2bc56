"""One partition's coordinator and one step engine, tied together in memory."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agents.coordinator import CoordinatorTerms, PartitionState
from agents.deadlines import command_of
from agents.effects import Effects, Headers, Outgoing
from agents.engine import EngineSettings, StepEngine
from agents.handlers import Handler
from agents.nested import depth_of
from agents.scheduling import Position
from agents.submitting import REQUEST_DEPTH
from schemas import codec
from schemas.context import PlanSubmission
from schemas.events import PlanExecutionEvent
from schemas.record import Record
from schemas.results import ExecutionAudit, PlanResult
from schemas.steps import ExecutionHalted, StepFailed, StepRequest, StepSucceeded
from schemas.validation import identify
from streams.submissions import Completed
from streams.testing.runs import AttemptMade, PlanRun
from streams.testing.virtual_time import START_MS, VirtualLoop


@dataclass(frozen=True, slots=True)
class MemoryRecord:
    """A record of a source topic."""

    topic: str
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int = 0


class MemorySystem:
    """Runs one plan, and its children, to the end."""

    def __init__(
        self,
        registry: Mapping[str, Handler],
        terms: CoordinatorTerms,
        settings: EngineSettings,
        loop: VirtualLoop,
    ) -> None:
        self._loop = loop
        self._terms = terms
        self._state = PartitionState(0, terms)
        self._engine = StepEngine(
            registry,
            self,
            settings,
            "tester",
            read=self._read,
            fatal=self._fail,
            submit=self.submit,
            clock=loop.now_ms,
        )
        self._inputs: deque[MemoryRecord] = deque()
        self._submissions: dict[int, bytes | None] = {}
        self._offsets: Counter[str] = Counter()
        self._made: dict[tuple[str, str, int], AttemptMade] = {}
        self._is_folding = False
        self._timer: asyncio.TimerHandle | None = None
        self._ended: asyncio.Future[None]
        self._take: dict[str, Callable[[Outgoing], None]] = {
            "results": self._take_result,
            "audit": self._take_audit,
            "halts": self._take_halt,
            "rejected": self._take_letter,
            "step-requests": self._request,
        }

    async def run(self, submission: Completed) -> PlanRun:
        """Submit a plan, wait for its result, and for its attempts to end."""
        value = submission.text.encode()
        plan_id = _plan_id_of(value)
        self._run = PlanRun(plan_id, submission.steps)
        self._names: dict[str, str] = {
            each: name for name, each in submission.steps.items()
        }
        self._ended = self._loop.create_future()
        await self._engine.start()
        try:
            self._put(self._terms.plans_topic, plan_id.encode(), value)
            await self._ended
            await asyncio.sleep(0)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            await self._engine.stop(0)
        return self._run

    # -- the engine's sink

    def send(
        self, plan_id: str, model: type[Record], fields: dict[str, Any]
    ) -> asyncio.Future[None]:
        """Take an outcome."""
        self._note(model, fields)
        value = codec.encode_fields(model, fields)
        return self._put(self._terms.outcomes_topic, plan_id.encode(), value)

    def submit(
        self, plan_id: str, value: bytes, headers: Headers
    ) -> asyncio.Future[None]:
        """Take a child plan."""
        return self._put(self._terms.plans_topic, plan_id.encode(), value, headers)

    async def _read(self, _partition: int, offset: int) -> bytes | None:
        """Give a submission that a request refers to."""
        return self._submissions.get(offset)

    # -- folding

    def _put(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> asyncio.Future[None]:
        offset = self._offsets[topic]
        self._offsets[topic] += 1
        now = self._loop.now_ms()
        record = MemoryRecord(topic, offset, now, key, value, headers)
        self._inputs.append(record)
        if topic == self._terms.plans_topic:
            self._submissions[offset] = value
        if not self._is_folding:
            self._is_folding = True
            self._loop.call_soon(self._fold_all)
        acknowledgement = self._loop.create_future()
        acknowledgement.set_result(None)
        return acknowledgement

    def _fold_all(self) -> None:
        try:
            while self._inputs:
                now = self._state.advance(self._loop.now_ms())
                self._state.fold(self._inputs.popleft(), now)
                self._carry_out(self._state.take_effects())
        except Exception as error:  # noqa: BLE001 - whoever runs the plan gets it
            self._fail(error)
        self._is_folding = False
        self._wait_for_limits()

    def _wait_for_limits(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due_at = self._state.deadlines.next_due()
        if due_at is not None:
            when = max((due_at - START_MS) / 1000, self._loop.time())
            self._timer = self._loop.call_at(when, self._fire_limits)

    def _fire_limits(self) -> None:
        due = self._state.deadlines.take_due(self._loop.now_ms())
        for key, deadline in due:
            command = command_of(self._state, key, deadline)
            if command is not None:
                self._put(self._terms.commands_topic, command.key, command.value)
        self._wait_for_limits()

    def _carry_out(self, effects: Effects) -> None:
        for request in effects.requests:
            self._request(request)
        for record in effects.records:
            if record.topic in (
                self._terms.plans_topic,
                self._terms.outcomes_topic,
                self._terms.commands_topic,
            ):
                self._put(record.topic, record.key, record.value, record.headers)
            else:
                self._take[record.topic.partition(".")[0]](record)
        for event in effects.events:
            told = codec.decode(event.value, PlanExecutionEvent)
            self._run.events.append(told)
            if told.plan_id == self._run.plan_id and not self._ended.done():
                self._ended.set_result(None)

    def _request(self, request: Outgoing) -> None:
        _, fields = codec.decode_fields(request.value, StepRequest)
        self._attempt(fields)
        if depth := depth_of(request.headers):
            fields[REQUEST_DEPTH] = depth
        offset = self._offsets[request.topic]
        self._offsets[request.topic] += 1
        position = Position(request.topic, 0, offset)
        self._engine.offer(position, fields, self._loop.time(), redelivered=False)

    # -- taking note

    def _attempt(self, fields: Mapping[str, Any]) -> None:
        step_id: str = fields["step_id"]
        made = AttemptMade(
            fields["plan_id"],
            self._names.get(step_id, step_id),
            fields["action"],
            fields["attempt"],
            self._loop.time(),
        )
        self._made[fields["execution_id"], step_id, made.number] = made
        self._run.attempts.append(made)

    def _note(self, model: type[Record], fields: Mapping[str, Any]) -> None:
        at = fields["execution_id"], fields["step_id"], fields["attempt"]
        made = self._made[at]
        if "started_at" in fields:
            made.started_s = (fields["started_at"] - START_MS) / 1000
        if model in {StepSucceeded, StepFailed}:
            made.ended_s = (fields["ended_at"] - START_MS) / 1000
            made.error = fields.get("error")

    def _take_result(self, record: Outgoing) -> None:
        result = codec.decode(record.value, PlanResult)
        self._run.results[result.plan_id] = result

    def _take_audit(self, record: Outgoing) -> None:
        audit = codec.decode(record.value, ExecutionAudit)
        self._run.audits[audit.plan_id] = audit

    def _take_halt(self, record: Outgoing) -> None:
        self._engine.halt(codec.decode(record.value, ExecutionHalted).execution_id)

    def _take_letter(self, record: Outgoing) -> None:
        values = [value or b"" for name, value in record.headers if name == "reason"]
        reasons = [value.decode() for value in values]
        self._fail(ValueError(f"the plan was rejected: {', '.join(reasons)}"))

    def _fail(self, error: Exception | str) -> None:
        """Have the run raise, as the plan will not end."""
        raised = RuntimeError(error) if isinstance(error, str) else error
        if not self._ended.done():
            self._ended.set_exception(raised)


def _plan_id_of(value: bytes) -> str:
    _, fields = codec.decode_fields(value, PlanSubmission)
    ids = identify(fields)
    if ids is None:
        raise ValueError("plan id and execution id must be UUIDs of version 4")
    return ids.plan_id
