"""The truth table of success, partial and failure: what the core itself answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from agents.core.commands import PersistResult
from agents.core.events import Event, Failed, LimitFired, Succeeded
from agents.core.folding import begin, fold
from agents.core.progress import PlanProgress
from agents.core.terms import PlanTerms
from schemas.commands import Limit
from schemas.errors import Severity, make_error

ADMITTED_AT: Final = 1_000_000
CODE: Final = "CARD_DECLINED"


class Case(NamedTuple):
    """A plan of one or two steps, and what happens to it in this order."""

    steps: str
    """In words."""
    policy: str
    happens: str
    """In words."""
    second: bool
    """Whether there is a step B."""
    events: tuple[Event, ...]
    b_needs_a: bool = False


class Verdict(NamedTuple):
    """How a plan ended."""

    status: str
    executed: int
    total: int
    error: str


def _failed(step: int, severity: Severity = Severity.ERROR, attempt: int = 1) -> Failed:
    return Failed(step, attempt, make_error(CODE, "declined", severity=severity))


_A_DONE, _B_DONE = Succeeded(0, 1), Succeeded(1, 1)
_ONE, _TWO, _CHAIN = "A", "A, B", "A, then B"

CASES: Final = (
    Case(_TWO, "any", "both complete", True, (_A_DONE, _B_DONE)),
    Case(
        _TWO,
        "`retry`, code listed, attempts left",
        "A fails, then completes; B completes",
        True,
        (_failed(0), _B_DONE, Succeeded(0, 2)),
    ),
    Case(
        _TWO,
        "`retry`, attempts exhausted",
        "A fails twice, B completes",
        True,
        (_failed(0), _failed(0, attempt=2), _B_DONE),
    ),
    Case(_TWO, "`skip`", "A fails, B completes", True, (_failed(0), _B_DONE)),
    Case(_ONE, "`skip`", "A fails", False, (_failed(0),)),
    Case(_TWO, "`skip`", "both fail", True, (_failed(0), _failed(1))),
    Case(_CHAIN, "`skip`", "A fails", True, (_failed(0),), b_needs_a=True),
    Case(_TWO, "`halt`", "B completes, A fails", True, (_B_DONE, _failed(0))),
    Case(_TWO, "`halt`", "A fails while B runs", True, (_failed(0),)),
    Case(
        _TWO,
        "any",
        "B completes, A fails with severity fatal",
        True,
        (_B_DONE, _failed(0, Severity.FATAL)),
    ),
    Case(
        _TWO,
        "any",
        "B completes, the plan's timeout passes while A runs",
        True,
        (_B_DONE, LimitFired(Limit.PLAN_TIMEOUT)),
    ),
    Case(
        _TWO,
        "any",
        "the deadline passes while both run",
        True,
        (LimitFired(Limit.DEADLINE),),
    ),
    Case(
        _TWO,
        "any",
        "both complete, the deadline's command comes after",
        True,
        (_A_DONE, _B_DONE, LimitFired(Limit.DEADLINE)),
    ),
)
"""What a plan's author wants to know, each a line of the table."""


def verdict(case: Case) -> Verdict:
    """Let the core execute a case.

    Raises:
        ValueError: The plan does not end, or ends twice.
    """
    progress = PlanProgress(PlanTerms.of(_submission(case)), ADMITTED_AT)
    commands = begin(progress, ADMITTED_AT)
    for number, event in enumerate(case.events):
        commands += fold(progress, event, ADMITTED_AT + 1 + number)
    (result,) = [each for each in commands if isinstance(each, PersistResult)]
    error = result.error
    causes: list[str] = []
    while error is not None:
        causes.append(f"`{error.error_code}` ({error.severity})")
        error = error.cause
    counts = (len(result.completed), result.steps_total)
    return Verdict(str(result.status), *counts, " ← ".join(causes))


def rows() -> Iterator[str]:
    """The lines of the table."""
    for case in CASES:
        found = verdict(case)
        counts = f"{found.executed} of {found.total}"
        cells = (case.steps, case.policy, case.happens, found.status, counts)
        yield " | ".join((*cells, found.error or "none"))


def _submission(case: Case) -> dict[str, Any]:
    policy = next((p for p in ("retry", "skip") if f"`{p}`" in case.policy), "halt")
    ids = [f"00000000-0000-4000-8000-{n:012x}" for n in range(1 + case.second)]
    steps: list[dict[str, Any]] = [
        {"id": each, "action": "any", "payload": "{}", "on_failure": policy}
        for each in ids
    ]
    if case.b_needs_a:
        steps[1] |= {"depends_on": ids[:1]}
    plan = {
        "id": "00000000-0000-4000-8000-0000000000a0",
        "steps": steps,
        "retry_policy": {"max_attempts": 2, "retryable_error_codes": [CODE]},
    }
    return {
        "plan": plan,
        "execution_id": "00000000-0000-4000-8000-0000000000e0",
        "started_at": ADMITTED_AT,
        "deadline_ms": ADMITTED_AT + 1_000_000,
    }
