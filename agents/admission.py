"""Admits plans: opens, refuses or rejects what arrives on the plans topic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agents import dispatch, nested
from agents.core import admission, outcome
from agents.core.deadlines import plan_limit
from agents.core.events import ParentEnded
from agents.core.folding import begin
from agents.core.progress import PlanProgress
from agents.core.terms import PlanTerms
from agents.dead_letters import weight_of
from agents.effects import Outgoing, SourceRecord
from agents.publication import Execution
from agents.references import environment_reference
from agents.tables import plan_key
from schemas import codec
from schemas.context import PlanSubmission
from schemas.rows import PlanRow
from schemas.steps import ParentReference
from schemas.validation import Ids, Violation, identify, peek_ids, validate

if TYPE_CHECKING:
    from agents.coordinator import PartitionState

PLANS = "plans"


@dataclass(slots=True)
class _Reading:
    """A record of the plans topic, as far as it can be read."""

    ids: Ids | None = None
    fields: Mapping[str, Any] | None = None
    error: codec.DecodeError | None = None
    submission: PlanSubmission | None = None
    violations: tuple[Violation, ...] = ()
    parent: ParentReference | None = None


def admit(state: PartitionState, record: SourceRecord, now: int) -> None:
    """Fold one record of the plans topic."""
    reading = _read(record)
    if reading.ids is not None and _is_astray(state, record, reading.ids):
        _move(state, record, reading.ids)
        return
    familiarity = _familiarity(state, reading)
    is_small = len(record.value or b"") <= state.terms.max_submission_bytes
    is_new = familiarity is admission.Familiarity.NEW
    # What is too large is refused for that: eight megabytes of faults, each of which
    # pydantic words, would hold the partition for many seconds.
    if is_new and is_small and reading.fields is not None:
        reading.submission, reading.violations = validate(
            reading.fields, nested=reading.parent is not None
        )
    arrival = _arrival(record, reading, familiarity)
    decision = admission.decide(arrival, state.terms.max_submission_bytes, now)
    if isinstance(decision, admission.Admit):
        _open(state, record, reading, now)
    elif isinstance(decision, admission.Refuse):
        _refuse(state, reading, decision, now)
    elif isinstance(decision, admission.Reject):
        _reject(state, record, reading, decision)
    else:
        state.effects.ignored["repeated submission"] += 1


def _read(record: SourceRecord) -> _Reading:
    try:
        _, fields = codec.decode_fields(record.value, PlanSubmission)
    except codec.DecodeError as error:
        deep = error.reason is codec.DecodeReason.TOO_DEEP
        ids = peek_ids(record.value) if deep and record.value else None
        parent = nested.parent_of(record.headers, None)
        return _Reading(ids, error=error, parent=parent)
    parent = nested.parent_of(record.headers, fields) if record.headers else None
    return _Reading(identify(fields), fields, parent=parent)


def _is_astray(state: PartitionState, record: SourceRecord, ids: Ids) -> bool:
    """Whether the record lies on another partition than its plan id's (R36)."""
    return state.terms.partition_of(ids.plan_id.encode()) != record.partition


def _move(state: PartitionState, record: SourceRecord, ids: Ids) -> None:
    """Send the record to its own partition; it will be admitted there."""
    weight = weight_of(record)
    if weight > state.terms.max_record_bytes:
        # With its key set it might be larger than its topic takes.
        detail = f"key, value and headers have {weight} bytes: not movable"
        state.reject(record, admission.RejectReason.TOO_LARGE, detail)
        return
    key = ids.plan_id.encode()
    moved = Outgoing(PLANS, key, record.value, record.headers)
    state.effects.records.append(moved)


def _familiarity(state: PartitionState, reading: _Reading) -> admission.Familiarity:
    if reading.ids is None:
        return admission.Familiarity.NEW
    key = plan_key(reading.ids.plan_id)
    if not state.tables.knows(key):
        return admission.Familiarity.NEW
    if nested.is_repeat(state.tables, key, reading.parent):
        return admission.Familiarity.SAME_PARENT
    return admission.Familiarity.USED


def _arrival(
    record: SourceRecord, reading: _Reading, familiarity: admission.Familiarity
) -> admission.Arrival:
    fields, error = reading.fields, reading.error
    return admission.Arrival(
        ids=reading.ids,
        size=len(record.value or b""),
        unreadable=None if error is None else error.reason,
        detail="" if error is None else str(error),
        familiarity=familiarity,
        violations=reading.violations,
        outline=admission.UNKNOWN if fields is None else admission.Outline.of(fields),
    )


def _open(
    state: PartitionState, record: SourceRecord, reading: _Reading, now: int
) -> None:
    submission = reading.submission
    assert submission is not None  # noqa: S101 - what has no violations is valid
    terms = PlanTerms.of(submission)
    progress = PlanProgress(terms, now)
    key = plan_key(terms.plan_id)
    _, ends_at = plan_limit(terms, now)
    environment_at = environment_reference(
        record, submission.environment, ends_at, now, state.terms.references
    )
    row = {
        "execution_id": terms.execution_id,
        "admitted_at": now,
        "submission": record.value,
        "environment_at": environment_at,
    }
    state.tables.put_plan(key, codec.encode_row(PlanRow, row))
    nested.adopt(state.tables, key, reading.parent)
    plan = state.opened(key, submission, progress, environment_at)
    dispatch.arm_plan_limit(state, plan)
    lost = nested.take_orphan(state.tables, key, reading.parent)
    if lost is None:
        dispatch.carry_out(state, plan, begin(progress, now))
    else:
        state.advance_plan(plan, ParentEnded(lost), now)


def _refuse(
    state: PartitionState, reading: _Reading, decision: admission.Refuse, now: int
) -> None:
    ids = reading.ids
    assert ids is not None  # noqa: S101 - without ids it is rejected
    commands = outcome.refuse(
        decision.error, decision.steps_total, decision.started_at, now
    )
    execution = _refused(ids, reading.fields or {}, state.terms.max_submission_bytes)
    execution.parent = reading.parent
    nested.adopt(state.tables, execution.key, reading.parent)
    nested.take_orphan(state.tables, execution.key, reading.parent)  # it has come
    dispatch.conclude(state, execution, commands)


def _reject(
    state: PartitionState,
    record: SourceRecord,
    reading: _Reading,
    decision: admission.Reject,
) -> None:
    state.reject(record, decision.reason, decision.detail)
    is_duplicate = decision.reason is admission.RejectReason.DUPLICATE_EXECUTION
    if is_duplicate and reading.ids is not None and reading.parent is not None:
        nested.refuse_duplicate(state, reading.ids.plan_id, reading.parent)


def _refused(ids: Ids, fields: Mapping[str, Any], max_bytes: int) -> Execution:
    """What can be said of a refused plan's submitter; its fields may be anything."""
    return Execution(
        plan_key(ids.plan_id),
        ids.plan_id,
        ids.execution_id,
        user_id=_text(fields.get("user_id"), max_bytes),
        request_id=_text(fields.get("request_id"), max_bytes),
        correlation_context=_texts(fields.get("correlation_context"), max_bytes),
    )


def _text(value: object, max_bytes: int) -> str | None:
    return value if isinstance(value, str) and len(value) <= max_bytes else None


def _texts(value: object, max_bytes: int) -> dict[str, str] | None:
    """Texts by name, no larger than those of a plan that is admitted can be."""
    if not isinstance(value, dict):
        return None
    texts = [each for pair in value.items() for each in pair]
    if not all(isinstance(each, str) for each in texts):
        return None
    return value if sum(map(len, texts)) <= max_bytes else None
