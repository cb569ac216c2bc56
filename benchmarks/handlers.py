"""The handlers that the benchmarks run: they do next to nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from agents import StepContext, action


@action("blob")
async def blob(step: StepContext, payload: dict[str, Any]) -> str:  # noqa: ARG001 - a handler takes both
    """Gives a text of so many characters."""
    return "x" * int(payload["characters"])


@action("doze")
async def doze(step: StepContext, payload: dict[str, Any]) -> dict[str, int]:  # noqa: ARG001 - a handler takes both
    """Sleeps for so many seconds, while others of its worker do nothing at once."""
    await asyncio.sleep(payload["seconds"])
    return {"ok": 1}


@action("echo")
async def echo(step: StepContext, payload: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - a handler takes both
    """Gives back what it was given, as on all engines that are compared."""
    return payload


@action("measure")
async def measure(step: StepContext, payload: dict[str, Any]) -> int:
    """Says how long a text of the environment is."""
    return len(step.environment[payload["name"]])
