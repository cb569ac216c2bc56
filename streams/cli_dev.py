"""`planstream dev`: runs everything on one machine."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator, Sequence

import typer

from streams import bootstrap
from streams.broker import quieten
from streams.cli_output import ExitCode, complain
from streams.config import Settings
from streams.devkit.ports import is_free
from streams.devkit.supervisor import Command, NotReady, Supervisor
from streams.exceptions import BrokerNotStarted

USUAL_PORT = 9092
"""Where the other commands look for a broker, when nobody tells them where."""
READY_WITHIN_S = 60.0


def run(
    settings: Settings, handlers: Sequence[str], coordinators: int, workers: int
) -> int:
    """Run until a signal; return the exit code."""
    quieten()
    with _broker(settings) as broker:
        here = settings.model_copy(update={"broker": broker})
        commands = _commands(here, handlers, coordinators, workers)
        return asyncio.run(_run(here, commands))


@contextlib.contextmanager
def _broker(settings: Settings) -> Iterator[str]:
    """Take the broker that the settings name, or start one; give its address."""
    if "broker" in settings.model_fields_set:
        yield settings.broker
        return
    # Here, because it is an extra that who has a broker can do without.
    from streams.devkit.jars import JarError  # noqa: PLC0415
    from streams.devkit.kafka import EmbeddedKafka, KafkaError  # noqa: PLC0415

    typer.echo("starting Kafka …")
    port = USUAL_PORT if is_free(USUAL_PORT) else None
    kafka = EmbeddedKafka(data=settings.data_dir / "kafka", port=port)
    try:
        kafka.start()
    except (KafkaError, JarError) as error:
        kafka.close()
        raise BrokerNotStarted(str(error)) from error
    with contextlib.closing(kafka):
        yield kafka.bootstrap


def _commands(
    settings: Settings, handlers: Sequence[str], coordinators: int, workers: int
) -> list[Command]:
    modules = [part for module in handlers for part in ("--handlers", module)]
    return [
        *(_command(settings, "coordinator", n) for n in range(coordinators)),
        *(_command(settings, "worker", n, *modules) for n in range(workers)),
        *_error_handler(settings),
    ]


def _error_handler(settings: Settings) -> list[Command]:
    """Start one if there is a function to call."""
    path = settings.error_handler_callable
    if path is None:
        return []
    return [_command(settings, "error-handler", 0, "--callable", path)]


def _command(settings: Settings, role: str, number: int, *options: str) -> Command:
    return Command(
        name=f"{role}-{number}",
        argv=[sys.executable, "-m", "streams", role, *options],
        env=_environment(settings, number),
        ready=f"{role} ready",
    )


def _environment(settings: Settings, number: int) -> dict[str, str]:
    """Hand on what may have been given as an option; the rest is in ours."""
    given = {
        "PLANSTREAM_BROKER": settings.broker,
        "PLANSTREAM_PREFIX": settings.prefix,
        "PLANSTREAM_NAME": f"{settings.name or 'dev'}-{number}",
        # They would all want the same one.
        "PLANSTREAM_HEALTH_PORT": "0",
        # Lines are to be seen as they are written.
        "PYTHONUNBUFFERED": "1",
    }
    if settings.config is not None:
        given["PLANSTREAM_CONFIG"] = str(settings.config.absolute())
    return given


async def _run(settings: Settings, commands: Sequence[Command]) -> ExitCode:
    stop = _stop_signal()
    await bootstrap.create(settings)
    await bootstrap.require(settings)
    async with Supervisor() as supervisor:
        for command in commands:
            supervisor.start(command)
        ready = asyncio.create_task(supervisor.wait_ready(READY_WITHIN_S))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({ready, stopped}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if not stop.is_set() and (failure := await _failure(ready)):
            complain(*failure.splitlines())
            stopped.cancel()
            return ExitCode.NOT_SUCCESS
        if not stop.is_set():
            _say_ready(settings)
        await stopped
        typer.echo("stopping …")
    return ExitCode.OK


async def _failure(ready: asyncio.Task[None]) -> str | None:
    try:
        await ready
    except NotReady as error:
        return str(error)
    return None


def _stop_signal() -> asyncio.Event:
    """Give the event that SIGINT (Ctrl-C) and SIGTERM set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


def _say_ready(settings: Settings) -> None:
    typer.echo(f"ready: Kafka at {settings.broker}, topics {settings.prefix}…")
    export = ""
    if settings.broker != Settings.model_fields["broker"].default:
        export = f"PLANSTREAM_BROKER={settings.broker} "
    typer.echo(f"try, in another terminal: {export}planstream submit --watch FILE")
    typer.echo("Ctrl-C stops everything.")
