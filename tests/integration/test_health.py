"""Live and ready, as a probe sees them: by port, by file, by command."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from streams import bootstrap
from streams.devkit.kafka import EmbeddedKafka
from streams.devkit.ports import free_ports
from tests.integration.freezing import frozen
from tests.integration.survival import ENVIRONMENT, HANDLERS, chain, ids, plan
from tests.integration.system import ROOT, System, eventually

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(180)]

READY_MS = 3000
"""How long a process may get nothing done and still count as ready."""


@dataclass(frozen=True)
class Probed:
    """A coordinator that is asked by its port, and a worker by its file."""

    system: System
    port: int
    file: Path

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Ask the coordinator."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    async def until(self, path: str, status: int) -> dict[str, Any]:
        """Ask the coordinator until it answers so; what it says then."""
        _, report = await eventually(
            lambda: asyncio.to_thread(self.get, path), lambda said: said[0] == status
        )
        return report

    async def worker(self) -> dict[str, Any]:
        """What the worker's file says."""
        report: dict[str, Any] = json.loads(
            await asyncio.to_thread(self.file.read_text, "utf-8")
        )
        return report

    def command(self, *options: str, file: Path | None = None) -> tuple[int, str]:
        """Run `planstream health` with the settings of one of them."""
        where = {"PLANSTREAM_HEALTH_PORT": str(self.port)}
        if file is not None:
            where = {"PLANSTREAM_HEALTH_FILE": str(file)}
        done = subprocess.run(
            [sys.executable, "-m", "streams", "health", *options],
            env={**os.environ, "PYTHONPATH": str(ROOT), **where},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stderr


@asynccontextmanager
async def probed(
    broker: EmbeddedKafka, prefix: str, directory: Path
) -> AsyncIterator[Probed]:
    (port,) = free_ports(1)
    file = directory / "worker.json"
    system = System(
        broker.bootstrap, prefix, directory, partitions=2, ready_timeout_ms=READY_MS
    )
    await bootstrap.create(system.settings)
    coordinator = system.coordinator(environment={"PLANSTREAM_HEALTH_PORT": str(port)})
    worker = system.worker(HANDLERS, environment={"PLANSTREAM_HEALTH_FILE": str(file)})
    try:
        await asyncio.gather(coordinator.start(), worker.start())
        yield Probed(system, port, file)
    finally:
        await system.stop()


def test_who_is_caught_up_is_ready(
    broker: EmbeddedKafka, topic_prefix: str, tmp_path: Path
) -> None:
    """Before, during and after work; each source is told by its name."""

    async def scenario() -> None:
        async with probed(broker, topic_prefix, tmp_path) as each:
            report = await each.until("/ready", HTTPStatus.OK)
            plans = each.system.topics.plans.name
            names = {source["name"] for source in report["sources"]}
            assert {f"{plans}/{number}" for number in range(2)} <= names
            async with each.system.client() as client:
                done = await client.submit(chain(3, 50), ENVIRONMENT)
                await client.result(done.plan_id, 30)
            await each.until("/ready", HTTPStatus.OK)
            assert await asyncio.to_thread(each.command) == (0, "")
            with_file = await asyncio.to_thread(each.command, "--live", file=each.file)
            assert with_file == (0, "")
            report = await each.worker()
            assert (report["live"], report["ready"]) == (True, True)

    asyncio.run(scenario())


def test_without_a_broker_it_is_live_and_not_ready(
    broker: EmbeddedKafka, topic_prefix: str, tmp_path: Path
) -> None:
    """To start it again would be no help; when the broker is back it is ready."""

    async def scenario() -> None:
        async with probed(broker, topic_prefix, tmp_path) as each:
            await each.until("/ready", HTTPStatus.OK)
            with frozen(broker):
                report = await each.until("/ready", HTTPStatus.SERVICE_UNAVAILABLE)
                assert any("no broker has answered" in why for why in report["reasons"])
                assert each.get("/live")[0] == HTTPStatus.OK
                code, said = await asyncio.to_thread(each.command)
                assert code == 1
                assert "no broker has answered" in said
            await each.until("/ready", HTTPStatus.OK)

    asyncio.run(scenario())


def test_a_handler_that_blocks_makes_a_file_stale(
    broker: EmbeddedKafka, topic_prefix: str, tmp_path: Path
) -> None:
    """Nobody writes it any longer: that says more than what it says."""
    blocking = plan([(ids(1)[0], "freeze", {"ms": 14_000}, [])])

    async def scenario() -> None:
        async with probed(broker, topic_prefix, tmp_path) as each:
            async with each.system.client(results=False) as client:
                await client.submit(blocking, ENVIRONMENT)

            async def verdict() -> tuple[int, str]:
                return await asyncio.to_thread(each.command, "--live", file=each.file)

            code, said = await eventually(verdict, lambda answer: answer[0] != 0)
            assert code == 1
            assert "was written" in said
            await eventually(verdict, lambda answer: answer[0] == 0)

    asyncio.run(scenario())
