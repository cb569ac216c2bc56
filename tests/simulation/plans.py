"""The plans of a simulated load, and how each of them may end."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from agents import ActionError, StepContext
from agents.handlers import Registry
from schemas.errors import ErrorCode
from schemas.results import Status

LIMIT_MS = 900_000
"""Of plans that must end by themselves."""
Step = dict[str, Any]
Recipe = Callable[["Maker"], tuple[dict[str, Any], tuple[Status, ...]]]


@dataclass(frozen=True)
class Made:
    """A submission, and the statuses that it may end in."""

    kind: str
    plan_id: str
    steps: list[Step]
    value: bytes
    may_end: tuple[Status, ...]
    timeout_ms: int


class Maker:
    """Makes plans, always the same ones of a seed."""

    def __init__(self, dice: random.Random, now: Callable[[], int]) -> None:
        self.dice = dice
        self.now = now

    def new_id(self) -> str:
        return str(uuid.UUID(bytes=self.dice.randbytes(16), version=4))

    def step(self, action: str, *after: Step, **fields: Any) -> Step:
        payload = fields.pop("payload", {"ms": self.dice.choice((0, 20, 300, 2000))})
        needed = [each["id"] for each in after]
        made = {"id": self.new_id(), "action": action, "payload": payload}
        return {**made, "depends_on": needed, **fields}

    def plan(self, *steps: Step, **fields: Any) -> dict[str, Any]:
        return {
            "id": self.new_id(),
            "version": 1,
            "created_at": self.now(),
            "name": "simulated",
            "context_requirements": ["where"],
            "timeout_ms": LIMIT_MS,
            "steps": list(steps),
            **fields,
        }

    def submission(self, plan: dict[str, Any]) -> dict[str, Any]:
        return {
            "plan": plan,
            "execution_id": self.new_id(),
            "started_at": self.now(),
            "deadline_ms": self.now() + 2 * LIMIT_MS,
            "environment": {"where": "here"},
        }

    def make(self, recipes: Sequence[Recipe]) -> Made:
        recipe = self.dice.choice(recipes)
        plan, may_end = recipe(self)
        value = json.dumps(self.submission(plan)).encode()
        name, limit = recipe.__name__, plan["timeout_ms"]
        return Made(name, plan["id"], plan["steps"], value, may_end, limit)


def _retry(attempts: int, *codes: str) -> dict[str, Any]:
    return {
        "max_attempts": attempts,
        "backoff_ms": 400,
        "retryable_error_codes": list(codes),
    }


def chain(make: Maker) -> tuple[dict[str, Any], tuple[Status, ...]]:
    """Steps one after the other."""
    steps: list[Step] = []
    for _ in range(make.dice.randint(2, 4)):
        steps.append(make.step("work", *steps[-1:]))
    return make.plan(*steps), (Status.SUCCESS,)


def fan(make: Maker) -> tuple[dict[str, Any], tuple[Status, ...]]:
    """One step, several beside each other, one that waits for them."""
    first = make.step("work")
    middle = [make.step("work", first) for _ in range(make.dice.randint(2, 4))]
    return make.plan(first, *middle, make.step("work", *middle)), (Status.SUCCESS,)


def flaky(make: Maker) -> tuple[dict[str, Any], tuple[Status, ...]]:
    """A step that succeeds at a later attempt, and one that waits for it."""
    first = make.step("falter", on_failure="retry", payload={"at": 3})
    made = make.plan(first, make.step("work", first), retry_policy=_retry(4, "FLAKY"))
    return made, (Status.SUCCESS,)


def late_once(make: Maker) -> tuple[dict[str, Any], tuple[Status, ...]]:
    """A step that runs into its limit, and is quicker at the next attempt."""
    late = make.step("dawdle", on_failure="retry", timeout_ms=1500)
    made = make.plan(late, retry_policy=_retry(40, ErrorCode.STEP_TIMEOUT))
    return made, (Status.SUCCESS,)


def skipped(make: Maker) -> tuple[dict[str, Any], tuple[Status, ...]]:
    """A step that is skipped beside one that completes."""
    bad = make.step("break", on_failure="skip")
    return make.plan(bad, make.step("work")), (Status.PARTIAL,)


def exhausted(make: Maker) -> tuple[dict[str, Any], tuple[Status, ...]]:
    """A step whose attempts all fail beside one that completes."""
    bad = make.step("break", on_failure="retry")
    made = make.plan(bad, make.step("work"), retry_policy=_retry(3, "BROKEN"))
    return made, (Status.PARTIAL,)


def halted(make: Maker) -> tuple[dict[str, Any], tuple[Status, ...]]:
    """A step that ends its plan while another runs for long."""
    first = make.step("work")
    bad = make.step("break", first, on_failure="halt")
    long = make.step("work", payload={"ms": 700_000})
    return make.plan(first, bad, long), (Status.FAILURE,)


def overdue(make: Maker) -> tuple[dict[str, Any], tuple[Status, ...]]:
    """A plan that runs into its limit."""
    long = make.step("work", payload={"ms": 700_000})
    return make.plan(long, timeout_ms=4000), (Status.FAILURE,)


def tight(make: Maker) -> tuple[dict[str, Any], tuple[Status, ...]]:
    """A plan that ends in time unless something is in its way."""
    made = make.plan(make.step("work", payload={"ms": 200}), timeout_ms=3000)
    return made, (Status.SUCCESS, Status.FAILURE)


def nested(make: Maker) -> tuple[dict[str, Any], tuple[Status, ...]]:
    """A step that runs another plan, and one that waits for it."""
    child = make.plan(make.step("work"))
    payload = {"plan": child, "environment": {"where": "there"}}
    first = make.step("execute_plan", payload=payload)
    return make.plan(first, make.step("work", first)), (Status.SUCCESS,)


def refused(make: Maker) -> tuple[dict[str, Any], tuple[Status, ...]]:
    """A plan without what it requires."""
    made = make.plan(make.step("work"), context_requirements=["missing"])
    return made, (Status.FAILURE,)


RECIPES: tuple[Recipe, ...] = (
    *(chain, fan, fan, flaky, late_once, skipped, exhausted),
    *(halted, overdue, tight, tight, nested, refused),
)
RETRIED: tuple[Recipe, ...] = (flaky, flaky, late_once, exhausted, chain, nested)


@dataclass(slots=True)
class Ran:
    """A handler's run: when, in virtual seconds, and for whom."""

    plan_id: str
    step_id: str
    attempt: int
    process: Any
    began: float
    ended: float | None = None


def registry(runs: list[Ran], process: Any) -> Registry:
    """The handlers of one worker; they note that they ran."""
    loop, made = process.loop, Registry()

    async def noted(step: StepContext, seconds: float) -> dict[str, Any]:
        ran = Ran(step.plan_id, step.step_id, step.attempt, process, loop.time())
        runs.append(ran)
        assert dict(step.environment) in ({"where": "here"}, {"where": "there"})
        try:
            await asyncio.sleep(seconds)
        finally:
            ran.ended = loop.time()
        return {"of": step.step_id, "attempt": step.attempt}

    async def work(step: StepContext, payload: dict[str, int]) -> dict[str, Any]:
        return await noted(step, payload["ms"] / 1000)

    async def falter(step: StepContext, payload: dict[str, int]) -> dict[str, Any]:
        done = await noted(step, 0.01)
        if step.attempt < payload["at"]:
            raise ActionError("FLAKY", "not yet")
        return done

    async def dawdle(step: StepContext) -> dict[str, Any]:
        return await noted(step, 600 if step.attempt == 1 else 0.3)

    async def fail(step: StepContext) -> None:
        await noted(step, 0.02)
        raise ActionError("BROKEN", "for ever")

    handlers: dict[str, Callable[..., Any]] = {
        "work": work,
        "falter": falter,
        "dawdle": dawdle,
        "break": fail,
    }
    for name, function in handlers.items():
        made.add(name, function)
    return made
