"""Holds submissions against the contract, and says where they break it."""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.advice import warnings
from schemas.codec import DecodeError, decode_fields
from schemas.context import PlanSubmission
from schemas.plan import Plan
from schemas.validation import Ids, peek_ids, validate
from streams.documents import Document
from streams.places import lines_of
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
class Warned:
    """One thing that is allowed, and likely not meant."""

    line: int
    path: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: warning: {self.path}: {self.message}"


@dataclass(frozen=True, slots=True)
class Inspected:
    """What was found out about a document."""

    document: Document
    ids: Ids | None
    problems: Sequence[Problem]
    warnings: Sequence[Warned] = ()
    plan: Plan | None = None
    """The plan, when nothing is wrong with it."""


def filled(document: Document, now: int, *, renew: bool = False) -> Document:
    """Fill in what is missing; a document that is none stays as it is."""
    try:
        completed = complete(document.value.decode(), now, renew=renew)
    except ValueError:
        return document
    text = completed.text.encode()
    return Document(document.line, text, written=document, names=completed.steps)


def inspect(document: Document) -> Inspected:
    """Look for everything that is wrong with a submission (R35), and odd (R7)."""
    ids = peek_ids(document.value)
    try:
        _, fields = decode_fields(document.value, PlanSubmission)
    except DecodeError as error:
        line = document.line_of(error.position)
        problem = Problem(line, "", error.reason, error.detail)
        return Inspected(document, ids, [problem])
    submission, violations = validate(fields)
    plan = submission.plan if submission else None
    odd = warnings(plan) if plan else ()
    lines = lines_of(document, [*(v.path for v in violations), *(w.path for w in odd)])
    problems = [
        Problem(lines[each.path], each.path, each.code, each.message)
        for each in violations
    ]
    warned = [Warned(lines[each.path], each.path, each.message) for each in odd]
    return Inspected(document, ids, problems, warned, plan)
