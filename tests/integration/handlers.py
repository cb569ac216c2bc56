"""Handlers that the broker tests' plans ask for."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from agents import ActionError, StepContext, action


@action("echo")
async def echo(step: StepContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Return what it was given, and who it is."""
    return {"payload": payload, "step": step.step_id, "attempt": step.attempt}


@action("sleep")
async def sleep(step: StepContext, payload: dict[str, Any]) -> int:
    """Take `ms` milliseconds."""
    await asyncio.sleep(payload["ms"] / 1000)
    return int(payload["ms"])


@action("simulate")
async def simulate(step: StepContext, payload: dict[str, Any]) -> None:
    """Take as long as the recorded task did, scaled."""
    await asyncio.sleep(payload["runtime_ms"] / 1000)


@action("fail")
async def fail(step: StepContext, payload: dict[str, Any]) -> None:
    """Fail with `code`."""
    raise ActionError(
        payload.get("code", "BROKEN"),
        payload.get("message", "as asked"),
        severity=payload.get("severity", "error"),
    )


@action("flaky")
async def flaky(step: StepContext, payload: dict[str, Any]) -> int:
    """Fail until the attempt `succeeds_at`."""
    if step.attempt < payload["succeeds_at"]:
        raise ActionError("FLAKY", f"attempt {step.attempt} fails")
    return step.attempt


@action("warn")
async def warn(step: StepContext, payload: dict[str, Any]) -> None:
    """Warn, and complete."""
    step.warn("SLOW", "took its time")


@action("environment")
async def environment(step: StepContext, payload: dict[str, Any]) -> Any:
    """Return the environment value of `name`."""
    return step.environment[payload["name"]]


@action("block")
def block(step: StepContext, payload: dict[str, Any]) -> int:
    """Hold a process for `ms` milliseconds."""
    time.sleep(payload["ms"] / 1000)
    return os.getpid()


@action("die")
async def die(step: StepContext, payload: dict[str, Any]) -> None:
    """Take the whole worker down."""
    os._exit(9)
