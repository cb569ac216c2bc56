"""Holds submissions against the contract, and says where they break it."""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.codec import DecodeError, decode_fields
from schemas.context import PlanSubmission
from schemas.validation import Ids, peek_ids, validate, warnings
from streams.documents import Document
from streams.submissions import complete


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a submission."""

    line: int
    path: str
    """Where in the submission, such as `plan.steps[3].action`; empty: all of it."""
    code: str
    message: str

    def __str__(self) -> str:
        where = f"line {self.line}: "
        if self.path:
            where += f"{self.path}: "
        return f"{where}{self.message} ({self.code})"


@dataclass(frozen=True, slots=True)
class Inspected:
    """What was found out about a document."""

    document: Document
    ids: Ids | None
    problems: Sequence[Problem]
    warnings: Sequence[str]


def filled(document: Document, now: int, *, renew: bool = False) -> Document:
    """Fill in what is missing; a document that is none stays as it is."""
    try:
        completed = complete(document.value.decode(), now, renew=renew)
    except ValueError:
        return document
    return Document(document.line, completed.text.encode())


def inspect(document: Document) -> Inspected:
    """Look for everything that is wrong with a submission (R35), and odd (R7)."""
    ids = peek_ids(document.value)
    try:
        _, fields = decode_fields(document.value, PlanSubmission)
    except DecodeError as error:
        problem = Problem(
            document.line_of(error.position), "", error.reason, error.detail
        )
        return Inspected(document, ids, [problem], [])
    submission, violations = validate(fields)
    if submission is not None:
        return Inspected(document, ids, [], warnings(submission))
    problems = [
        Problem(document.line, each.path, each.code, each.message)
        for each in violations
    ]
    return Inspected(document, ids, problems, [])
