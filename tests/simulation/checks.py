"""What is promised (DESIGN §9, I1 to I7), looked for on the topics of a run."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from agents.tables import DEADLINES, ORPHANS, PLANS, POSITION, STEPS
from schemas import codec
from schemas.commands import DeadlineFired, ParentEnded, RetryDue
from schemas.errors import ErrorCode
from schemas.results import ExecutionAudit, PlanResult, Status
from schemas.steps import (
    ChildEnded,
    StepFailed,
    StepStarted,
    StepSucceeded,
    StepWarned,
)
from tests.simulation.plans import Made
from tests.simulation.world import END_S, PARTITIONS, REQUESTS, TOPICS, World

OUTCOMES = (StepStarted, StepSucceeded, StepFailed, StepWarned, ChildEnded)
HALT_S = 12.0
"""A halted attempt ends in this time, if its worker does not stand still."""


def broken(world: World) -> list[str]:
    """Every promise that was not kept, in a line each."""
    seen = Seen(world)
    return [
        *_results(world, seen),
        *_letters(world),
        *_order(world, seen),
        *_after_the_end(world, seen),
        *_rest(world),
        *(f"ended without a reason: {each}" for each in world.exits),
    ]


class Seen:
    """What lies on the topics."""

    def __init__(self, world: World) -> None:
        self.results: dict[str, list[PlanResult]] = defaultdict(list)
        self.ended_s: dict[str, float] = {}
        self.audits: Counter[str] = Counter()
        self.completed_ms: dict[str, list[int]] = defaultdict(list)
        self.due_ms: dict[str, int] = {}
        self.returned: dict[str, list[object]] = defaultdict(list)
        for topic in (TOPICS.success, TOPICS.partial, TOPICS.failure):
            for record in world.broker.committed(topic.name):
                result = codec.decode(record.value, PlanResult)
                self.results[result.plan_id].append(result)
                self.ended_s[result.plan_id] = _seconds(world, record.timestamp)
        for record in world.broker.committed(TOPICS.audit.name):
            self.audits[codec.decode(record.value, ExecutionAudit).plan_id] += 1
        for record in world.broker.committed(TOPICS.commands.name):
            command = codec.decode(record.value, DeadlineFired, RetryDue, ParentEnded)
            if isinstance(command, DeadlineFired) and command.step_number is None:
                known = self.due_ms.get(command.plan_id, 0)
                self.due_ms[command.plan_id] = max(command.due_at, known)
        for record in world.broker.committed(TOPICS.step_outcomes.name):
            outcome: Any = codec.decode(record.value, *OUTCOMES)
            is_end = isinstance(outcome, StepSucceeded | ChildEnded)
            if (
                is_end
                and outcome.result is not None
                and (getattr(outcome, "worker", "") != "nobody")
            ):
                self.completed_ms[outcome.step_id].append(record.timestamp)
                self.returned[outcome.step_id].append(json.loads(outcome.result))


def _seconds(world: World, timestamp: int) -> float:
    return (timestamp - world.loop.now_ms()) / 1000 + world.loop.time()


def _results(world: World, seen: Seen) -> Iterator[str]:
    for plan_id, made in world.made.items():
        found = seen.results[plan_id]
        if len(found) != 1:  # I1, I5
            yield f"{made.kind} {plan_id} has {len(found)} results"
        if seen.audits[plan_id] != len(found):
            yield f"{made.kind} {plan_id} has {seen.audits[plan_id]} audits"
        for result in found:
            yield from _wrong(world, made, result, seen)


def _wrong(world: World, made: Made, result: PlanResult, seen: Seen) -> Iterator[str]:
    name, payload = f"{made.kind} {made.plan_id}", result.result_payload
    if result.status not in made.may_end:
        yield f"{name} ended in {result.status}: {result.error}"
    if len(payload) != result.steps_executed:  # I2
        yield f"{name} counts {result.steps_executed} steps, has {len(payload)}"
    if result.status is Status.SUCCESS and len(payload) != len(made.steps):  # I4
        yield f"{name} succeeded with {len(payload)} of {len(made.steps)} steps"
    for step_id, text in payload.items():
        if json.loads(text) not in seen.returned[step_id]:
            yield f"{name} has {text} of {step_id}, which never returned that"
    error = result.error
    if error is not None and error.error_code == ErrorCode.PLAN_TIMEOUT:
        yield from _too_early(world, made, seen)


def _too_early(world: World, made: Made, seen: Seen) -> Iterator[str]:
    """A plan that timed out although the outcome that it waited for was there (R33)."""
    if made.kind != "tight" or world.clock_was_stepped:
        return
    name, due = f"{made.kind} {made.plan_id}", seen.due_ms.get(made.plan_id)
    if due is None:
        yield f"{name} timed out without a command"
        return
    # What came before was asked for by an admission that was never committed.
    admitted = due - made.timeout_ms
    for came in seen.completed_ms[made.steps[0]["id"]]:
        if admitted < came < due - 200:
            yield f"{name} timed out, {due - came} ms after its outcome"


def _letters(world: World) -> Iterator[str]:
    """A later submission of a plan has one dead letter, nothing else has."""
    sent = Counter(plan_id for plan_id, _ in world.sent)
    wanted = sum(sent.values()) - len(sent)
    found = world.broker.committed(TOPICS.rejected.name)
    if len(found) != wanted:
        yield f"{len(found)} dead letters instead of {wanted}"


def _order(world: World, seen: Seen) -> Iterator[str]:
    """I3: no attempt began before what its step depends on had completed."""
    needs = {
        step["id"]: step["depends_on"]
        for made in world.made.values()
        for step in made.steps
    }
    for ran in world.runs:
        for needed in needs.get(ran.step_id, ()):
            completed = min(seen.completed_ms[needed], default=None)
            if completed is None or _seconds(world, completed) > ran.began + 0.001:
                yield f"step {ran.step_id} began before {needed} had completed"


def _after_the_end(world: World, seen: Seen) -> Iterator[str]:
    """No attempt goes on for long after its plan's result."""
    for ran in world.runs:
        end = seen.ended_s.get(ran.plan_id)
        if end is None or ran.process.ever_paused or ran.process.is_dead:
            continue
        until = world.loop.time() if ran.ended is None else ran.ended
        if until > max(end, ran.began) + HALT_S:
            yield f"step {ran.step_id} ran on for {until - end:.1f} s after the end"


def _rest(world: World) -> Iterator[str]:
    """I6, I7: positions reach the ends, and only the registry has rows."""
    rows: dict[tuple[int, bytes], bytes | None] = {}
    for record in world.broker.committed(TOPICS.changelog.name):
        rows[record.partition, record.key or b""] = record.value
    live = {key: value for key, value in rows.items() if value is not None}
    names = (PLANS, STEPS, DEADLINES, ORPHANS)
    left = Counter(key[:1] for _, key in live if key[:1] in names)
    if left and world.loop.time() < END_S:
        yield f"rows are left: {dict(left)}"
    for topic in TOPICS.sources:
        yield from _uncovered(world, topic, live)
    for record in world.broker.committed(REQUESTS.name):
        place = (REQUESTS.name, record.partition)
        if record.offset >= world.broker.groups.get(("workers", place), 0):
            yield f"the request at {place} {record.offset} is not covered"


def _uncovered(
    world: World, topic: str, live: dict[tuple[int, bytes], bytes]
) -> Iterator[str]:
    for number in range(PARTITIONS):
        row = live.get((number, POSITION + topic.encode()), b"0")
        at, end = int(row.split()[0]), len(world.broker.logs[topic, number])
        if at > end:
            yield f"the position of {topic}/{number} is past its end"
        for record in world.broker.committed(topic):
            if record.partition == number and record.offset >= at:
                yield f"{topic}/{number} at {record.offset} is not covered"
