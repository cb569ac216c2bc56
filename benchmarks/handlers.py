"""The handler that the benchmarks run: it does nothing, at once."""

from __future__ import annotations

from typing import Any

from agents import StepContext, action


@action("noop")
async def noop(step: StepContext, payload: dict[str, Any]) -> dict[str, int]:  # noqa: ARG001 - a handler takes both
    """Answers without doing anything: what is left is what planstream costs."""
    return {"ok": 1}
