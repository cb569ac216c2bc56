"""The topics: each one's name, key, values, partitions and configuration."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from schemas.commands import DeadlineFired, ParentEnded, RetryDue
from schemas.context import PlanSubmission
from schemas.events import PlanExecutionEvent
from schemas.record import Record
from schemas.results import ExecutionAudit, PlanResult, Status
from schemas.status import PlanAnswer, Question, WorkAnswer
from schemas.steps import (
    ChildEnded,
    ExecutionHalted,
    StepFailed,
    StepRequest,
    StepStarted,
    StepSucceeded,
    StepWarned,
)
from streams.config import RECORD_OVERHEAD_BYTES, Settings

STEP_OUTCOMES: tuple[type[Record], ...] = (
    StepStarted,
    StepSucceeded,
    StepFailed,
    StepWarned,
    ChildEnded,
)
COMMANDS: tuple[type[Record], ...] = (DeadlineFired, RetryDue, ParentEnded)


SIZE_LIMIT = "max.message.bytes"
WORK_PARTITION = 0
"""Of the questions: where those to step workers lie."""
TALK_MS = 3_600_000
"""How long questions and answers stay, which are of use for seconds."""


class Key(StrEnum):
    """What a topic's records are keyed by; ids are their canonical text, as bytes."""

    PLAN_ID = "plan id"
    STEP_ID = "step id"
    QUESTION_ID = "question id"
    REPLY_ID = "reply id"
    AS_RECEIVED = "as received"
    TABLE_ROW = "table row"


class Rule(StrEnum):
    """How an existing topic's configuration must relate to what is needed."""

    EXACTLY = "exactly"
    AT_LEAST = "at least"
    AT_MOST = "at most"
    FREE = "free"
    """Ours to choose when we create the topic, the operator's afterwards."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One configuration entry that a topic needs."""

    name: str
    value: str
    rule: Rule

    def met_by(self, found: str) -> bool:
        """Compare with what the broker says; -1 is without limit there."""
        match self.rule:
            case Rule.EXACTLY:
                return found == self.value
            case Rule.AT_LEAST:
                return _limit(found) >= _limit(self.value)
            case Rule.AT_MOST:
                return _limit(found) <= _limit(self.value)
            case Rule.FREE:
                return True


CLEAN_ELECTIONS = Requirement("unclean.leader.election.enable", "false", Rule.EXACTLY)
"""A leader that lacks records would lose what was acknowledged."""


def _limit(value: str) -> float:
    number = int(value)
    return float("inf") if number < 0 else number


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic: its name, key and values, side by side."""

    name: str
    key: Key
    values: tuple[type[Record], ...]
    """The models of its values; none where bytes are kept as they were received."""
    partitions: int
    partitions_setting: str | None
    """The variable that sets the count; none when it cannot be chosen."""
    requirements: tuple[Requirement, ...]


@dataclass(frozen=True, slots=True)
class Topics:
    """All topics of one installation, by their role."""

    plans: Topic
    step_outcomes: Topic
    commands: Topic
    halts: Topic
    success: Topic
    partial: Topic
    failure: Topic
    failure_rejected: Topic
    """Failures that the error handler failed with again and again (R42)."""
    audit: Topic
    events: Topic
    rejected: Topic
    questions: Topic
    answers: Topic
    changelog: Topic
    requests: dict[str, Topic]
    """The step-requests topics, by queue."""

    @property
    def sources(self) -> tuple[str, str, str]:
        """The names of those that a coordinator folds."""
        return (self.plans.name, self.step_outcomes.name, self.commands.name)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Derive the topics from the settings."""
        make = _Maker(settings)
        return cls(
            plans=make.input("plans", Key.PLAN_ID, PlanSubmission),
            step_outcomes=make.input("step-outcomes", Key.PLAN_ID, *STEP_OUTCOMES),
            commands=make.input("commands", Key.PLAN_ID, *COMMANDS),
            halts=make.halts(),
            success=make.output("results.success", PlanResult),
            partial=make.output("results.partial", PlanResult),
            failure=make.output("results.failure", PlanResult),
            failure_rejected=make.rejected("results.failure.rejected"),
            audit=make.output("audit", ExecutionAudit),
            events=make.output("events", PlanExecutionEvent),
            rejected=make.rejected("rejected"),
            questions=make.talk("questions", Key.QUESTION_ID, Question),
            answers=make.talk("answers", Key.REPLY_ID, PlanAnswer, WorkAnswer),
            changelog=make.changelog(),
            requests={each: make.requests(each) for each in settings.all_queues()},
        )

    @property
    def results(self) -> tuple[Topic, Topic, Topic]:
        """The three topics of results."""
        return (self.success, self.partial, self.failure)

    def result(self, status: Status | str) -> Topic:
        """Find the results topic of a status."""
        by_status = {
            Status.SUCCESS: self.success,
            Status.PARTIAL: self.partial,
            Status.FAILURE: self.failure,
        }
        return by_status[Status(status)]

    def all(self) -> tuple[Topic, ...]:
        """List every topic: what `topics create` creates."""
        return (
            self.plans,
            *self.requests.values(),
            self.step_outcomes,
            self.commands,
            self.halts,
            *self.results,
            self.failure_rejected,
            self.audit,
            self.events,
            self.rejected,
            self.questions,
            self.answers,
            self.changelog,
        )

    def of_client(self) -> tuple[Topic, ...]:
        """List the topics that a client writes or reads."""
        return (self.plans, *self.results, self.rejected)

    def of_transactions(self) -> tuple[Topic, ...]:
        """List the topics that coordinators write in transactions."""
        return (
            self.plans,
            *self.requests.values(),
            self.step_outcomes,
            self.commands,
            self.halts,
            *self.results,
            self.audit,
            self.rejected,
            self.changelog,
        )

    def of_asking(self) -> tuple[Topic, ...]:
        """List the topics of those who ask what is known of plans (U1)."""
        return (self.questions, self.answers)

    def of_error_handler(self) -> tuple[Topic, ...]:
        """List the topics of an error handler."""
        return (self.failure, self.failure_rejected)

    def of_worker(self, queues: Iterable[str]) -> tuple[Topic, ...]:
        """List the topics of a step worker that serves these queues."""
        served = [self.requests[queue] for queue in queues]
        return (*served, self.step_outcomes, self.halts, self.plans)


class _Maker:
    """Builds topics that share the settings' numbers."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def input(self, name: str, key: Key, *values: type[Record]) -> Topic:
        """Make a topic of work: losing a record of it would lose a plan."""
        keep = str(self.settings.retention_ms)
        return self._topic(
            name,
            key,
            values,
            Requirement("cleanup.policy", "delete", Rule.EXACTLY),
            Requirement("retention.ms", keep, Rule.AT_LEAST),
            # A limit in bytes would drop work that nobody has read yet.
            Requirement("retention.bytes", "-1", Rule.EXACTLY),
            # A larger record could not be moved, or become a dead letter.
            Requirement(SIZE_LIMIT, str(self.settings.max_request_bytes), Rule.EXACTLY),
            CLEAN_ELECTIONS,
        )

    def requests(self, queue: str) -> Topic:
        """Make the topic of a queue; its partitions share out steps, not plans."""
        return replace(
            self.input(f"step-requests.{queue}", Key.STEP_ID, StepRequest),
            partitions=self.settings.step_partitions,
            partitions_setting="PLANSTREAM_REQUEST_PARTITIONS",
        )

    def output(self, name: str, *values: type[Record], key: Key = Key.PLAN_ID) -> Topic:
        """Make a topic for others to read; how long it keeps is the operator's."""
        keep = str(self.settings.results_retention_ms)
        return self._topic(
            name,
            key,
            values,
            Requirement("cleanup.policy", "delete", Rule.EXACTLY),
            Requirement("retention.ms", keep, Rule.FREE),
        )

    def rejected(self, name: str) -> Topic:
        """Make a topic of dead letters, which are larger than what was received."""
        largest = self.settings.max_request_bytes + RECORD_OVERHEAD_BYTES
        size = Requirement(SIZE_LIMIT, str(largest), Rule.AT_LEAST)
        topic = self.output(name, key=Key.AS_RECEIVED)
        kept = [each for each in topic.requirements if each.name != SIZE_LIMIT]
        return replace(topic, requirements=(*kept, size))

    def talk(self, name: str, key: Key, *values: type[Record]) -> Topic:
        """Make a topic of questions or answers: nobody reads them later."""
        return self._topic(
            name,
            key,
            values,
            Requirement("cleanup.policy", "delete", Rule.EXACTLY),
            Requirement("retention.ms", str(TALK_MS), Rule.FREE),
            # Retention removes closed segments alone.
            Requirement("segment.ms", str(TALK_MS), Rule.FREE),
        )

    def halts(self) -> Topic:
        """Make the broadcast of halts: every worker reads all of it at its start."""
        keep = self.settings.halts_retention_ms
        topic = self._topic(
            "halts",
            Key.PLAN_ID,
            (ExecutionHalted,),
            Requirement("cleanup.policy", "delete", Rule.EXACTLY),
            Requirement("retention.ms", str(keep), Rule.AT_MOST),
            # Retention removes closed segments alone, and the default is a week.
            Requirement("segment.ms", str(max(60_000, keep // 6)), Rule.FREE),
        )
        return replace(topic, partitions=1, partitions_setting=None)

    def changelog(self) -> Topic:
        """Make the changelog of the coordinator's one table, named as Faust does."""
        return self._topic(
            "coordinator-state-changelog",
            Key.TABLE_ROW,
            (),
            Requirement("cleanup.policy", "compact", Rule.EXACTLY),
            # A recovery reads the whole log: compact it early, in small segments.
            Requirement("segment.bytes", str(64 * 2**20), Rule.FREE),
            Requirement("min.cleanable.dirty.ratio", "0.2", Rule.FREE),
            CLEAN_ELECTIONS,
        )

    def _topic(
        self,
        name: str,
        key: Key,
        values: tuple[type[Record], ...],
        *requirements: Requirement,
    ) -> Topic:
        if not any(each.name == SIZE_LIMIT for each in requirements):
            largest = str(self.settings.max_request_bytes)
            size = Requirement(SIZE_LIMIT, largest, Rule.AT_LEAST)
            requirements = (*requirements, size)
        return Topic(
            name=self.settings.prefix + name,
            key=key,
            values=values,
            partitions=self.settings.partitions,
            partitions_setting="PLANSTREAM_PARTITIONS",
            requirements=requirements,
        )
