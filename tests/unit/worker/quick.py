"""Handlers that are done at once, one way or another."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from agents import ActionError, StepContext
from agents.handlers import Registry

registry = Registry()
handler = registry.action


@handler("echo")
async def echo(step: StepContext, payload: dict[str, Any]) -> Any:
    return payload


@handler("sleep")
async def sleep(step: StepContext, payload: dict[str, Any]) -> Any:
    await asyncio.sleep(payload["seconds"])
    return payload


@handler("whoami")
async def whoami(step: StepContext) -> Any:
    return {
        "ids": [step.plan_id, step.execution_id, step.step_id],
        "attempt": step.attempt,
        "key": step.idempotency_key,
        "region": step.environment["region"],
        "user": [step.user_id, step.request_id, step.correlation_context],
        "remaining": step.remaining,
    }


@handler("return")
async def return_what(step: StepContext, payload: dict[str, Any]) -> Any:
    return {
        "nan": float("nan"),
        "bytes": b"x",
        "set": {1},
        "keys": {1: 2},
        "huge": 10**6000,
        "none": None,
        "tuple": (1, (2,)),
        "large": "x" * 300_000,
        "just-fits": "x" * (256 * 1024 - 2),
        "surrogate": "\ud800",
    }[payload["what"]]


@handler("raise")
async def raise_what(step: StepContext, payload: dict[str, Any]) -> Any:
    kinds: dict[str, BaseException] = {
        "action": ActionError("MINE", "because", context={"more": 1}),
        "fatal": ActionError("MINE", severity="fatal"),
        "value": ValueError("wrong"),
        "cancelled": asyncio.CancelledError(),
        "exit": SystemExit(1),
        "interrupt": KeyboardInterrupt(),
        "timeout": TimeoutError("its own"),
        "memory": MemoryError(),
        "generator": GeneratorExit(),
    }
    if payload["what"] == "reserved":
        raise ActionError("PLAN_TIMEOUT", "not mine to say")
    raise kinds[payload["what"]]


@handler("cancel-oneself")
async def cancel_oneself(step: StepContext) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(1)


@handler("warn")
async def warn(step: StepContext, payload: dict[str, Any]) -> None:
    for _ in range(payload["times"]):
        step.warn("LOW_STOCK", payload["message"])


@handler("mutate")
async def mutate(step: StepContext, payload: dict[str, Any]) -> Any:
    seen = json.dumps([payload, dict(step.environment)])
    payload["list"].append("mine")
    payload["new"] = 1
    step.environment["nested"]["list"].append("mine")
    return json.loads(seen)
