"""What lies on the topics when all is over, read committed."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from agents.nested import PARENT
from agents.partitioner import partition_of
from agents.tables import DEADLINES, ORPHANS, PLANS, STEPS, plan_id_of
from schemas import codec
from schemas.decode_error import DecodeError
from schemas.identity import peek_ids
from schemas.results import PlanResult
from schemas.steps import ExecutionHalted, StepRequest
from streams.topics import Topic
from tests.chaos.foreign import FORGED, REASON, STRAY, header
from tests.chaos.made import Place
from tests.chaos.reading import count, read
from tests.chaos.trails import Trails
from tests.integration.system import System

NAMES = {PLANS: "plans", STEPS: "steps", DEADLINES: "deadlines", ORPHANS: "orphans"}
Source = tuple[str, int, int]
"""A topic, a partition of it, an offset."""


class Told(NamedTuple):
    """What was published of a plan's end, apart from its result."""

    place: Place
    status: str


@dataclass
class Evidence:
    """What the checks look at; results are checked one by one, and not kept."""

    first: dict[str, Place] = field(default_factory=dict)
    """The first submission of each plan."""
    lying: dict[Place, str | None] = field(default_factory=dict)
    """The plan of each record of the plans topic, None if it is no submission."""
    letters_due: dict[Source, str] = field(default_factory=dict)
    """What must become a dead letter, and why."""
    letters: dict[Source, list[str]] = field(default_factory=lambda: defaultdict(list))
    strays: Counter[str] = field(default_factory=Counter)
    """How often each stray lies where it belongs."""
    trails: Trails = field(default_factory=Trails)
    statuses: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    audits: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    events: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    halts: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    repeated_requests: int = 0
    aborted_results: int = 0
    """Results that only a read_uncommitted reader sees."""
    aborted_rows: int = 0
    """Rows of the changelog that only a read_uncommitted reader sees."""
    rows: Counter[str] = field(default_factory=Counter)
    """Rows left, but for the registry."""
    orphans: list[str] = field(default_factory=list)
    """Children whose parents ended before they came: remembered for a while."""

    def due(self, source: Any, reason: str) -> None:
        """Note that a record must become a dead letter."""
        self.letters_due[source.topic, source.partition, source.offset] = reason


class Gatherer:
    """Reads the topics, in the order in which the checks want them."""

    def __init__(self, system: System) -> None:
        self.seen = Evidence()
        self._system = system
        self._topics = system.topics

    async def submissions(self) -> None:
        """Read the plans topic, and who was refused."""
        async for record in read(self._system, self._topics.plans):
            self._submission(record)
        async for record in read(self._system, self._topics.rejected):
            headers = dict(record.headers)
            source = (
                headers["source-topic"].decode(),
                int(headers["source-partition"]),
                int(headers["source-offset"]),
            )
            self.seen.letters[source].append(headers["reason"].decode())

    def _submission(self, record: Any) -> None:
        seen, place = self.seen, Place(record.partition, record.offset)
        seen.lying[place] = None
        if reason := header(record, REASON):
            seen.due(record, reason)
            return
        ids = peek_ids(record.value)
        assert ids is not None, record
        plan_id = seen.lying[place] = ids.plan_id
        stray = header(record, STRAY)
        partitions = self._topics.plans.partitions
        if record.partition != partition_of(plan_id.encode(), partitions):
            seen.strays[stray or f"unmarked: {place}"] += 0
            return
        if stray is not None:
            seen.strays[stray] += 1
        if plan_id not in seen.first:
            seen.first[plan_id] = place
        elif not any(name == PARENT for name, _ in record.headers):
            seen.due(record, "DUPLICATE_EXECUTION")

    async def outcomes(self) -> None:
        """Read what workers were asked, and what they told."""
        async for record in read(self._system, self._topics.step_outcomes):
            self.seen.trails.take(record)
        for source in self.seen.trails.unreadable:
            self.seen.letters_due[source] = "unreadable"
        async for record in read(self._system, self._topics.commands):
            if header(record, REASON) is not None:
                self.seen.due(record, "unreadable")
        await self._requests()

    async def _requests(self) -> None:
        asked: set[int] = set()
        async for record in read(self._system, *self._topics.requests.values()):
            try:
                _, fields = codec.decode_fields(record.value, StepRequest)
            except DecodeError:
                self.seen.due(record, "unreadable")  # a repeat of it, too
                continue
            if header(record, FORGED) is not None:
                continue
            self.seen.requests += 1
            asked.add(hash((fields["step_id"], fields["attempt"])))
        self.seen.repeated_requests = self.seen.requests - len(asked)

    async def traces(self) -> None:
        """Read audits, events and halts."""
        for topic, into, name in (
            (self._topics.audit, self.seen.audits, "outcome"),
            (self._topics.events, self.seen.events, "status"),
        ):
            async for record in read(self._system, topic):
                _, fields = codec.decode_fields(record.value, *topic.values)
                into[fields["plan_id"]].append(str(fields[name]))
        async for record in read(self._system, self._topics.halts):
            if header(record, REASON) is None:
                _, fields = codec.decode_fields(record.value, ExecutionHalted)
                self.seen.halts[fields["plan_id"]] += 1

    async def state(self) -> None:
        """Read the changelog."""
        rows: dict[bytes, bool] = {}
        committed = 0
        async for record in read(self._system, self._topics.changelog):
            rows[record.key] = record.value is not None
            committed += 1
        left = [key for key, live in rows.items() if live and key[:1] in NAMES]
        self.seen.rows.update(NAMES[key[:1]] for key in left)
        orphans = [key[1:] for key in left if key[:1] == ORPHANS]
        self.seen.orphans = [plan_id_of(key) for key in orphans]
        written = await count(self._system, self._topics.changelog)
        self.seen.aborted_rows = written - committed

    async def aborted_results(self) -> None:
        """Count the results that nobody may see."""
        committed = sum(map(len, self.seen.statuses.values()))
        written = await count(self._system, *self._topics.results)
        self.seen.aborted_results = written - committed


async def results(system: System) -> Any:
    """Every committed result, as the fields of a PlanResult."""
    topics: tuple[Topic, ...] = system.topics.results
    async for record in read(system, *topics):
        _, fields = codec.decode_fields(record.value, PlanResult)
        yield fields
