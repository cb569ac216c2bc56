"""Which plans are under way, and whether each got its one right answer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

REMEMBERED = 200_000
"""Ended plans that are remembered at most, where they are forgotten at all."""


class Answer(NamedTuple):
    """What is looked at of a record on a results topic."""

    plan_id: bytes
    execution_id: bytes | None
    status: bytes | None


class Sent(NamedTuple):
    """A plan under way."""

    execution_id: bytes
    at: float


@dataclass
class Tracker:
    """The books of a run: every plan ends in exactly one success, or is a problem."""

    waiting: dict[bytes, Sent] = field(default_factory=dict)
    answered: set[bytes] = field(default_factory=set)
    problems: Counter[str] = field(default_factory=Counter)
    strangers: set[bytes] = field(default_factory=set)
    """Plans that somebody else submits, and watches."""

    def sent(self, plan_id: bytes, execution_id: bytes, at: float) -> None:
        """Notes that a plan is about to be sent."""
        self.waiting[plan_id] = Sent(execution_id, at)

    def answer(self, answer: Answer, at: float) -> float | None:
        """Books an answer, and returns its latency in seconds.

        None when the plan is not one that waits: a second result, or a stranger's.
        """
        sent = self.waiting.pop(answer.plan_id, None)
        if sent is None:
            self._unexpected(answer)
            return None
        self.answered.add(answer.plan_id)
        if answer.status != b"success":
            self.problems[f"result with status {_text(answer.status)}"] += 1
        if answer.execution_id != sent.execution_id:
            self.problems["result with another execution id"] += 1
        return at - sent.at

    def rejected(self, reason: bytes | None) -> None:
        """Books a dead letter: nothing that was sent deserves one."""
        self.problems[f"dead letter: {_text(reason)}"] += 1

    def incorrect(self, what: str) -> None:
        """Books an answer whose content is wrong."""
        self.problems[what] += 1

    def unanswered(self) -> None:
        """Books all plans that still wait, at the end."""
        if self.waiting:
            self.problems["plan without a result"] += len(self.waiting)
            self.waiting.clear()

    def forget(self) -> None:
        """Forgets the plans that have ended, once there are many.

        A second result of one that is forgotten is then a result of an unknown plan.
        """
        if len(self.answered) > REMEMBERED:
            self.answered = set()

    def _unexpected(self, answer: Answer) -> None:
        if answer.plan_id in self.strangers:
            return
        second = answer.plan_id in self.answered
        kind = "second result of a plan" if second else "result of an unknown plan"
        self.problems[kind] += 1


def _text(value: bytes | None) -> str:
    return "none" if value is None else value.decode(errors="replace")
