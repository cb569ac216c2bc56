"""planstream itself, through the client that its users have."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.peers import plans
from benchmarks.peers.engine import Running, pid_of
from benchmarks.shapes import parse
from benchmarks.system import installed, serving
from streams.client import PlanClient


@asynccontextmanager
async def running(config: str, folder: Path) -> AsyncIterator[Running]:
    """Starts a broker, a coordinator and a worker."""
    del config  # there is one, and it is planstream's default
    async with (
        installed(None, folder / "logs") as installation,
        serving(installation) as system,
        PlanClient(installation.settings) as client,
    ):

        async def execute(shape: str) -> Any:
            submitted = await client.submit(plan(shape), {"benchmark": "peers"})
            found = await client.result(submitted.plan_id, timeout=120)
            last = found.result_payload[
                submitted.steps[name_of(plans.steps(shape) - 1)]
            ]
            return plans.result(found.steps_executed, json.loads(last))

        coordinator, worker = map(pid_of, system.processes)
        broker = [installation.broker.pid] if installation.broker else []
        yield Running(
            execute,
            {"engine": [coordinator, *filter(None, broker)], "worker": [worker]},
            {"planstream": version("planstream"), "faust": version("faust-streaming")},
        )


def plan(shape: str) -> dict[str, Any]:
    """Writes a plan of a shape; its steps go by names."""
    return {
        "name": shape,
        "context_requirements": ["benchmark"],
        "timeout_ms": 600_000,
        "retry_policy": {"max_attempts": plans.STEP_ATTEMPTS, "backoff_ms": 1000},
        "steps": [
            {
                "id": name_of(number),
                "action": "echo",
                "payload": dict(plans.PAYLOAD),
                "depends_on": [name_of(each) for each in depends_on],
                "timeout_ms": 1000 * plans.STEP_TIMEOUT_S,
            }
            for number, depends_on in enumerate(parse(shape).depends_on)
        ],
    }


def name_of(number: int) -> str:
    """Names a step by its place."""
    return f"s{number}"
