"""Who is let in: what becomes of a record that arrives on the plans topic.

| what arrived                            | what becomes of it                    |
|-----------------------------------------|---------------------------------------|
| seen before: the very same record       | ignored (R14)                         |
| unreadable                              | dead letter MALFORMED                 |
| too deep or too large, without ids      | dead letter TOO_DEEP, TOO_LARGE       |
| no valid plan id and execution id       | dead letter INVALID_ID                |
| a plan id that is used                  | dead letter DUPLICATE_EXECUTION       |
| too large, too deep                     | refused: RESOURCE_EXHAUSTED           |
| violations, or a deadline that is past  | refused: the code of the first        |
| anything else                           | admitted                              |

The order of the rows is the order of the looks: a duplicate is one before anything in
it is judged. What is refused has a result, and its plan id is used up; a dead letter
has neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Final, NamedTuple

from schemas.decode_error import DecodeReason
from schemas.errors import ErrorCode, ExecutionError, make_error
from schemas.record import INT64_MAX
from schemas.validation import (
    Ids,
    Violation,
    ViolationClass,
    started_at,
    steps_total,
    violations_context,
)


class RejectReason(StrEnum):
    """Why a record is a dead letter; the header says it like this (R38)."""

    MALFORMED = "MALFORMED"
    INVALID_ID = "INVALID_ID"
    DUPLICATE_EXECUTION = "DUPLICATE_EXECUTION"
    TOO_LARGE = "TOO_LARGE"
    TOO_DEEP = "TOO_DEEP"
    POISON = "POISON"


class Familiarity(Enum):
    """Whether the plan id of a record was seen before (R14)."""

    NEW = "never, or longer ago than the registry remembers"
    USED = "admitted or refused before"
    SAME_RECORD = "by this very record, delivered again"
    SAME_PARENT = "a child that the same attempt of its parent submits again"


class Outline(NamedTuple):
    """The few facts of a submission that its refusal needs, valid or not.

    A tuple like Arrival, as one is made with every plan.

    Attributes:
        started_at: None when it is absent or no instant.
        deadline_ms: None when it is absent or no instant.
        steps_total: how many steps it lists, 0 when it lists none (R35).
    """

    started_at: int | None = None
    deadline_ms: int | None = None
    steps_total: int = 0

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Outline:
        """The outline of a submission's fields, whatever these are."""
        deadline_ms = _instant(fields.get("deadline_ms"))
        return cls(started_at(fields), deadline_ms, steps_total(fields))


UNKNOWN: Final = Outline()
"""The outline of what cannot be read."""


class Arrival(NamedTuple):
    """What is known of a record on the plans topic.

    Attributes:
        ids: its plan id and execution id, None unless both are valid.
        size: bytes of its value.
        unreadable: why it cannot be decoded, if so.
        detail: of `unreadable`, for the dead letter.
        familiarity: whether its plan id was seen before.
        violations: of the rules of §1 and §2, in the order of their classes. Need not
            be looked for when the plan id is not new.
        outline: UNKNOWN when it was not decoded.
    """

    ids: Ids | None
    size: int
    unreadable: DecodeReason | None = None
    detail: str = ""
    familiarity: Familiarity = Familiarity.NEW
    violations: Sequence[Violation] = ()
    outline: Outline = UNKNOWN


@dataclass(frozen=True, slots=True)
class Admit:
    """Begin to execute the plan."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Conclude the plan at once (`agents.core.outcome.refuse`)."""

    error: ExecutionError
    steps_total: int
    started_at: int | None


@dataclass(frozen=True, slots=True)
class Reject:
    """Send the record to the dead letters (R38)."""

    reason: RejectReason
    detail: str


@dataclass(frozen=True, slots=True)
class Ignore:
    """Do nothing: what this record asks for is done or being done."""


Decision = Admit | Refuse | Reject | Ignore


def decide(arrival: Arrival, max_bytes: int, now: int) -> Decision:
    """What becomes of an arrival (§2, Refusals).

    Args:
        arrival: the facts.
        max_bytes: the largest value of a submission (R38).
        now: the coordinator's clock, Unix ms.
    """
    if arrival.familiarity in _REPEATS:
        return Ignore()
    rejection = _reject(arrival, max_bytes)
    if rejection is not None:
        return rejection
    error = _too_much(arrival, max_bytes) or _invalid(arrival, now)
    if error is None:
        return Admit()
    return Refuse(error, arrival.outline.steps_total, arrival.outline.started_at)


_REPEATS: Final = frozenset({Familiarity.SAME_RECORD, Familiarity.SAME_PARENT})


def _reject(arrival: Arrival, max_bytes: int) -> Reject | None:
    if arrival.unreadable is DecodeReason.MALFORMED:
        return Reject(RejectReason.MALFORMED, arrival.detail)
    if arrival.ids is None:
        return _without_ids(arrival, max_bytes)
    if arrival.familiarity is Familiarity.USED:
        detail = f"the plan id {arrival.ids.plan_id} was used before"
        return Reject(RejectReason.DUPLICATE_EXECUTION, detail)
    return None


def _without_ids(arrival: Arrival, max_bytes: int) -> Reject:
    if arrival.size > max_bytes:
        detail = f"{arrival.size} bytes, {max_bytes} are allowed"
        return Reject(RejectReason.TOO_LARGE, detail)
    if arrival.unreadable is DecodeReason.TOO_DEEP:
        return Reject(RejectReason.TOO_DEEP, arrival.detail)
    detail = "plan.id and execution_id must both be canonical UUIDs, version 4"
    return Reject(RejectReason.INVALID_ID, detail)


def _too_much(arrival: Arrival, max_bytes: int) -> ExecutionError | None:
    if arrival.size > max_bytes:
        return make_error(
            ErrorCode.RESOURCE_EXHAUSTED,
            f"the submission has {arrival.size} bytes, {max_bytes} are allowed",
            context={"size_bytes": arrival.size, "max_submission_bytes": max_bytes},
        )
    if arrival.unreadable is DecodeReason.TOO_DEEP:
        return make_error(
            ErrorCode.RESOURCE_EXHAUSTED, f"the submission: {arrival.detail}"
        )
    return None


def _invalid(arrival: Arrival, now: int) -> ExecutionError | None:
    violations = [*arrival.violations, *_past_deadline(arrival.outline, now)]
    if not violations:
        return None
    violations.sort(key=lambda violation: _RANKS[violation.class_])
    first = violations[0]
    return make_error(
        first.code,
        f"{first.path}: {first.message}",
        context=violations_context(violations),
    )


def _past_deadline(outline: Outline, now: int) -> list[Violation]:
    deadline_ms = outline.deadline_ms
    if deadline_ms is None or now < deadline_ms:
        return []
    message = f"{deadline_ms} is past: the plan was looked at {now}"
    return [Violation("deadline_ms", ViolationClass.WINDOW, message)]


_RANKS: Final = {class_: rank for rank, class_ in enumerate(ViolationClass)}
"""The order in which the classes decide the code (Refusals)."""


def _instant(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value <= INT64_MAX else None
