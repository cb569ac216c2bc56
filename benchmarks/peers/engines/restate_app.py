"""Restate's side of the plans: an app that hypercorn serves.

With `run`, a step is an action journaled by the plan's own invocation (`ctx.run`); with
`calls`, it is a call to another service, an invocation of its own.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import restate
from restate import RunOptions, Service, Workflow

from benchmarks.peers import plans

OPTIONS = RunOptions(
    max_attempts=plans.STEP_ATTEMPTS,
    max_duration=timedelta(seconds=plans.STEP_TIMEOUT_S),
)
CALLS = os.environ.get("BENCH_CONFIG") == "calls"

service = Service("Steps")
workflow = Workflow("Plan")


async def step(payload: dict[str, Any]) -> dict[str, Any]:
    """Gives back what it was given."""
    return payload


async def join(payloads: list[Any]) -> dict[str, Any]:
    """Gives back the first of what it was given, and says how many there were."""
    return {"last": payloads[0], "count": len(payloads)}


@service.handler("step")
async def step_called(_ctx: restate.Context, payload: dict[str, Any]) -> dict[str, Any]:
    """Is a step of its own invocation."""
    return await step(payload)


@service.handler("join")
async def join_called(_ctx: restate.Context, payloads: list[Any]) -> dict[str, Any]:
    """Is a join of its own invocation."""
    return await join(payloads)


def _step(ctx: restate.WorkflowContext, payload: Any) -> Any:
    if CALLS:
        return ctx.service_call(step_called, payload)
    return ctx.run_typed("step", step, OPTIONS, payload=payload)


def _join(ctx: restate.WorkflowContext, payloads: list[Any]) -> Any:
    if CALLS:
        return ctx.service_call(join_called, payloads)
    return ctx.run_typed("join", join, OPTIONS, payloads=payloads)


@workflow.main(name="run")
async def run(ctx: restate.WorkflowContext, given: dict[str, Any]) -> dict[str, Any]:
    """Runs a plan of the shape that is asked for."""
    name, size = plans.kind(given["shape"])
    payload = given["payload"]
    if name == plans.CHAIN:
        for _ in range(size):
            payload = await _step(ctx, payload)
        return plans.result(size, payload)
    first = await _step(ctx, payload)
    side_by_side = await restate.gather(*[_step(ctx, first) for _ in range(size)])
    joined = await _join(ctx, [await each for each in side_by_side])
    return plans.result(1 + joined["count"] + 1, joined["last"])


app = restate.app([service, workflow])
