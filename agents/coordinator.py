"""The state of one partition of the coordinator, and how records fold into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agents import nested
from agents.admission import admit
from agents.aggregation import fold_outcome
from agents.core.admission import RejectReason
from agents.core.events import Event
from agents.core.folding import Bounds, fold
from agents.core.progress import PlanProgress
from agents.dead_letters import dead_letter
from agents.deadlines import DeadlineHeap, fold_command
from agents.dispatch import carry_out
from agents.effects import Effects, SourceRecord
from agents.open_plans import OpenPlan, OpenPlans
from agents.references import ReferenceTerms
from agents.tables import Tables, plan_key
from schemas import codec
from schemas.context import PlanSubmission, SubmissionReference
from schemas.rows import RegistryRow

MAX_CRASHES = 2
"""Crashes over one record after which it is dead-lettered (POISON)."""
EXPIRED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class CoordinatorTerms:
    """What folds depend on besides their input.

    Attributes:
        plans_topic: full name; likewise the next two.
        format: what is written.
        partition_of: the partition of a plan's key (R36).
        routes: action to queue; others go to the default queue.
        max_request_bytes: the largest record, framed, that every topic takes.
        max_plans_in_flight: open plans beyond which new ones wait in their topic.
        registry_retention_ms: how long ended plans are remembered; 0 is for ever.
        references: when requests refer to an environment rather than carry it.
    """

    plans_topic: str
    outcomes_topic: str
    commands_topic: str
    partition_of: Callable[[bytes], int]
    format: codec.Format = codec.Format.AVRO
    routes: Mapping[str, str] = field(default_factory=dict)
    max_submission_bytes: int = 1_048_576
    max_record_bytes: int = 8_388_608
    max_request_bytes: int = 8_454_144
    max_step_result_bytes: int = 262_144
    max_plans_in_flight: int = 10_000
    max_deliveries: int = 3
    registry_retention_ms: int = 7 * 86_400_000
    references: ReferenceTerms = field(default_factory=ReferenceTerms)


class PartitionState:
    """Tables, open plans and deadlines of one partition; folds records into them.

    It does no IO and asks no clock: what is to be sent gathers in `effects`, what is
    to be stored in `tables`.
    """

    def __init__(self, partition: int, terms: CoordinatorTerms) -> None:
        self.partition = partition
        self.terms = terms
        self.tables = Tables()
        self.deadlines = DeadlineHeap(self.tables)
        self.effects = Effects()
        self.now = 0
        self._bounds = Bounds(terms.max_deliveries, _room_for_results(terms))
        self._open = OpenPlans(self.tables)
        self._folds = {
            terms.plans_topic: admit,
            terms.outcomes_topic: fold_outcome,
            terms.commands_topic: fold_command,
        }

    @property
    def room(self) -> int:
        """How many more plans may be opened."""
        return max(self.terms.max_plans_in_flight - len(self.tables.plans), 0)

    def advance(self, clock: int) -> int:
        """Take the time; it never runs backwards within a partition."""
        self.now = max(self.now, clock)
        return self.now

    def fold(self, record: SourceRecord, now: int) -> None:
        """Fold one source record at `now`; a record that crashed twice is rejected."""
        poison = self.tables.poison.get(record.topic)
        if poison and poison == (record.offset, MAX_CRASHES):
            detail = f"its fold raised {MAX_CRASHES} times"
            self.reject(record, RejectReason.POISON, detail)
        else:
            self._folds[record.topic](self, record, now)

    def take_effects(self) -> Effects:
        """What the folds since the last call want done."""
        effects, self.effects = self.effects, Effects()
        return effects

    # -- for the folds

    def reject(self, record: SourceRecord, reason: RejectReason, detail: str) -> None:
        """Send a record, as received, to the rejected topic (R38)."""
        letter = dead_letter(record, reason, detail, self.terms.max_request_bytes)
        self.effects.records.append(letter)
        self.effects.rejected[reason.value] += 1

    def reject_unreadable(self, record: SourceRecord, error: codec.DecodeError) -> None:
        """Reject a record that could not be decoded."""
        self.reject(record, RejectReason(error.reason), str(error))

    def find_plan(self, plan_id: str, execution_id: str) -> OpenPlan | None:
        """The open plan of these ids; what speaks of another is counted."""
        try:
            plan = self.open_plan(plan_key(plan_id))
        except ValueError:  # no UUID
            plan = None
        if plan is None or plan.terms.execution_id != execution_id:
            self.effects.ignored["no such open plan"] += 1
            return None
        return plan

    def open_plan(self, key: bytes) -> OpenPlan | None:
        """The open plan of a key."""
        return self._open.find(key, self.now)

    def execution_of(self, key: bytes) -> str | None:
        """The id of the execution that is open under a key."""
        return self._open.execution_id(key)

    def opened(
        self,
        key: bytes,
        submission: PlanSubmission,
        progress: PlanProgress,
        environment_at: SubmissionReference | None,
    ) -> OpenPlan:
        """Keep a plan that was just admitted."""
        return self._open.add(key, submission, progress, environment_at, self.now)

    def advance_plan(
        self, plan: OpenPlan, event: Event, now: int, result: str | None = None
    ) -> None:
        """Fold an event into a plan and carry out what follows."""
        commands = fold(plan.progress, event, now, self._bounds)
        if commands:
            carry_out(self, plan, commands, result)
        else:
            self.effects.ignored["repeat or latecomer"] += 1

    def release(self, key: bytes, steps: int) -> None:
        """Free what an execution holds: rows, timers, memory (U3)."""
        self._open.drop(key)
        self.tables.drop_plan(key, steps)

    # -- housekeeping

    def expire(self, now: int) -> bool:
        """Forget ended plans whose retention is over (R14), and late orphans.

        Returns:
            Whether it was a full portion, so that there may be more.
        """
        nested.expire_orphans(self.tables, now)
        retention = self.terms.registry_retention_ms
        if not retention:
            return False
        expired: list[bytes] = []
        for key, row in self.tables.registry.items():
            ended_at = codec.decode_row(RegistryRow, row)["completed_at"]
            if ended_at + retention > now or len(expired) == EXPIRED_AT_ONCE:
                break
            expired.append(key)
        for key in expired:
            self.tables.drop_registry(key)
        return len(expired) == EXPIRED_AT_ONCE


def _room_for_results(terms: CoordinatorTerms) -> int:
    """What the results of a plan's steps may have together (R22).

    The rest of the record is for the error, at most 2 MiB, and the step ids.
    """
    return max(terms.max_record_bytes - 2_200_000, terms.max_record_bytes // 2)
