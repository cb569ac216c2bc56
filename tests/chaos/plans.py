"""The plans of the load: of many kinds, each of which can end in one way only."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import ErrorCode
from schemas.results import Status
from tests.integration.plans import new_id, step, submission

PATIENCE_MS = 240_000
"""The limit of plans that must end by themselves: longer than any outage."""
LATE = (ErrorCode.PLAN_TIMEOUT, ErrorCode.DEADLINE_EXCEEDED)
HALTED = (ErrorCode.EXECUTION_HALTED,)
Step = dict[str, Any]


@dataclass(frozen=True)
class Ending:
    """How a plan must end, whatever happens around it.

    Attributes:
        completed: How many steps complete; None when that is a matter of luck.
        codes: The codes that its error may have; none when there is no error.
    """

    status: Status
    completed: int | None = None
    codes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Made:
    """A submission, and how it must end."""

    kind: str
    submission: dict[str, Any]
    ending: Ending

    @property
    def plan_id(self) -> str:
        """The plan's id."""
        return str(self.submission["plan"]["id"])

    @property
    def steps(self) -> list[Step]:
        """The plan's steps."""
        found: list[Step] = self.submission["plan"]["steps"]
        return found


Recipe = Callable[[random.Random, Path], tuple[dict[str, Any], Ending]]


def _plan(*steps: Step, **of_plan: Any) -> dict[str, Any]:
    return submission(*steps, **{"timeout_ms": PATIENCE_MS, **of_plan})


def _retry(attempts: int, *codes: str) -> dict[str, Any]:
    return {
        "max_attempts": attempts,
        "backoff_ms": 100,
        "backoff_multiplier": 2.0,
        "retryable_error_codes": list(codes),
    }


def _success(*steps: Step, **of_plan: Any) -> tuple[dict[str, Any], Ending]:
    return _plan(*steps, **of_plan), Ending(Status.SUCCESS, len(steps))


def _failure(
    completed: int | None, codes: tuple[str, ...], *steps: Step, **of_plan: Any
) -> tuple[dict[str, Any], Ending]:
    return _plan(*steps, **of_plan), Ending(Status.FAILURE, completed, codes)


def _work(dice: random.Random, most_ms: int = 250) -> dict[str, int]:
    return {"ms": dice.randint(0, most_ms)}


def chain(dice: random.Random, _: Path) -> tuple[dict[str, Any], Ending]:
    """Steps one after the other."""
    steps: list[Step] = []
    for _number in range(dice.randint(2, 6)):
        steps.append(step("work", _work(dice), tuple(steps[-1:])))
    return _success(*steps)


def fan(dice: random.Random, _: Path) -> tuple[dict[str, Any], Ending]:
    """One step, several beside each other, one that waits for them."""
    first = step("work", _work(dice))
    middle = [
        step("work", _work(dice), (first,)) for _number in range(dice.randint(2, 8))
    ]
    return _success(first, *middle, step("work", _work(dice), tuple(middle)))


def slow(dice: random.Random, _: Path) -> tuple[dict[str, Any], Ending]:
    """Steps that are long enough to be announced."""
    first = step("work", {"ms": dice.randint(800, 2500)})
    return _success(first, step("work", {"ms": dice.randint(800, 2500)}, (first,)))


def plain(dice: random.Random, _: Path) -> tuple[dict[str, Any], Ending]:
    """Plain functions, in processes of their own."""
    first = step("grind", _work(dice))
    return _success(first, step("work", _work(dice), (first,)))


def flaky(dice: random.Random, _: Path) -> tuple[dict[str, Any], Ending]:
    """A step that succeeds at a later attempt, and one that waits for it."""
    payload = {"succeeds_at": dice.randint(2, 4)}
    first = step("falter", payload, on_failure="retry")
    second = step("work", _work(dice), (first,))
    return _success(first, second, retry_policy=_retry(4, "FLAKY"))


def late_once(dice: random.Random, _: Path) -> tuple[dict[str, Any], Ending]:
    """A step that runs into its limit once, and is retried."""
    late = step("dawdle", timeout_ms=dice.randint(300, 1200), on_failure="retry")
    return _success(late, retry_policy=_retry(20, ErrorCode.STEP_TIMEOUT))


def exhausted(dice: random.Random, _: Path) -> tuple[dict[str, Any], Ending]:
    """A step whose attempts all fail beside one that completes."""
    steps = (step("break", on_failure="retry"), step("work", _work(dice)))
    made = _plan(*steps, retry_policy=_retry(3, "BROKEN"))
    return made, Ending(Status.PARTIAL, 1, ("BROKEN",))


def skipped(dice: random.Random, _: Path) -> tuple[dict[str, Any], Ending]:
    """A step that is skipped beside two that complete."""
    good = step("work", _work(dice))
    made = _plan(
        step("break", on_failure="skip"), good, step("work", _work(dice), (good,))
    )
    return made, Ending(Status.PARTIAL, 2, (ErrorCode.STEP_SKIPPED,))


def halted(dice: random.Random, _: Path) -> tuple[dict[str, Any], Ending]:
    """A step that ends its plan while another runs for long."""
    first = step("work", _work(dice))
    bad = step("break", after=(first,), on_failure="halt")
    return _failure(1, HALTED, first, bad, step("work", {"ms": 120_000}))


def nothing(dice: random.Random, _: Path) -> tuple[dict[str, Any], Ending]:
    """Steps that are all skipped."""
    steps = [step("break", on_failure="skip") for _number in range(dice.randint(1, 3))]
    return _failure(0, HALTED, *steps)


def unresolved(dice: random.Random, _: Path) -> tuple[dict[str, Any], Ending]:
    """A step that waits for one that is skipped."""
    bad = step("break", on_failure="skip")
    codes = (ErrorCode.DEPENDENCY_UNRESOLVED,)
    return _failure(0, codes, bad, step("work", _work(dice), (bad,)))


def too_slow(dice: random.Random, _: Path) -> tuple[dict[str, Any], Ending]:
    """A step that runs into its limit."""
    bad = step("work", {"ms": 60_000}, timeout_ms=dice.randint(300, 1500))
    return _failure(0, (ErrorCode.STEP_TIMEOUT,), bad)


def clinging(dice: random.Random, _: Path) -> tuple[dict[str, Any], Ending]:
    """A step that runs into its limit, and ignores it."""
    bad = step("cling", timeout_ms=dice.randint(300, 1500))
    return _failure(0, (ErrorCode.STEP_TIMEOUT,), bad)


def overdue(dice: random.Random, _: Path) -> tuple[dict[str, Any], Ending]:
    """A plan that runs into its limit."""
    limit_ms = dice.randint(1000, 3000)
    return _failure(0, LATE, step("work", {"ms": 60_000}), timeout_ms=limit_ms)


def unknown(dice: random.Random, _: Path) -> tuple[dict[str, Any], Ending]:
    """A step that nobody can run."""
    return _failure(0, (ErrorCode.ACTION_NOT_FOUND,), step("nobody-has-this"))


def refused(dice: random.Random, _: Path) -> tuple[dict[str, Any], Ending]:
    """A plan without what it requires."""
    made = _plan(step("work", _work(dice)), context_requirements=["missing"])
    return made, Ending(Status.FAILURE, 0, (ErrorCode.CONTEXT_MISSING,))


def deadly(dice: random.Random, where: Path) -> tuple[dict[str, Any], Ending]:
    """A step that kills its worker once."""
    died = {"died": str(where / new_id())}
    first = step("perish", died)
    return _success(first, step("work", _work(dice), (first,)))


def deadly_alone(dice: random.Random, _: Path) -> tuple[dict[str, Any], Ending]:
    """A step that kills the process that its handler has to itself."""
    return _failure(0, (ErrorCode.UNKNOWN_ERROR,), step("perish-alone"))


KINDS: dict[Recipe, int] = {
    chain: 90,
    fan: 60,
    slow: 45,
    plain: 36,
    flaky: 36,
    late_once: 18,
    exhausted: 18,
    skipped: 18,
    halted: 15,
    nothing: 9,
    unresolved: 9,
    too_slow: 9,
    clinging: 6,
    overdue: 9,
    unknown: 6,
    refused: 9,
    deadly: 1,
    deadly_alone: 6,
}
"""How often each kind comes, against the others."""


def make(dice: random.Random, where: Path) -> Made:
    """A plan of a kind that the dice choose; `where` is a directory to leave marks."""
    (recipe,) = dice.choices(list(KINDS), list(KINDS.values()))
    return Made(recipe.__name__, *recipe(dice, where))
