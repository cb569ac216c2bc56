"""Submissions for the broker tests: small, whole, valid until a test changes them."""

from __future__ import annotations

import time
import uuid
from typing import Any

MARGIN_MS = 60_000
ENVIRONMENT = {"where": "here"}


def now_ms() -> int:
    """This machine's time, Unix milliseconds."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """A canonical UUID version 4."""
    return str(uuid.uuid4())


def step(
    action: str = "echo",
    payload: dict[str, Any] | None = None,
    after: tuple[dict[str, Any], ...] = (),
    **members: Any,
) -> dict[str, Any]:
    """A step that depends on other steps."""
    return {
        "id": new_id(),
        "action": action,
        "payload": payload or {},
        "depends_on": [each["id"] for each in after],
        **members,
    }


def chain(length: int, action: str = "echo", **payload: Any) -> list[dict[str, Any]]:
    """Steps one after the other."""
    steps: list[dict[str, Any]] = []
    for _ in range(length):
        steps.append(step(action, payload, tuple(steps[-1:])))
    return steps


def diamond() -> list[dict[str, Any]]:
    """One step, two beside each other, one that waits for both."""
    first = step()
    left, right = step(after=(first,)), step(after=(first,))
    return [first, left, right, step(after=(left, right))]


def plan(*steps: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A plan with these steps, with a limit that no healthy test comes near."""
    return {
        "id": new_id(),
        "version": 1,
        "created_at": now_ms(),
        "name": "a test",
        "context_requirements": ["where"],
        "timeout_ms": 60_000,
        "steps": list(steps),
        **members,
    }


def submission(
    *steps: dict[str, Any], members: dict[str, Any] | None = None, **of_plan: Any
) -> dict[str, Any]:
    """A whole submission of a plan with these steps, as foreign producers write it."""
    made = plan(*steps, **of_plan)
    started_at = now_ms()
    timeout_ms = made["timeout_ms"]
    if not isinstance(timeout_ms, int):
        timeout_ms = MARGIN_MS
    return {
        "plan": made,
        "execution_id": new_id(),
        "started_at": started_at,
        "deadline_ms": started_at + timeout_ms + MARGIN_MS,
        "environment": dict(ENVIRONMENT),
        **(members or {}),
    }
