"""What must hold of a system's topics, whatever was killed (read back committed)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from agents.tables import DEADLINES, ORPHANS, PLANS, POSITION, STEPS
from schemas import codec
from schemas.results import PlanResult
from schemas.steps import (
    ChildEnded,
    StepFailed,
    StepStarted,
    StepSucceeded,
    StepWarned,
)
from tests.integration.system import System

OUTCOMES = (StepStarted, StepSucceeded, StepFailed, StepWarned, ChildEnded)


@dataclass(frozen=True)
class Seen:
    """What lay on the topics at the end of a test."""

    results: dict[str, PlanResult]
    repeats: dict[str, int]
    """Plans with more than one result: how many."""
    uncommitted: int
    """Results that only a read_uncommitted reader sees: of aborted transactions."""
    outcomes: int
    """Step outcomes, with repeats."""


async def results_of(system: System) -> Seen:
    """Read every result of a system."""
    results: dict[str, PlanResult] = {}
    count: Counter[str] = Counter()
    uncommitted = 0
    for topic in system.topics.results:
        for record in await system.read(topic):
            result = codec.decode(record.value, PlanResult)
            results[result.plan_id] = result
            count[result.plan_id] += 1
        uncommitted += len(await system.read(topic, committed=False))
    repeats = {plan: seen for plan, seen in count.items() if seen > 1}
    outcomes = len(await system.read(system.topics.step_outcomes))
    return Seen(results, repeats, uncommitted - sum(count.values()), outcomes)


async def rows_left(system: System) -> Counter[str]:
    """Live rows of the changelog by table, but for the registry and positions."""
    rows: dict[bytes, bytes | None] = {}
    for record in await system.read(system.topics.changelog):
        rows[record.key] = record.value
    names = {PLANS: "plans", STEPS: "steps", DEADLINES: "deadlines"}
    names[ORPHANS] = "orphans"
    return Counter(
        names[key[:1]]
        for key, value in rows.items()
        if value is not None and key[:1] in names
    )


async def lag(system: System) -> int:
    """Records of the coordinator's inputs that no committed position covers."""
    positions: dict[tuple[str, int], int] = {}
    for record in await system.read(system.topics.changelog):
        if record.key.startswith(POSITION):
            topic = record.key[len(POSITION) :].decode()
            positions[topic, record.partition] = int(record.value.split()[0])
    topics = system.topics
    behind = 0
    for topic in (topics.plans, topics.step_outcomes, topics.commands):
        for record in await system.read(topic):
            if record.offset >= positions.get((topic.name, record.partition), 0):
                behind += 1
    return behind


async def order_broken(system: System, depends_on: dict[str, list[str]]) -> list[str]:
    """Steps that a worker began before a dependency had completed (I3)."""
    began: dict[str, int] = {}
    completed: dict[str, int] = {}
    for record in await system.read(system.topics.step_outcomes):
        outcome = codec.decode(record.value, *OUTCOMES)
        if isinstance(outcome, StepSucceeded):
            step = outcome.step_id
            began[step] = min(outcome.started_at, began.get(step, outcome.started_at))
            ended = completed.get(step, outcome.ended_at)
            completed[step] = min(outcome.ended_at, ended)
    return [
        step
        for step, needed in depends_on.items()
        if step in began
        for each in needed
        if began[step] < completed[each]
    ]
