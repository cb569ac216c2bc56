"""What is wrong with a submission: where, of which class, in words (R35)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from schemas.errors import ErrorCode

MAX_LISTED = 50
"""How many violations an error's context lists (R35)."""
MAX_SHOWN = 100
"""How many characters of a value or a name a violation shows (R35)."""


class ViolationClass(StrEnum):
    """The classes of violations, in the order in which they decide a refusal's code."""

    SCHEMA = "schema"
    DEPENDENCIES = "dependencies"
    WINDOW = "window"
    ENVIRONMENT = "environment"

    @property
    def code(self) -> ErrorCode:
        """The error code of a refusal for this class (Refusals table)."""
        return _CODES[self]


_CODES = {
    ViolationClass.SCHEMA: ErrorCode.INVALID_PAYLOAD,
    ViolationClass.DEPENDENCIES: ErrorCode.DEPENDENCY_UNRESOLVED,
    ViolationClass.WINDOW: ErrorCode.DEADLINE_EXCEEDED,
    ViolationClass.ENVIRONMENT: ErrorCode.CONTEXT_MISSING,
}


class Violation(NamedTuple):
    """One rule that a submission breaks."""

    path: str
    """The member's place, such as `plan.steps[3].action`."""
    class_: ViolationClass
    message: str

    @property
    def code(self) -> ErrorCode:
        """The error code of the violation's class."""
        return self.class_.code


def violations_context(violations: Sequence[Violation]) -> dict[str, Any]:
    """The members of an error's context that list violations, at most 50 (R35)."""
    listed = [
        {"path": path, "class": class_.value, "message": message}
        for path, class_, message in violations[:MAX_LISTED]
    ]
    return {"violations": listed, "violations_total": len(violations)}


def shortened(text: str) -> str:
    """The text in at most 100 characters and a mark that some are missing."""
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
