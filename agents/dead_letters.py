"""Dead letters: what was refused at the door, untouched, with the reason (R38)."""

from __future__ import annotations

from agents.effects import Outgoing, SourceRecord

REJECTED = "rejected"
MAX_DETAIL = 500


def dead_letter(record: SourceRecord, reason: str, detail: str) -> Outgoing:
    """A record for the rejected topic: key, value and headers as received.

    Args:
        record: what was refused.
        reason: a `RejectReason` of agents.core.admission.
        detail: for people; names the position in the value where there is one.
    """
    headers = [*record.headers, *reason_headers(record, reason, detail)]
    return Outgoing(REJECTED, record.key, record.value, headers)


def reason_headers(
    record: SourceRecord, reason: str, detail: str
) -> list[tuple[str, bytes]]:
    """The headers that R38 adds, last, to those received."""
    return [
        ("reason", reason.encode()),
        ("reason-detail", detail[:MAX_DETAIL].encode("utf-8", "replace")),
        ("source-topic", record.topic.encode()),
        ("source-partition", b"%d" % record.partition),
        ("source-offset", b"%d" % record.offset),
        ("source-timestamp", b"%d" % record.timestamp),
    ]
