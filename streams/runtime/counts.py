"""Counts what becomes of records: `/metrics` tells, with the process's own figures."""

from __future__ import annotations

from prometheus_client import Counter

from agents.effects import Effects

RECORDS = Counter(
    "planstream_records",
    "Records folded, by source topic; a fold that is repeated counts again.",
    ["topic"],
)
IGNORED = Counter(
    "planstream_records_ignored",
    "Records that changed nothing: repeats, latecomers and strangers (Refusals).",
    ["topic", "reason"],
)
REJECTED = Counter(
    "planstream_records_rejected",
    "Records that became dead letters (R38).",
    ["topic", "reason"],
)
QUESTIONS = Counter("planstream_questions_answered", "Questions answered (U1, U3).")
ENDED = Counter("planstream_plans_ended", "Plans that ended in a result.")


def count_fold(topic: str, records: int, effects: Effects) -> None:
    """Count a folded chunk of one source topic, and what came of it."""
    RECORDS.labels(topic).inc(records)
    ENDED.inc(effects.ended)
    for reason, count in effects.ignored.items():
        IGNORED.labels(topic, reason).inc(count)
    for reason, count in effects.rejected.items():
        REJECTED.labels(topic, reason).inc(count)
