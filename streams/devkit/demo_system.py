"""What the demo starts, and stops again: a broker, coordinators, step workers."""

import asyncio
import contextlib
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka.errors import NoError, UnknownTopicOrPartitionError, for_code

from streams import bootstrap
from streams.broker import admin
from streams.cli_output import complain
from streams.config import DEFAULT_QUEUE, ENV_PREFIX, Settings
from streams.devkit.demo_screen import Screen
from streams.devkit.lines import log_files
from streams.devkit.server_properties import KAFKA_VERSION
from streams.devkit.supervisor import Command, Supervised, Supervisor
from streams.exceptions import BrokerNotStarted, BrokerUnreachable
from streams.topics import Topics

HANDLERS = "streams.devkit.demo_handlers"
PARTITIONS = 4
READY_WITHIN_S = 60.0
DEMO_SETTINGS: dict[str, Any] = {
    "partitions": PARTITIONS,
    "request_partitions": PARTITIONS,
    "queues": (DEFAULT_QUEUE,),
    "routes": {},
}
GONE = (NoError.errno, UnknownTopicOrPartitionError.errno)
"""What the broker says of a topic that it has deleted, or that was never created."""
WATCH_EVERY_S = 0.2


class Died(Exception):
    """A process has ended that was to run until the demo ends."""

    def __init__(self, process: Supervised) -> None:
        """Take the process; its last lines are shown."""
        code = process.exits[-1].code
        lines = (f"{process.name} has ended with {code}; it said last:", *process.tail)
        super().__init__("\n".join(lines))


@dataclass(frozen=True)
class Site:
    """Where a planstream can be set up."""

    settings: Settings
    is_borrowed: bool
    """Whether the broker is somebody else's, who wants nothing left on it."""


@dataclass(frozen=True)
class Installation:
    """A running planstream."""

    settings: Settings
    processes: tuple[Supervised, ...]

    async def watch(self) -> None:
        """Wait for the end of a process; there should be none.

        Raises:
            Died: A process has ended.
        """
        while True:
            for each in self.processes:
                if each.exits:
                    raise Died(each)
            await asyncio.sleep(WATCH_EVERY_S)

    def last_words(self) -> list[str]:
        """Give the last lines of each process."""
        return [
            f"{each.name} | {line}" for each in self.processes for line in each.tail
        ]


@contextlib.contextmanager
def site(
    settings: Settings, screen: Screen, name: str = "demo", **needed: Any
) -> Iterator[Site]:
    """Take the broker that the settings name, or start one.

    Args:
        settings: What leads to the broker is kept of them.
        screen: Is told what is done.
        name: In the topics' names, on a broker that is somebody else's.
        needed: Settings that differ from those of the demo.

    Raises:
        BrokerNotStarted: It does not start, or cannot be fetched.
    """
    fitted = settings.model_copy(update=DEMO_SETTINGS | needed)
    if "broker" in settings.model_fields_set:
        own = f"{settings.prefix}{name}-{uuid.uuid4().hex[:6]}."
        yield Site(fitted.model_copy(update={"prefix": own}), is_borrowed=True)
        return
    with _embedded(screen) as address:
        yield Site(fitted.model_copy(update={"broker": address}), is_borrowed=False)


@contextlib.contextmanager
def _embedded(screen: Screen) -> Iterator[str]:
    # Here, because they are an extra that who has a broker can do without.
    from streams.devkit.distribution import find_distribution  # noqa: PLC0415
    from streams.devkit.jars import JarError  # noqa: PLC0415
    from streams.devkit.kafka import EmbeddedKafka, KafkaError  # noqa: PLC0415

    kafka = EmbeddedKafka(quick=True)
    try:
        find_distribution(screen.console)  # shows a first download
        screen.doing("starting Kafka")
        kafka.start()
    except (KafkaError, JarError) as error:
        raise BrokerNotStarted(str(error)) from error
    except BaseException:
        kafka.close()
        raise
    screen.done("Kafka", f"{KAFKA_VERSION} at {kafka.bootstrap}")
    try:
        yield kafka.bootstrap
    finally:
        # Its data are thrown away: no need to put them in order first.
        kafka.kill()
        kafka.close()


@contextlib.asynccontextmanager
async def installation(
    site: Site,
    screen: Screen,
    members: Sequence[Sequence[str]] | None = None,
    *,
    give_up_after: int | None = 1,
) -> AsyncIterator[Installation]:
    """Create the topics, start processes; undo it all at the end.

    Args:
        site: Where.
        screen: Is told what is done.
        members: Role and options of each process; those of the demo when None.
        give_up_after: Ends of a process after which it is not started again.

    Raises:
        BrokerUnreachable: The borrowed broker does not answer.
        TopicsDoNotFit: The broker refuses to create the topics.
        NotReady: A process does not start; its last lines are in the message.
    """
    if members is None:
        members = (("coordinator",), ("worker", "--handlers", HANDLERS))
    with tempfile.TemporaryDirectory(prefix="planstream-demo-") as folder:
        async with _topics(site, screen):
            sink = log_files(Path(folder) / "logs")
            async with Supervisor(sink=sink, give_up_after=give_up_after) as supervisor:
                screen.doing("starting coordinators and workers")
                commands = commands_of(site.settings, Path(folder), members)
                processes = tuple(supervisor.start(command) for command in commands)
                for each in processes:
                    await each.wait_ready(READY_WITHIN_S)
                    screen.done(each.name, f"ready, process {each.pid}")
                try:
                    yield Installation(site.settings, processes)
                finally:
                    screen.doing("stopping everything")


@contextlib.asynccontextmanager
async def _topics(site: Site, screen: Screen) -> AsyncIterator[None]:
    screen.doing("creating topics")
    try:
        created = await bootstrap.create(site.settings)
        await bootstrap.require(site.settings)
        where = f" at {site.settings.broker}" if site.is_borrowed else ""
        screen.done("topics", f"{len(created)}{where} named {site.settings.prefix}…")
        yield
    except BrokerUnreachable:
        raise
    except BaseException:
        await _clear(site, screen)
        raise
    await _clear(site, screen)


async def _clear(site: Site, screen: Screen) -> None:
    """Delete the topics from a borrowed broker, or say why that is not possible.

    The groups it forgets by itself, now that they have neither members nor offsets.
    """
    if not site.is_borrowed:
        return
    names = [topic.name for topic in Topics.of(site.settings).all()]
    try:
        async with admin(site.settings) as client:
            answer = await client.delete_topics(names)
    except BrokerUnreachable as error:
        complain(f"the topics {site.settings.prefix}… are left behind: {error}")
        return
    refused = {
        name: code for name, code in answer.topic_error_codes if code not in GONE
    }
    for name, code in refused.items():
        why = for_code(code).__name__
        complain(f"the topic {name} is left behind: the broker says {why}")
    if not refused:
        screen.say("", f"The topics {site.settings.prefix}… have been deleted.")


def commands_of(
    settings: Settings, folder: Path, members: Sequence[Sequence[str]]
) -> Iterator[Command]:
    """Give the commands of processes, by role and options; alike ones are numbered."""
    roles = [role for role, *_ in members]
    for place, (role, *options) in enumerate(members):
        number = roles[:place].count(role) + 1
        yield Command(
            name=role if roles.count(role) == 1 else f"{role}-{number}",
            argv=[sys.executable, "-m", "streams", role, *options],
            env=_environment(settings, folder),
            ready=f"{role} ready",
        )


def _environment(settings: Settings, folder: Path) -> dict[str, str]:
    """Hand on what is the demo's own; what is the user's is in our environment."""
    given = {
        "BROKER": settings.broker,
        "PREFIX": settings.prefix,
        "PARTITIONS": str(settings.partitions),
        "REQUEST_PARTITIONS": str(settings.step_partitions),
        "QUEUES": ",".join(settings.queues),
        "ROUTES": ",".join("=".join(pair) for pair in settings.routes.items()),
        "SESSION_TIMEOUT_MS": str(settings.session_timeout_ms),
        "DATA_DIR": str(folder),
    }
    if settings.config is not None:
        given["CONFIG"] = str(settings.config.absolute())
    return {ENV_PREFIX + name: value for name, value in given.items()}
