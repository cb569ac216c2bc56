"""Plans and events for the core's tests: steps are named by letters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from agents.core.commands import Command, PersistResult, RecordAudit, RequestStep
from agents.core.events import Event, Failed, LimitFired, RetryFired, Started, Succeeded
from agents.core.folding import Bounds, begin, fold
from agents.core.progress import PlanProgress
from agents.core.terms import PlanTerms
from schemas.commands import Limit
from schemas.errors import ExecutionError, Severity, make_error

PLAN = "00000000-0000-4000-8000-0000000000a0"
EXECUTION = "00000000-0000-4000-8000-0000000000e0"
STARTED_AT = 1_000_000
ADMITTED_AT = STARTED_AT + 50
TIMEOUT_MS = 60_000
DEADLINE_MS = STARTED_AT + 3_600_000

C = TypeVar("C")


def step_id(number: int) -> str:
    """The id of the step with this number."""
    return f"00000000-0000-4000-8000-{number:012x}"


def step(
    number: int,
    *after: int,
    on_failure: str | None = None,
    timeout_ms: int | None = None,
) -> dict[str, Any]:
    """The fields of a step; what is not said is absent."""
    fields: dict[str, Any] = {"id": step_id(number), "action": "any", "payload": "{}"}
    if after:
        fields["depends_on"] = [step_id(dependency) for dependency in after]
    if on_failure is not None:
        fields["on_failure"] = on_failure
    if timeout_ms is not None:
        fields["timeout_ms"] = timeout_ms
    return fields


def submission(*steps: dict[str, Any], **plan: Any) -> dict[str, Any]:
    """The fields of a submission; members of the plan can be set by name."""
    return {
        "plan": {
            "id": PLAN,
            "version": 1,
            "created_at": 1,
            "steps": list(steps),
            "name": "a plan",
            "context_requirements": ["region"],
            "timeout_ms": TIMEOUT_MS,
            **plan,
        },
        "execution_id": EXECUTION,
        "started_at": STARTED_AT,
        "deadline_ms": DEADLINE_MS,
        "environment": {"region": '"eu"'},
    }


def terms(*steps: dict[str, Any], **plan: Any) -> PlanTerms:
    """The terms of a plan of these steps."""
    return PlanTerms.of(submission(*steps, **plan))


def chain(length: int, **members: Any) -> list[dict[str, Any]]:
    """Steps of which each waits for the one before it."""
    return [step(n, *([n - 1] if n else []), **members) for n in range(length)]


def retry(attempts: int, *codes: str, **members: Any) -> dict[str, Any]:
    """The fields of a retry policy."""
    return {"max_attempts": attempts, "retryable_error_codes": list(codes), **members}


def error(
    code: str = "CARD_DECLINED", *, severity: Severity = Severity.ERROR, **context: Any
) -> ExecutionError:
    """What a step agent reports."""
    return make_error(code, f"{code} it was", severity=severity, context=context)


FATAL = Severity.FATAL


class Run:
    """A plan being executed: folds events, a millisecond apart, and keeps commands."""

    def __init__(self, plan: PlanTerms, bounds: Bounds | None = None) -> None:
        self.terms = plan
        self.progress = PlanProgress(plan, ADMITTED_AT)
        self.bounds = bounds or Bounds()
        self.now = ADMITTED_AT
        self.commands = begin(self.progress, self.now)

    def fold(self, event: Event, at: int | None = None) -> list[Command]:
        """Fold an event, by default a millisecond after the last one."""
        self.now = self.now + 1 if at is None else at
        commands = fold(self.progress, event, self.now, self.bounds)
        self.commands += commands
        return commands

    def start(
        self,
        number: int,
        start_id: str = "w1-1",
        attempt: int = 1,
        *,
        elapsed_ms: int = 0,
        child: str | None = None,
    ) -> list[Command]:
        """A step agent announces a start."""
        return self.fold(Started(number, attempt, start_id, elapsed_ms, child))

    def succeed(self, *numbers: int, attempt: int = 1) -> list[Command]:
        """Steps complete, one after the other; the commands of the last."""
        commands: list[Command] = []
        for number in numbers:
            commands = self.fold(Succeeded(number, attempt))
        return commands

    def fail(
        self, number: int, failure: ExecutionError | None = None, attempt: int = 1
    ) -> list[Command]:
        """An attempt fails."""
        return self.fold(Failed(number, attempt, failure or error()))

    def limit(self, limit: Limit) -> list[Command]:
        """A limit of the plan fires."""
        return self.fold(LimitFired(limit))

    def step_limit(self, number: int, at: int, attempt: int = 1) -> list[Command]:
        """A step's own limit fires."""
        return self.fold(LimitFired(Limit.STEP_TIMEOUT, number, attempt), at)

    def retry_fires(self, number: int, attempt: int) -> list[Command]:
        """A backoff is over."""
        return self.fold(RetryFired(number, attempt))

    @property
    def result(self) -> PersistResult:
        """The one result of the plan."""
        (result,) = of_type(self.commands, PersistResult)
        return result

    @property
    def audit(self) -> RecordAudit:
        """The one audit record of the plan."""
        (audit,) = of_type(self.commands, RecordAudit)
        return audit

    @property
    def failure(self) -> ExecutionError:
        """The error in the plan's result."""
        assert self.result.error is not None
        return self.result.error

    def requested(self) -> list[tuple[int, int]]:
        """The attempts requested so far, in order."""
        return [(r.step, r.attempt) for r in of_type(self.commands, RequestStep)]


def of_type(commands: list[Command], kind: type[C]) -> list[C]:
    """The commands of a kind, in order."""
    return [command for command in commands if isinstance(command, kind)]


def causes(failure: ExecutionError) -> Iterator[ExecutionError]:
    """An error and what it follows from."""
    link: ExecutionError | None = failure
    while link is not None:
        yield link
        link = link.cause
