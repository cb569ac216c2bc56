"""When the limits of a plan and of its steps are due (R10, R31)."""

from __future__ import annotations

from typing import Final

from agents.core.terms import PlanTerms
from schemas.commands import Limit
from schemas.record import INT64_MAX

STEP_LIMIT_MARGIN_MS: Final = 1000
"""The step agent enforces its limit itself; ours is for agents that died or hang."""


def plan_limit(terms: PlanTerms, admitted_at: int) -> tuple[Limit, int]:
    """The limit that ends the plan, and when (Unix ms); DEADLINE at a tie (R31)."""
    timeout_at = admitted_at + terms.timeout_ms
    if timeout_at < terms.deadline_ms:
        return Limit.PLAN_TIMEOUT, timeout_at
    return Limit.DEADLINE, terms.deadline_ms


def step_limit(timeout_ms: int, elapsed_ms: int, now: int) -> int:
    """When an announced attempt is given up (Unix ms), not before `now`."""
    return due(now, timeout_ms - elapsed_ms + STEP_LIMIT_MARGIN_MS)


def due(now: int, delay_ms: int) -> int:
    """An instant `delay_ms` from `now` that a record can hold."""
    return min(now + max(delay_ms, 0), INT64_MAX)
