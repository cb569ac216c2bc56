"""What lies on the topics when all is over."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from schemas import codec
from schemas.context import PlanSubmission
from schemas.events import PlanExecutionEvent
from schemas.results import ExecutionAudit, PlanResult
from schemas.steps import ExecutionHalted, StepFailed, StepStarted, StepSucceeded
from streams.topics import Topic
from tests.integration.invariants import OUTCOMES, lag, rows_left
from tests.integration.system import System


class Place(NamedTuple):
    """Where on the plans topic a submission lies."""

    partition: int
    offset: int


@dataclass
class StepTrail:
    """What workers told of one step."""

    began: int | None = None
    """When the first of its attempts began, Unix ms."""
    completed: int | None = None
    """When the first that succeeded ended, Unix ms."""
    returned: set[str] = field(default_factory=set)
    """What its runs returned; a crash may have made that of the first one void."""
    failures: int = 0


@dataclass
class Evidence:
    """Everything that the checks look at, read committed."""

    first: dict[str, Place]
    """The first submission of each plan."""
    others: dict[Place, str | None]
    """Later ones, and None for what cannot be read: these become dead letters."""
    results: dict[str, list[PlanResult]]
    audits: dict[str, list[ExecutionAudit]]
    events: dict[str, list[PlanExecutionEvent]]
    halts: Counter[str]
    letters: dict[Place, list[str]]
    """The reasons of the dead letters of each submission."""
    steps: dict[str, StepTrail]
    outcomes: int
    aborted_results: int
    """Results that only a read_uncommitted reader sees."""
    aborted_rows: int
    """Rows of the changelog that only a read_uncommitted reader sees."""
    rows: Counter[str]
    lag: int
    commits: dict[int, list[int]]
    """When rows were written to each changelog partition, Unix ms."""

    @classmethod
    async def gather(cls, system: System) -> Evidence:
        """Read all topics."""
        topics = system.topics
        first, others = _submissions(await system.read(topics.plans))
        outcomes = await system.read(topics.step_outcomes)
        results = await system.read(*topics.results)
        changelog = await system.read(topics.changelog)
        halts = await system.read(topics.halts)
        return cls(
            first=first,
            others=others,
            results=_by_plan(results, PlanResult),
            audits=_by_plan(await system.read(topics.audit), ExecutionAudit),
            events=_by_plan(await system.read(topics.events), PlanExecutionEvent),
            halts=Counter(
                codec.decode(each.value, ExecutionHalted).plan_id for each in halts
            ),
            letters=_letters(await system.read(topics.rejected), topics.plans.name),
            steps=_steps(outcomes),
            outcomes=len(outcomes),
            aborted_results=await _written(system, *topics.results) - len(results),
            aborted_rows=await _written(system, topics.changelog) - len(changelog),
            rows=await rows_left(system),
            lag=await lag(system),
            commits=_times(changelog),
        )


async def _written(system: System, *topics: Topic) -> int:
    """How many records lie on topics, those of aborted transactions included."""
    return len(await system.read(*topics, committed=False))


def _submissions(
    records: list[Any],
) -> tuple[dict[str, Place], dict[Place, str | None]]:
    first: dict[str, Place] = {}
    others: dict[Place, str | None] = {}
    for record in records:
        place = Place(record.partition, record.offset)
        try:
            _, fields = codec.decode_fields(record.value, PlanSubmission)
        except codec.DecodeError:
            others[place] = None
            continue
        plan_id = fields["plan"]["id"]
        if first.setdefault(plan_id, place) != place:
            others[place] = plan_id
    return first, others


def _by_plan(records: list[Any], model: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for record in records:
        decoded = codec.decode(record.value, model)
        found[decoded.plan_id].append(decoded)
    return found


def _letters(records: list[Any], plans: str) -> dict[Place, list[str]]:
    found: dict[Place, list[str]] = defaultdict(list)
    for record in records:
        headers = dict(record.headers)
        place = Place(int(headers["source-partition"]), int(headers["source-offset"]))
        reason = headers["reason"].decode()
        if headers["source-topic"].decode() != plans:
            place, reason = Place(-1, -1), f"{reason}: {headers}"
        found[place].append(reason)
    return found


def _steps(records: list[Any]) -> dict[str, StepTrail]:
    found: dict[str, StepTrail] = defaultdict(StepTrail)
    for record in records:
        outcome = codec.decode(record.value, *OUTCOMES)
        trail = found[outcome.step_id]
        if isinstance(outcome, StepStarted | StepSucceeded | StepFailed):
            trail.began = _earlier(trail.began, outcome.started_at)
        if isinstance(outcome, StepSucceeded):
            trail.completed = _earlier(trail.completed, outcome.ended_at)
            trail.returned.add(outcome.result)
        trail.failures += isinstance(outcome, StepFailed)
    return found


def _earlier(known: int | None, instant: int) -> int:
    return instant if known is None else min(known, instant)


def _times(records: list[Any]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for record in records:
        found[record.partition].append(record.timestamp)
    return {number: sorted(times) for number, times in found.items()}
