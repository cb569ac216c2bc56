"""The contract on a running system: every case, twice, the second time under a kill."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from streams.cli import app
from streams.config import Settings
from streams.conformance.report import show, sums
from streams.conformance.running import Suite, Verdict
from streams.conformance.suite.all import cases_of
from streams.conformance.system import own_site, own_system
from streams.devkit.demo_screen import Screen
from streams.devkit.demo_system import Installation
from tests.conftest import Broker

PATIENCE_S = 120.0
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Running:
    """A system of three coordinators and three workers, on a loop of its own."""

    def __init__(self, runner: asyncio.Runner, system: Installation) -> None:
        self.runner = runner
        self.system = system

    def verdicts(self, *, killing: bool = False) -> list[Verdict]:
        """Run all cases; kill a worker in the middle of them, if wanted."""

        async def scenario() -> list[Verdict]:
            settings = self.system.settings
            async with Suite(settings, PATIENCE_S) as suite:
                cases = cases_of(settings)
                return await suite.run(cases, self.kill if killing else None)

        return self.runner.run(scenario())

    async def kill(self) -> None:
        """End a worker by SIGKILL; its supervisor starts it again."""
        worker = next(
            each for each in self.system.processes if each.name.startswith("worker")
        )
        starts = worker.starts
        worker.kill()
        await worker.wait_start(starts + 1, 60)


@pytest.fixture(scope="module")
def running(kafka: Broker) -> Iterator[Running]:
    settings = Settings.load(broker=kafka.bootstrap, prefix="test-")
    screen = Screen(Console(quiet=True))
    with own_site(settings, screen) as place, asyncio.Runner() as runner:
        system: Any = own_system(place, screen, coordinators=3, workers=3)
        entered = runner.run(system.__aenter__())
        try:
            yield Running(runner, entered)
        finally:
            runner.run(system.__aexit__(None, None, None))


def check(verdicts: list[Verdict]) -> None:
    """Fail with all that is wrong, if anything is."""
    if not all(each.has_passed for each in verdicts):
        told = StringIO()
        show(verdicts, Console(file=told, width=200))
        pytest.fail(told.getvalue())
    assert len(verdicts) > 500
    assert sums(verdicts) == f"{len(verdicts)} passed, 0 failed"


def test_every_case_passes(running: Running) -> None:
    """All rules that show on the wire, on three coordinators and three workers."""
    check(running.verdicts())


def test_every_case_passes_while_a_worker_is_killed(running: Running) -> None:
    """R15, R29: once more, new plans, one worker killed while half of them run."""
    check(running.verdicts(killing=True))


def test_an_installation_is_checked_as_users_do(running: Running) -> None:
    """The command, on a running installation, with a worker for its own queue."""
    settings = running.system.settings
    routes = ",".join("=".join(pair) for pair in settings.routes.items())
    environment = {
        "PLANSTREAM_BROKER": settings.broker,
        "PLANSTREAM_PREFIX": settings.prefix,
        "PLANSTREAM_PARTITIONS": str(settings.partitions),
        "PLANSTREAM_SESSION_TIMEOUT_MS": "6000",
    }
    command = ["conformance", "--rule", "R14", "--rule", "§5.2", "--workers", "1"]
    refused = CliRunner().invoke(app, command, env=environment)
    assert refused.exit_code == 2
    assert "routes = {" in refused.stderr

    done = CliRunner().invoke(
        app, command, env=environment | {"PLANSTREAM_ROUTES": routes}
    )
    assert done.exit_code == 0, done.output
    assert " passed, 0 failed" in done.stdout.splitlines()[-1]
    assert "R14" in done.stdout
