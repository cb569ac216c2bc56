"""How near recorded workflows come to a dispatch that costs nothing."""

from __future__ import annotations

import json
import time
from pathlib import Path

from benchmarks.presenting import NothingMeasured
from benchmarks.suite.session import Session
from examples.wfcommons import wfplans
from examples.wfcommons.wfplans import Instance, bound, load, submission
from schemas.results import Status
from streams.client import PlanClient

INSTANCES = sorted((Path(wfplans.__file__).parent / "instances").glob("*.json"))
TIMEOUT_S = 120.0


async def measure(session: Session) -> dict[str, float]:
    """Runs each instance by itself; the worst of them is what counts."""
    found = {}
    async with PlanClient(session.system.settings) as client:
        for path in INSTANCES:
            instance = load(path)
            took_ms, bound_ms = await _run(session, client, instance)
            found[f"recorded {instance.name}"] = took_ms / bound_ms
            session.say(f"  {instance.name}: {took_ms:.0f} ms, bound {bound_ms:.0f} ms")
    return {**found, "worst recorded": max(found.values())}


async def _run(
    session: Session, client: PlanClient, instance: Instance
) -> tuple[float, float]:
    """Gives the time from the submission's send to the result's arrival, and the bound.

    The submission is encoded before: what a caller spends on that is no makespan.
    """
    speedup = bound(instance, 1, 1).critical_path_ms / session.scale.critical_path_ms
    made = submission(instance, speedup)
    plan_id = made["plan"]["id"]
    session.load.tracker.strangers.add(plan_id.encode())
    value = json.dumps(made).encode()
    began = time.perf_counter()
    await client.submit_bytes(value)
    result = await client.result(plan_id, TIMEOUT_S)
    took_ms = 1000 * (time.perf_counter() - began)
    if result.status is not Status.SUCCESS:
        raise NothingMeasured(f"{instance.name} ended with {result.status}")
    slots = session.system.settings.concurrency
    return took_ms, bound(instance, slots, speedup).greedy_ms
