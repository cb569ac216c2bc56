"""What a coordinator's fold wants done outside its tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

Headers = Sequence[tuple[str, bytes | None]]


class Content(Protocol):
    """What a record carries, wherever it lies or goes."""

    @property
    def key(self) -> bytes | None:
        """Whose record it is, None when nobody's."""

    @property
    def value(self) -> bytes | None:
        """None is a tombstone."""

    @property
    def headers(self) -> Headers:
        """In their order."""


class SourceRecord(Content, Protocol):
    """The parts of a consumed record that a fold looks at."""

    @property
    def topic(self) -> str:
        """Full name."""

    @property
    def partition(self) -> int:
        """Number."""

    @property
    def offset(self) -> int:
        """Place in the partition."""

    @property
    def timestamp(self) -> int:
        """Unix ms, as the broker or the producer says."""


@dataclass(init=False, unsafe_hash=True, slots=True)
class Outgoing:
    """A record to be sent; the topic is named without the prefix.

    It has an `__init__` like the commands of the core (`agents.core.commands`).
    """

    topic: Final[str]
    key: Final[bytes | None]
    value: Final[bytes | None]
    headers: Final[Headers]

    def __init__(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
    ) -> None:
        self.topic = topic
        self.key = key
        self.value = value
        self.headers = headers


HEADER_BYTES = 10
"""What frames a header, at most."""


def size_of(headers: Headers) -> int:
    """Bytes that headers take in a record."""
    return sum(
        len(name.encode()) + len(value or b"") + HEADER_BYTES for name, value in headers
    )


class Effects:
    """The outcome of folding a chunk, apart from table rows.

    Attributes:
        requests: sent at once; repeated by a re-fold, which is allowed. Those of child
            plans are among the records.
        records: sent in the transaction that commits the fold.
        events: sent after that transaction, never awaited (§5.0).
        ended: how many plans ended: their results make the commit urgent.
        ignored: repeats, latecomers and strangers, counted by reason.
        rejected: dead letters, which are among the records, counted by reason.
    """

    __slots__ = ("ended", "events", "ignored", "records", "rejected", "requests")

    def __init__(self) -> None:
        self.requests: list[Outgoing] = []
        self.records: list[Outgoing] = []
        self.events: list[Outgoing] = []
        self.ended = 0
        self.ignored: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self.requests or self.records or self.events)
