"""The handlers that the benchmarks run: one gives back what it is given, one waits."""

from __future__ import annotations

import asyncio
from typing import Any

from agents import StepContext, action


@action("doze")
async def doze(step: StepContext, payload: dict[str, Any]) -> dict[str, int]:  # noqa: ARG001 - a handler takes both
    """Sleeps for so many seconds, while others of its worker do nothing at once."""
    await asyncio.sleep(payload["seconds"])
    return {"ok": 1}


@action("echo")
async def echo(step: StepContext, payload: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - a handler takes both
    """Gives back what it was given, as on all engines that are compared."""
    return payload
