"""Plans in plans: children that succeed, fail, or are left by their parents."""

from __future__ import annotations

import random
from pathlib import Path

from schemas.errors import ErrorCode
from schemas.results import Status
from tests.chaos.made import Draft, Ending, Plan, Step
from tests.chaos.plans import HALTED, LATE, LONG, PATIENCE_MS, failure, success, work
from tests.integration.plans import ENVIRONMENT, plan, step

ABANDONED_MS = 60_000
"""The limit of a parent that ends before its child, and so of what is remembered of it
should the child never come."""


def nested(dice: random.Random, _: Path) -> Draft:
    """A plan in a plan, now and then one level deeper."""
    inner, children = _child(dice), []
    for _level in range(dice.choice((1, 1, 1, 2))):
        children.append((inner, Ending(Status.SUCCESS, len(inner["steps"]))))
        first = step("work", work(dice))
        inner = _plan(first, _execute(inner, (first,)))
    steps = inner["steps"]
    return success(*steps)._replace(children=tuple(children))


def failing_child(dice: random.Random, _: Path) -> Draft:
    """A child that fails, and a parent that is halted by it."""
    child = _plan(step("break"))
    draft = failure(
        1, HALTED, good := step("work", work(dice)), _execute(child, (good,))
    )
    return draft._replace(children=((child, Ending(Status.FAILURE, 0, HALTED)),))


def skipped_child(dice: random.Random, _: Path) -> Draft:
    """A child that is refused, and a parent that goes on without it."""
    child = _plan(step("work", work(dice)), context_requirements=["missing"])
    ending = Ending(Status.FAILURE, 0, (ErrorCode.CONTEXT_MISSING,))
    skipped = _execute(child, (), on_failure="skip")
    draft = success(step("work", work(dice)), skipped)
    mine = Ending(Status.PARTIAL, 1, (ErrorCode.STEP_SKIPPED,))
    return draft._replace(ending=mine, children=((child, ending),))


def abandoned(dice: random.Random, _: Path) -> Draft:
    """A parent that is halted while its child runs, or is about to."""
    child = _plan(step("work", LONG))
    first = step("work", {"ms": dice.randint(0, 1000)})
    halting = step("break", after=(first,))
    codes = (*HALTED, *LATE)
    draft = failure(
        *(None, codes, first, halting, _execute(child)), timeout_ms=ABANDONED_MS
    )
    draft.submission["deadline_ms"] = draft.submission["started_at"] + ABANDONED_MS
    ending = Ending(Status.FAILURE, 0, codes)
    return draft._replace(children=((child, ending),))


def _child(dice: random.Random) -> Plan:
    first = step("work", work(dice))
    return _plan(first, step("work", work(dice), (first,)))


def _plan(*steps: Step, **members: object) -> Plan:
    return plan(*steps, **{"timeout_ms": PATIENCE_MS, **members})


def _execute(child: Plan, after: tuple[Step, ...] = (), **members: str) -> Step:
    payload = {"plan": child, "environment": dict(ENVIRONMENT)}
    return step("execute_plan", payload, after, **members)
