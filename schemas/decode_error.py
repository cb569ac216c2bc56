"""The one error that unreadable bytes end in."""

from __future__ import annotations

from enum import StrEnum


class DecodeReason(StrEnum):
    """Why a record cannot be read (R37); dead letters name it in capitals (R38)."""

    MALFORMED = "MALFORMED"
    TOO_DEEP = "TOO_DEEP"


class DecodeError(ValueError):
    """Bytes that are no record of the kind asked for.

    Attributes:
        reason: The class of the fault.
        detail: What is wrong, for people; never holds an opaque value.
        position: Where, in bytes from the record's start; None when unknown.
    """

    def __init__(
        self, reason: DecodeReason, detail: str, position: int | None = None
    ) -> None:
        """State the facts; the message is made of them here alone."""
        self.reason = reason
        self.detail = detail
        self.position = position
        where = "" if position is None else f" (at byte {position})"
        super().__init__(f"{reason}: {detail}{where}")


def malformed(detail: str, position: int | None = None) -> DecodeError:
    """The error for bytes that follow no format."""
    return DecodeError(DecodeReason.MALFORMED, detail, position)


def too_deep(detail: str) -> DecodeError:
    """The error for values nested deeper than planstream reads."""
    return DecodeError(DecodeReason.TOO_DEEP, detail)
