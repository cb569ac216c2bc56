"""What a case of the suite is: what is sent, and what must come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from schemas.results import Status
from schemas.steps import StepRequest
from streams.conformance.ledger import Ledger, Seen
from streams.conformance.making import In


class Moment(Enum):
    """When a record is sent."""

    AT_ONCE = "at once"
    BEGUN = "when an attempt of the plan has ended, or has been running for a moment"
    ENDED = "when the plan has ended"


class Phase(Enum):
    """With which others a case runs."""

    TOGETHER = "all at once"
    QUIET = "when those are over: its times are looked at"
    HARM = "last: it takes workers down"


@dataclass(frozen=True)
class Sent:
    """A record for the plans topic.

    Attributes:
        value: A submission, or bytes, or None.
        rejected: The reason of its dead letter, when it must become one.
        when: It is sent.
        key: As bytes; by default the id of the case's plan.
        astray: How many partitions it lies beside its own.
        headers: Of its own.
        is_avro: It is written as Avro.
    """

    value: Any
    rejected: str | None = None
    when: Moment = Moment.AT_ONCE
    key: bytes | None = b"plan id"
    astray: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()
    is_avro: bool = False


class _Any:
    def __repr__(self) -> str:
        return "anything"


ANY: Final = _Any()


@dataclass(frozen=True)
class Err:
    """An error that is expected: its step is named, None is the plan."""

    code: str
    severity: str = "fatal"
    step: Any = None
    cause: Any = None
    """Another `Err`, None, or `ANY`."""
    others: tuple[Err, ...] | None = ()
    """In `context["errors"]`; None is not looked at."""


@dataclass(frozen=True)
class Expected:
    """How a plan must end; None is not looked at.

    Attributes:
        status: Of the result.
        error: Of the result: an `Err`, None, or `ANY`.
        results: What the steps returned, by name: exactly these.
        violations: Path and class, in this order.
        log: Each step's attempts by how they ended: codes, `ok`. What is not named
            must have no attempt at all.
        incomplete: Steps of the audit record.
        warnings: Step and code, as the audit has them.
        total: Steps.
    """

    status: Status
    error: Any = None
    results: Mapping[str, Any] | None = None
    violations: tuple[tuple[str, str], ...] | None = None
    log: Mapping[str, tuple[str, ...]] | None = None
    incomplete: frozenset[str] | None = None
    warnings: tuple[tuple[str, str], ...] | None = None
    total: int | None = None


@dataclass(frozen=True)
class Finding:
    """What a special check looks at."""

    case: Case
    ledger: Ledger[Seen]
    sent_at: tuple[int, ...]

    @property
    def seen(self) -> Seen:
        """What was published about the case's plan."""
        return self.ledger.trails[self.case.plan_id]

    @property
    def started_at(self) -> int | None:
        """The start of the execution, as it was submitted; None when that is none."""
        if not self.case.start_is_read:
            return None
        value = self.case.sent[0].value.get("started_at")
        if isinstance(value, In):
            return self.sent_at[0] + value.ms
        is_instant = type(value) is int and 0 < value < 2**63
        return value if is_instant else None

    def request(self, step_id: str) -> StepRequest:
        """The first request of a step."""
        return next(each for each in self.seen.requests if each.step_id == step_id)


Check = Callable[[Finding], Iterator[str]]


@dataclass(frozen=True)
class Case:
    """A case: rules, what is sent, what must come of it."""

    name: str
    rules: tuple[str, ...]
    sent: tuple[Sent, ...]
    plan_id: str
    expected: Expected | None
    """None: the plan must have no result at all."""
    checks: tuple[Check, ...] = ()
    phase: Phase = Phase.TOGETHER
    children: tuple[str, ...] = field(default=())
    """Plans that must have ended too, before anything is looked at."""
    start_is_read: bool = True
    """Whether the record can be read so far that its start is known."""


def case(
    name: str,
    rules: str,
    made: Mapping[str, Any],
    expected: Expected | None,
    *checks: Check,
    then: tuple[Sent, ...] = (),
    **options: Any,
) -> Case:
    """A case of a submission, and perhaps of further records after it."""
    how = {
        name: options.pop(name)
        for name in ("astray", "headers", "is_avro", "key")
        if name in options
    }
    sent = (Sent(made, **how), *then)
    plan_id = made["plan"]["id"]
    return Case(name, tuple(rules.split()), sent, plan_id, expected, checks, **options)


SUCCESS: Final = Expected(Status.SUCCESS)


def success(**what: Any) -> Expected:
    """All steps complete."""
    return Expected(Status.SUCCESS, **what)


def partial(error: Err, **what: Any) -> Expected:
    """Some steps complete."""
    return Expected(Status.PARTIAL, error, **what)


def failure(error: Any, **what: Any) -> Expected:
    """The plan fails."""
    return Expected(Status.FAILURE, error, **what)


def refused(code: str, *violations: tuple[str, str]) -> Expected:
    """The plan is refused at admission; no step has an attempt."""
    return Expected(
        Status.FAILURE, Err(code), {}, violations=violations or None, log={}
    )
