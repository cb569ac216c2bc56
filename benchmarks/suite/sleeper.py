"""What one slow handler does to the fast ones of its worker."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

from benchmarks.figures import Figures
from benchmarks.presenting import NothingMeasured
from benchmarks.scenarios import Scenario
from benchmarks.shapes import chain
from benchmarks.submissions import LIFETIME_MS, Template, Terms
from benchmarks.suite.session import Session
from schemas.results import Status
from streams.client import PlanClient

FAST = chain(3)
IN_FLIGHT = 100
ALONE = 0.5
"""Part of the sleeper's time for which the fast ones are measured without it, twice."""


async def measure(session: Session) -> tuple[dict[str, float], list[Figures]]:
    """Measures fast plans before, beside, and after one step that sleeps."""
    sleep_s = session.scale.sleep_s
    before = await _fast(session, sleep_s * ALONE)
    now_ms = time.time_ns() // 1_000_000
    slow = Template.of(chain(1), now_ms, terms=terms(sleep_s)).make()
    session.load.tracker.strangers.add(slow.plan_id)
    async with PlanClient(session.system.settings) as client:
        await client.submit_bytes(slow.value)
        beside = await _fast(session, sleep_s - session.scale.pace.warm_up_s)
        result = await client.result(slow.plan_id.decode(), sleep_s)
    if result.status is not Status.SUCCESS:
        raise NothingMeasured(f"the sleeping plan ended with {result.status}")
    after = await _fast(session, sleep_s * ALONE)
    alone_ms = statistics.fmean(each.latency_ms.p99 for each in (before, after))
    ratio = beside.latency_ms.p99 / alone_ms
    session.say(f"  beside a step that sleeps {sleep_s:g} s: p99 × {ratio:.2f}")
    return {"p99 beside a sleeper": ratio}, [before, beside, after]


def terms(sleep_s: float) -> Terms:
    """What the slow step asks for: it may take as long as it does, and its plan too."""
    step_timeout_ms = int(2000 * sleep_s)
    return Terms(
        action="doze",
        payload=f'{{"seconds":{sleep_s}}}',
        step_timeout_ms=step_timeout_ms,
        timeout_ms=2 * step_timeout_ms,
        lifetime_ms=LIFETIME_MS + 2 * step_timeout_ms,
    )


async def _fast(session: Session, seconds: float) -> Figures:
    pace = replace(session.scale.pace, duration_s=seconds)
    return await session.load.measure(Scenario(FAST, IN_FLIGHT, pace))
