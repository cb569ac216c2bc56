"""Where the suite runs: a system of its own, or somebody's installation."""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from streams import bootstrap
from streams.config import DEFAULT_QUEUE, ENV_PREFIX, Settings
from streams.conformance.making import QUEUE, ROUTES
from streams.devkit.demo_screen import Screen
from streams.devkit.demo_system import Installation, Site, commands_of, site
from streams.devkit.demo_system import installation as _installation
from streams.devkit.lines import log_files
from streams.devkit.supervisor import Supervisor
from streams.exceptions import SettingsError

HANDLERS: Final = "streams.conformance.handlers"
READY_WITHIN_S: Final = 60.0
OWN_SETTINGS: Final[dict[str, Any]] = {
    "partitions": 6,
    "request_partitions": 6,
    "queues": (DEFAULT_QUEUE, QUEUE),
    "routes": dict(ROUTES),
    "session_timeout_ms": 6_000,
}


@contextlib.contextmanager
def own_site(settings: Settings, screen: Screen) -> Iterator[Site]:
    """Take the broker that the settings name, or start one, for a system of our own.

    Raises:
        BrokerNotStarted: It does not start, or cannot be fetched.
    """
    with site(settings, screen, "conformance", **OWN_SETTINGS) as place:
        yield place


@contextlib.asynccontextmanager
async def own_system(
    place: Site, screen: Screen, *, coordinators: int, workers: int
) -> AsyncIterator[Installation]:
    """Run a system of our own, whose processes are started again when they die."""
    members = [
        *[("coordinator",)] * coordinators,
        *[("worker", "--handlers", HANDLERS)] * workers,
    ]
    async with _installation(place, screen, members, give_up_after=None) as system:
        yield system


def require_routes(settings: Settings) -> None:
    """Check that an installation sends the suite's actions to queues of their own.

    Raises:
        SettingsError: It does not; the line to add is in the message.
    """
    if all(settings.routes.get(each) == queue for each, queue in ROUTES.items()):
        return
    routes = ", ".join(f'"{each}" = "{queue}"' for each, queue in ROUTES.items())
    told = "the suite's actions are not routed; all processes need, with other routes:"
    raise SettingsError([told, f"routes = {{ {routes} }}"])


@contextlib.asynccontextmanager
async def workers_of(settings: Settings, count: int) -> AsyncIterator[None]:
    """Run step workers of our own in somebody's installation, for our queue alone.

    Raises:
        NotReady: One does not start; its last lines are in the message.
        TopicsDoNotFit: The topics of the queues are missing.
    """
    await bootstrap.require(settings)
    ours = settings.model_copy(update={"queues": (QUEUE,)})
    members = [("worker", "--handlers", HANDLERS)] * count
    with tempfile.TemporaryDirectory(prefix="planstream-conformance-") as folder:
        sink = log_files(Path(folder) / "logs")
        async with Supervisor(sink=sink) as supervisor:
            for command in commands_of(ours, Path(folder), members):
                # With a slot of this folder it might be named as another of the host.
                name = {f"{ENV_PREFIX}NAME": f"{command.name}-{uuid.uuid4().hex[:6]}"}
                supervisor.start(replace(command, env={**command.env, **name}))
            await supervisor.wait_ready(READY_WITHIN_S)
            yield
