"""Handlers of the plans under chaos; each return value tells one run from another."""

from __future__ import annotations

import asyncio
import os
import resource
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from agents import ActionError, StepContext, action

CLING_S = 3.0
SPARE_BYTES, HUNGER_BYTES = 64 * 2**20, 512 * 2**20


def token(step: StepContext) -> str:
    """A text that no other run of any step returns."""
    return f"{step.step_id} {step.attempt} {uuid.uuid4()}"


def _is_first_time(mark: Path) -> bool:
    """Whether the mark was not there; it is now."""
    first = not mark.exists()
    mark.touch()
    return first


@action("work")
async def work(step: StepContext, payload: dict[str, Any]) -> str:
    """Take `ms` milliseconds."""
    await asyncio.sleep(payload["ms"] / 1000)
    return token(step)


@action("grind")
def grind(step: StepContext, payload: dict[str, Any]) -> str:
    """Hold a process for `ms` milliseconds."""
    time.sleep(payload["ms"] / 1000)
    return token(step)


@action("break")
async def break_(step: StepContext, payload: dict[str, Any]) -> str:
    """Fail."""
    raise ActionError("BROKEN", "as asked")


@action("falter")
async def falter(step: StepContext, payload: dict[str, Any]) -> str:
    """Fail until the attempt `succeeds_at`."""
    if step.attempt < payload["succeeds_at"]:
        raise ActionError("FLAKY", f"attempt {step.attempt} fails")
    return token(step)


@action("dawdle")
async def dawdle(step: StepContext, payload: dict[str, Any]) -> str:
    """Take a minute at the first attempt, no time later."""
    if step.attempt == 1:
        await asyncio.sleep(60)
    return token(step)


@action("cling")
async def cling(step: StepContext, payload: dict[str, Any]) -> str:
    """Run for three seconds, whoever cancels it."""
    until = time.monotonic() + CLING_S
    while (left := until - time.monotonic()) > 0:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(left)
    return token(step)


@action("perish")
async def perish(step: StepContext, payload: dict[str, Any]) -> str:
    """Take the worker down, unless that has happened before."""
    if _is_first_time(Path(payload["died"])):
        os._exit(9)
    return token(step)


@action("perish-alone")
def perish_alone(step: StepContext, payload: dict[str, Any]) -> str:
    """Take the process of this handler down."""
    os._exit(9)


@action("block")
async def block(step: StepContext, payload: dict[str, Any]) -> str:
    """Hold up the worker's loop for `ms` milliseconds."""
    time.sleep(payload["ms"] / 1000)  # noqa: ASYNC251 - the fault that is meant
    return token(step)


@action("warn")
async def warn(step: StepContext, payload: dict[str, Any]) -> str:
    """Warn `count` times."""
    for number in range(payload["count"]):
        step.warn("LOW", f"warning {number}")
    return token(step)


@action("devour")
def devour(step: StepContext, payload: dict[str, Any]) -> str:
    """Ask for more memory than this process may have for the moment."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + SPARE_BYTES, hard))
    try:
        return f"{token(step)} {len(bytearray(HUNGER_BYTES))}"
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
