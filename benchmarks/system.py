"""The system that is measured: a broker, coordinators, step workers."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.presenting import NothingMeasured
from benchmarks.processes import Usage, usages
from streams import bootstrap
from streams.config import ENV_PREFIX, Settings
from streams.devkit.kafka import EmbeddedKafka
from streams.devkit.lines import Sink, log_files
from streams.devkit.supervisor import Command, Supervised, Supervisor

ROOT = Path(__file__).parent.parent
"""Where `streams` and `benchmarks` are found."""
READY_WITHIN_S = 60.0
COMBINED = "combined"
OURS = ("coordinator", "worker", COMBINED)
"""Processes of planstream."""
HANDLERS = ("benchmarks.handlers", "examples.wfcommons.handlers")


class Died(NothingMeasured):
    """A process of the system has ended while it was being measured."""


@dataclass(frozen=True)
class Installation:
    """Topics on a broker, whoever serves them."""

    settings: Settings
    given: Mapping[str, Any]
    """The settings that are not as by default."""
    broker: EmbeddedKafka | None
    """None when the broker is somebody else's."""
    logs: Path
    combined: bool = False
    """Whether coordinators and workers share processes."""

    def environment(self, **more: Any) -> dict[str, str]:
        """Gives processes the settings, and further ones."""
        return variables({**self.given, **more})


@dataclass(frozen=True)
class System:
    """What is running."""

    settings: Settings
    processes: tuple[Supervised, ...]
    broker: EmbeddedKafka | None
    """None when the broker is somebody else's."""

    def usages(self) -> dict[str, Usage]:
        """Measures all processes, this one as the driver."""
        return usages(self.pids())

    def check(self) -> None:
        """Raises Died when one of the processes has ended."""
        for each in self.processes:
            if each.exits:
                raise Died(f"{each.name} has ended with {each.exits[0].code}")
        if self.broker is not None and not self.broker.is_running:
            raise Died("the broker has ended")

    def last_words(self) -> str:
        """Gives the last lines of each process."""
        return "\n".join(
            f"{each.name} | {line}" for each in self.processes for line in each.tail
        )

    def pids(self) -> dict[str, int]:
        """Gives the ids of all processes, this one as the driver."""
        self.check()
        pids = {each.name: each.pid for each in self.processes}
        pids["broker"] = self.broker.pid if self.broker else None
        pids["driver"] = os.getpid()
        return {name: pid for name, pid in pids.items() if pid is not None}


def variables(settings: Mapping[str, Any]) -> dict[str, str]:
    """Writes settings as a process finds them in its environment; None is none."""
    return {
        ENV_PREFIX + name.upper(): str(value)
        for name, value in settings.items()
        if value is not None
    }


@asynccontextmanager
async def installed(
    broker: str | None, logs: Path | None = None, *, combined: bool = False, **more: Any
) -> AsyncIterator[Installation]:
    """Makes topics, on a broker of its own if none is given.

    Args:
        broker: The address of a broker that is there already.
        logs: Where the processes' output goes; nowhere when None.
        combined: Whether coordinators and workers are to share processes.
        **more: Settings; None is the default.
    """
    async with embedded_unless(broker) as embedded:
        with tempfile.TemporaryDirectory(prefix="planstream-bench-") as folder:
            given = {
                "broker": broker if embedded is None else embedded.bootstrap,
                "prefix": f"bench-{uuid.uuid4().hex[:8]}.",
                "data_dir": folder,
                **more,
            }
            settings = Settings.load(**given)
            await bootstrap.create(settings)
            await bootstrap.require(settings)
            logs = logs or Path(folder) / "logs"
            yield Installation(settings, given, embedded, logs, combined)


@asynccontextmanager
async def embedded_unless(given: str | None) -> AsyncIterator[EmbeddedKafka | None]:
    """Runs an embedded broker, if none is given."""
    if given is not None:
        yield None
        return
    broker = EmbeddedKafka()
    try:
        await asyncio.to_thread(broker.start)
        yield broker
    finally:
        await asyncio.to_thread(broker.close)


@asynccontextmanager
async def serving(
    installation: Installation,
    hear: Sink | None = None,
    *,
    coordinators: int = 1,
    workers: int = 1,
) -> AsyncIterator[System]:
    """Runs coordinators and workers, one of each unless more are wanted.

    Args:
        installation: What they serve, and whether they share processes.
        hear: Is given each line that they say.
        coordinators: How many, or how many processes that are both.
        workers: How many; as many as coordinators where these are both.
    """
    write = log_files(installation.logs)

    def sink(name: str, line: str) -> None:
        write(name, line)
        if hear is not None:
            hear(name, line)

    env = installation.environment()
    async with Supervisor(sink=sink, give_up_after=1) as supervisor:
        commands = (
            crew(COMBINED, coordinators, env, *handlers())
            if installation.combined
            else [
                *crew("coordinator", coordinators, env),
                *crew("worker", workers, env, *handlers()),
            ]
        )
        processes = tuple(supervisor.start(each) for each in commands)
        await supervisor.wait_ready(READY_WITHIN_S)
        yield System(installation.settings, processes, installation.broker)


def handlers() -> list[str]:
    """Gives the options with which a worker finds all handlers."""
    return [part for module in HANDLERS for part in ("--handlers", module)]


def crew(
    role: str, count: int, env: Mapping[str, str], *arguments: str
) -> list[Command]:
    """Makes the commands of so many processes of a role; one alone has its name."""
    if count == 1:
        return [command(role, env, *arguments)]
    return [
        command(role, env, "--name", str(number), *arguments, name=f"{role}-{number}")
        for number in range(count)
    ]


def command(
    role: str, env: Mapping[str, str], *arguments: str, name: str | None = None
) -> Command:
    """Makes the command of a coordinator or a worker; its name is its role's."""
    argv = (sys.executable, "-m", "streams", role, *arguments)
    return Command(name or role, argv, env, cwd=ROOT, ready=f"{role} ready")
