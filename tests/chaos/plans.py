"""The plans of the load: of many kinds, each of which can end in one way only."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from schemas.errors import ErrorCode
from schemas.results import Status
from tests.chaos.made import Draft, Ending, Plan, Step
from tests.integration.plans import new_id, step, submission

PATIENCE_MS = 600_000
"""The limit of plans that must end by themselves: longer than what a busy machine may
take, and than the wait at the end, so that who is stuck has no result by then."""
LATE = (ErrorCode.PLAN_TIMEOUT, ErrorCode.DEADLINE_EXCEEDED)
HALTED = (ErrorCode.EXECUTION_HALTED,)
LONG = {"ms": 500_000}
"""Of steps that are to be stopped: longer than what stops them may be delayed."""
HOUR_MS = 3_600_000
MAX_BYTES = 262_144
"""The limit of submissions in these runs: so that too large is not too much."""

Recipe = Callable[[random.Random, Path], Draft]


def whole(*steps: Step, **of_plan: Any) -> Plan:
    """A submission of a plan with these steps, with a patient limit."""
    return submission(*steps, **{"timeout_ms": PATIENCE_MS, **of_plan})


def _retry(attempts: int, *codes: str) -> dict[str, Any]:
    return {
        "max_attempts": attempts,
        "backoff_ms": 100,
        "backoff_multiplier": 2.0,
        "retryable_error_codes": list(codes),
    }


def success(*steps: Step, **of_plan: Any) -> Draft:
    """A plan that completes."""
    return Draft(whole(*steps, **of_plan), Ending(Status.SUCCESS, len(steps)))


def failure(
    completed: int | None, codes: tuple[str, ...], *steps: Step, **of_plan: Any
) -> Draft:
    """A plan that fails."""
    return Draft(whole(*steps, **of_plan), Ending(Status.FAILURE, completed, codes))


def partial(completed: int, code: str, *steps: Step, **of_plan: Any) -> Draft:
    """A plan of which so many steps complete."""
    return Draft(whole(*steps, **of_plan), Ending(Status.PARTIAL, completed, (code,)))


def work(dice: random.Random, most_ms: int = 250) -> dict[str, int]:
    """The payload of a step that takes a while."""
    return {"ms": dice.randint(0, most_ms)}


def chain(dice: random.Random, _: Path) -> Draft:
    """Steps one after the other."""
    steps: list[Step] = []
    for _number in range(dice.randint(2, 6)):
        steps.append(step("work", work(dice), tuple(steps[-1:])))
    return success(*steps)


def fan(dice: random.Random, _: Path) -> Draft:
    """One step, several beside each other, one that waits for them."""
    first = step("work", work(dice))
    middle = [
        step("work", work(dice), (first,)) for _number in range(dice.randint(2, 8))
    ]
    return success(first, *middle, step("work", work(dice), tuple(middle)))


def slow(dice: random.Random, _: Path) -> Draft:
    """Steps that are long enough to be announced."""
    first = step("work", {"ms": dice.randint(800, 2500)})
    return success(first, step("work", {"ms": dice.randint(800, 2500)}, (first,)))


def plain(dice: random.Random, _: Path) -> Draft:
    """Plain functions, in processes of their own."""
    first = step("grind", work(dice))
    return success(first, step("work", work(dice), (first,)))


def flaky(dice: random.Random, _: Path) -> Draft:
    """A step that succeeds at a later attempt, and one that waits for it."""
    payload = {"succeeds_at": dice.randint(2, 4)}
    first = step("falter", payload, on_failure="retry")
    second = step("work", work(dice), (first,))
    return success(first, second, retry_policy=_retry(4, "FLAKY"))


def late_once(dice: random.Random, _: Path) -> Draft:
    """A step that runs into its limit once, and is retried."""
    late = step("dawdle", timeout_ms=dice.randint(300, 1200), on_failure="retry")
    return success(late, retry_policy=_retry(20, ErrorCode.STEP_TIMEOUT))


def exhausted(dice: random.Random, _: Path) -> Draft:
    """A step whose attempts all fail beside one that completes."""
    steps = (step("break", on_failure="retry"), step("work", work(dice)))
    return partial(1, "BROKEN", *steps, retry_policy=_retry(3, "BROKEN"))


def skipped(dice: random.Random, _: Path) -> Draft:
    """A step that is skipped beside two that complete."""
    good = step("work", work(dice))
    steps = (step("break", on_failure="skip"), good)
    last = step("work", work(dice), (good,))
    return partial(2, ErrorCode.STEP_SKIPPED, *steps, last)


def halted(dice: random.Random, _: Path) -> Draft:
    """A step that ends its plan while another runs for long."""
    first = step("work", work(dice))
    bad = step("break", after=(first,), on_failure="halt")
    return failure(1, HALTED, first, bad, step("work", LONG))


def nothing(dice: random.Random, _: Path) -> Draft:
    """Steps that are all skipped."""
    steps = [step("break", on_failure="skip") for _number in range(dice.randint(1, 3))]
    return failure(0, HALTED, *steps)


def unresolved(dice: random.Random, _: Path) -> Draft:
    """A step that waits for one that is skipped."""
    bad = step("break", on_failure="skip")
    codes = (ErrorCode.DEPENDENCY_UNRESOLVED,)
    return failure(0, codes, bad, step("work", work(dice), (bad,)))


def too_slow(dice: random.Random, _: Path) -> Draft:
    """A step that runs into its limit."""
    bad = step("work", LONG, timeout_ms=dice.randint(300, 1500))
    return failure(0, (ErrorCode.STEP_TIMEOUT,), bad)


def clinging(dice: random.Random, _: Path) -> Draft:
    """A step that runs into its limit, and ignores it."""
    bad = step("cling", timeout_ms=dice.randint(300, 1500))
    return failure(0, (ErrorCode.STEP_TIMEOUT,), bad)


def overdue(dice: random.Random, _: Path) -> Draft:
    """A plan that runs into its limit."""
    limit_ms = dice.randint(1000, 3000)
    draft = failure(0, LATE, step("work", LONG), timeout_ms=limit_ms)
    started_at = draft.submission["started_at"]
    draft.submission["deadline_ms"] = started_at + limit_ms + 500
    return draft


def unknown(dice: random.Random, _: Path) -> Draft:
    """A step that nobody can run."""
    return failure(0, (ErrorCode.ACTION_NOT_FOUND,), step("nobody-has-this"))


def refused(dice: random.Random, _: Path) -> Draft:
    """A plan without what it requires."""
    codes = (ErrorCode.CONTEXT_MISSING,)
    step_ = step("work", work(dice))
    return failure(0, codes, step_, context_requirements=["missing"])


def deadly(dice: random.Random, where: Path) -> Draft:
    """A step that kills its worker once."""
    died = {"died": str(where / new_id())}
    first = step("perish", died)
    return success(first, step("work", work(dice), (first,)))


def deadly_alone(dice: random.Random, _: Path) -> Draft:
    """A step that kills the process that its handler has to itself."""
    return failure(0, (ErrorCode.UNKNOWN_ERROR,), step("perish-alone"))


def hungry(dice: random.Random, _: Path) -> Draft:
    """A step that asks for more memory than its process may have."""
    return failure(0, (ErrorCode.RESOURCE_EXHAUSTED,), step("devour"))


def blocking(dice: random.Random, _: Path) -> Draft:
    """A step that holds up all others of its worker for a moment."""
    first = step("block", {"ms": dice.randint(100, 400)})
    return success(first, step("work", work(dice), (first,)))


def warned(dice: random.Random, _: Path) -> Draft:
    """A step that completes with warnings."""
    first = step("warn", {"count": dice.randint(1, 5)})
    return success(first, step("work", work(dice), (first,)))


def ahead(dice: random.Random, _: Path) -> Draft:
    """A plan from a machine whose clock is an hour ahead."""
    draft = success(step("work", work(dice)), step("work", work(dice)))
    draft.submission["started_at"] += HOUR_MS
    draft.submission["deadline_ms"] += HOUR_MS
    return draft


def behind(dice: random.Random, _: Path) -> Draft:
    """A plan from a machine whose clock is an hour behind: it is late already."""
    draft = failure(0, (ErrorCode.DEADLINE_EXCEEDED,), step("work", work(dice)))
    draft.submission["started_at"] -= HOUR_MS
    draft.submission["deadline_ms"] -= HOUR_MS
    return draft


def oversize(dice: random.Random, _: Path) -> Draft:
    """A submission that is larger than the limit, whose ids can be read."""
    draft = failure(0, (ErrorCode.RESOURCE_EXHAUSTED,), step("work", work(dice)))
    return draft._replace(padding=MAX_BYTES)
