"""Whether the step requests of a plan refer to its environment, or carry it.

A large one would be copied into every request of the plan. It lies on the plans topic
already, so requests say where (docs/adr/0015).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agents.effects import SourceRecord
from schemas.context import SubmissionReference

MARGIN_MS = 60_000
"""How long before its retention ends a submission counts as gone: clocks differ, and a
request that was sent at the plan's very end is fetched after it."""


@dataclass(frozen=True, slots=True)
class ReferenceTerms:
    """When to refer.

    Attributes:
        max_inline_bytes: Names and values of the largest environment that is copied.
        retention_ms: How long a submission stays on its topic, at least.
    """

    max_inline_bytes: int = 16_384
    retention_ms: int = 7 * 86_400_000


def environment_reference(
    record: SourceRecord,
    environment: Mapping[str, str],
    ends_at: int,
    now: int,
    terms: ReferenceTerms,
) -> SubmissionReference | None:
    """Where the environment of a plan can be read, if it is to be read there.

    Args:
        record: The submission, on the partition of its plan.
        environment: JSON texts by name.
        ends_at: When the plan ends at the latest, Unix ms. Retention must not be
            quicker; if it may be, requests carry the environment, however large.
        now: When the plan is admitted, Unix ms.
        terms: See `ReferenceTerms`.
    """
    # An environment is smaller than its submission: most plans cost one comparison.
    if len(record.value or b"") <= terms.max_inline_bytes:
        return None
    if _size_of(environment) <= terms.max_inline_bytes:
        return None
    kept_until = min(record.timestamp, now) + terms.retention_ms - MARGIN_MS
    if kept_until < ends_at:
        return None
    return SubmissionReference(partition=record.partition, offset=record.offset)


def _size_of(environment: Mapping[str, str]) -> int:
    return sum(
        len(name.encode()) + len(text.encode()) for name, text in environment.items()
    )
