"""Temporal's side of the plans: activities, and a workflow that calls them."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from benchmarks.peers import plans

QUEUE = "bench"


@activity.defn
async def step(payload: dict[str, Any]) -> dict[str, Any]:
    """Gives back what it was given."""
    return payload


@activity.defn
async def join(payloads: list[Any]) -> dict[str, Any]:
    """Gives back the first of what it was given, and says how many there were."""
    return {"last": payloads[0], "count": len(payloads)}


async def _call(what: Any, argument: Any) -> Any:
    return await workflow.execute_activity(
        what,
        argument,
        start_to_close_timeout=timedelta(seconds=plans.STEP_TIMEOUT_S),
        retry_policy=RetryPolicy(maximum_attempts=plans.STEP_ATTEMPTS),
    )


@workflow.defn
class Plan:
    """A plan of any shape."""

    @workflow.run
    async def run(self, shape: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Runs it."""
        name, size = plans.kind(shape)
        if name == plans.CHAIN:
            for _ in range(size):
                payload = await _call(step, payload)
            return plans.result(size, payload)
        first = await _call(step, payload)
        side_by_side = await asyncio.gather(*[_call(step, first) for _ in range(size)])
        joined = await _call(join, side_by_side)
        return plans.result(1 + joined["count"] + 1, joined["last"])


async def work(address: str) -> None:
    """Serves the queue until it is ended."""
    client = await Client.connect(address)
    worker = Worker(client, task_queue=QUEUE, workflows=[Plan], activities=[step, join])
    print("worker ready", flush=True)
    await worker.run()


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
