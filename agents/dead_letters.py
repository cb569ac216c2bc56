"""Dead letters: what was refused at the door, untouched, with the reason (R38)."""

from __future__ import annotations

from agents.effects import Outgoing, SourceRecord, size_of

REJECTED = "rejected"
MAX_DETAIL = 500
KEPT_BYTES = 65_536
"""What is kept of the value of a record that is too large for any topic of ours."""


def dead_letter(
    record: SourceRecord, reason: str, detail: str, max_bytes: int
) -> Outgoing:
    """A record for the rejected topic: key, value and headers as received.

    Topics limit the size of batches as they are sent, and a producer may compress
    them: what it sent may be larger than any topic takes from us. Of such a record
    the beginning of its value is kept, and its key if that is not what is large; the
    source topic has all of it.

    Args:
        record: what was refused.
        reason: a `RejectReason` of agents.core.admission.
        detail: for people; names the position in the value where there is one.
        max_bytes: how large a record is at most that is kept whole.
    """
    key, value, headers = record.key, record.value, record.headers
    weight = weight_of(record)
    if weight > max_bytes:
        detail = f"cut to its beginning, it has {weight} bytes; {detail}"
        key = None if key is None or len(key) > KEPT_BYTES else key
        value, headers = value and value[:KEPT_BYTES], ()
    headers = [*headers, *reason_headers(record, reason, detail)]
    return Outgoing(REJECTED, key, value, headers)


def weight_of(record: SourceRecord) -> int:
    """Bytes of a record, uncompressed: value, key and headers."""
    return len(record.value or b"") + len(record.key or b"") + size_of(record.headers)


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
