"""How far the demo's plans have come, as the topics tell it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.errors import ExecutionError
from schemas.opaque import load
from schemas.record import Record
from schemas.results import PlanResult
from schemas.steps import StepFailed, StepStarted, StepSucceeded
from streams.client import Submitted
from streams.devkit.demo_plans import DemoPlan
from streams.results import Received, Rejected


@dataclass(frozen=True)
class FailedAttempt:
    """One attempt of a step that did not complete."""

    step: str
    attempt: int
    code: str
    message: str


@dataclass
class Tracked:
    """One submitted plan: what has become of its steps, and of itself."""

    demo: DemoPlan
    submitted: Submitted
    began: float = field(default_factory=time.monotonic)
    completed: set[str] = field(default_factory=set)
    running: dict[str, None] = field(default_factory=dict)
    failed: list[FailedAttempt] = field(default_factory=list)
    received: Received | None = None
    rejected: Rejected | None = None

    def __post_init__(self) -> None:
        """Turn the names round: records speak of ids."""
        self._names = {id_: name for name, id_ in self.submitted.steps.items()}

    @property
    def name(self) -> str:
        """The plan's name."""
        return self.demo.name

    @property
    def total(self) -> int:
        """How many steps it has."""
        return len(self._names)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.received is not None or self.rejected is not None

    @property
    def result(self) -> PlanResult | None:
        """How it ended."""
        return None if self.received is None else self.received.result

    def step_name(self, step_id: str | None) -> str:
        """Name a step, or the plan itself."""
        return self._names.get(step_id or "", "the plan")

    def named(self, text: str) -> str:
        """Put the names of steps in place of their ids."""
        for step_id, name in self._names.items():
            text = text.replace(step_id, name)
        return text

    def fold(
        self, model: type[Record], fields: Mapping[str, Any]
    ) -> FailedAttempt | None:
        """Take a step's outcome; give the attempt if it failed."""
        step = self.step_name(fields["step_id"])
        self.running.pop(step, None)
        if model is StepStarted:
            self.running[step] = None
        elif model is StepSucceeded:
            self.completed.add(step)
        elif model is StepFailed:
            error = fields["error"]
            failed = FailedAttempt(
                step, fields["attempt"], error["error_code"], error["message"]
            )
            self.failed.append(failed)
            return failed
        return None

    def end(self, how: Received | Rejected) -> None:
        """Take its result, or learn that it has none."""
        self.running.clear()
        if isinstance(how, Rejected):
            self.rejected = how
            return
        self.received = how
        # Steps' outcomes are read apart, and may come later.
        done = how.result.result_payload
        self.completed = {self.step_name(step_id) for step_id in done}

    def returned(self, step: str) -> Any:
        """Give what a step has returned; None when it did not complete."""
        id_ = self.submitted.steps.get(step)
        if self.result is None or id_ is None:
            return None
        text = self.result.result_payload.get(id_)
        return None if text is None else load(text)

    def causes(self) -> list[ExecutionError]:
        """List the primary error, its cause, and so on."""
        chain = []
        error = self.result.error if self.result else None
        while error is not None:
            chain.append(error)
            error = error.cause
        return chain

    def retried(self) -> dict[str, list[FailedAttempt]]:
        """Give the steps that completed in the end, with their failed attempts."""
        found: dict[str, list[FailedAttempt]] = {}
        for each in self.failed:
            if each.step in self.completed:
                found.setdefault(each.step, []).append(each)
        return found

    @property
    def report(self) -> Path | None:
        """The report it has left."""
        answer = self.returned("report")
        return None if answer is None else Path(answer["report"])

    @property
    def surprise(self) -> str | None:
        """What did not come out as expected, in words."""
        if self.rejected is not None:
            return f"was rejected: {self.rejected.reason}: {self.rejected.detail}"
        if self.result is None:
            so_far = f"{len(self.completed)} of {self.total}"
            return f"has no result ({so_far} steps completed)"
        return self._difference(self.result)

    def _difference(self, result: PlanResult) -> str | None:
        expected = self.demo.expected
        if result.status is not expected.status:
            return f"ended in {result.status}, not in {expected.status}"
        codes = tuple(error.error_code for error in self.causes())
        if codes != expected.codes:
            return f"ended with {_chain(codes)}, not with {_chain(expected.codes)}"
        if expected.retried and expected.retried not in self.retried():
            return f"did not try {expected.retried} again"
        if self.demo.reports and not _has_text(self.report):
            return "has left no report"
        return None


def _chain(codes: tuple[str, ...]) -> str:
    return " because of ".join(codes) or "no error"


def _has_text(file: Path | None) -> bool:
    return file is not None and file.is_file() and file.stat().st_size > 0
