"""The handler of recorded tasks: it takes as long as they took."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel, Field

from agents import StepContext, action


class Recorded(BaseModel):
    """What `wfplans` puts into a step's payload."""

    task: str
    runtime_ms: float = Field(ge=0, allow_inf_nan=False)


@action("simulate")
async def simulate(step: StepContext, payload: Recorded) -> dict[str, str]:  # noqa: ARG001 - every handler takes its step
    """Sleeps as long as the task ran, and says which one it was."""
    await asyncio.sleep(payload.runtime_ms / 1000)
    return {"task": payload.task}
